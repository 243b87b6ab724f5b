from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.data.findings import Rule
from backtester.data.parsing import csv_rows
from backtester.data.parsing.csv_rows import CsvLayout, Field, first_fields, read_blocks
from backtester.data.parsing.csv_tolerant import read_tolerantly
from backtester.domain.errors import DataError, SchemaMismatchError

LAYOUT = CsvLayout(
    "samples",
    (
        Field("id", "int64", 0, ("id",)),
        Field("value", "float64", 1, ("value", "price")),
        Field("flag", "bool", 2, ("flag",)),
        Field("note", "string", 3, ("note",), required=False),
    ),
    (3, 4),
)
MOMENTS = CsvLayout("moments", (Field("time", "moment", 0, ("time",)), Field("value", "float64", 1, ("value",))), (2,))


def blocks(text, layout=LAYOUT, **options):
    data = text if isinstance(text, bytes) else text.encode()
    return list(read_blocks(io.BytesIO(data), layout, file="f.csv", **options))


def rows(text, layout=LAYOUT, **options):
    return [tuple(row.values()) for block in blocks(text, layout, **options) for row in block.table.to_pylist()]


def faults(text, layout=LAYOUT, **options):
    return [
        (block.first_row + one.index, one.rule, one.detail) for block in blocks(text, layout, **options) for one in block.faults
    ]


@pytest.mark.parametrize(
    "text",
    [
        "1,0.5,true,a\n2,1.5,False,b\n",
        "1,0.5,true,a\r\n2,1.5,False,b\r\n",
        "1,0.5,true,a\n2,1.5,False,b",
        "\ufeff1,0.5,true,a\n2,1.5,False,b\n",
        "\n1,0.5,true,a\n\n   \n2,1.5,False,b\n\n",
        '"1","0.5","true","a"\n"2","1.5","False","b"\n',
        "id,value,flag,note\n1,0.5,true,a\n2,1.5,False,b\n",
        "\ufeffID, Value ,flag,note\n1,0.5,true,a\n2,1.5,False,b\n",
        "note,extra,flag,price,id\na,9,true,0.5,1\nb,,False,1.5,2\n",
        " 1 , 0.5 , true , a \n+2,+1.5,FALSE,b\n",
    ],
)
def test_rows_are_the_same_with_and_without_header_quotes_marks_blank_lines_and_line_ends(text):
    assert rows(text) == [(1, 0.5, True, "a"), (2, 1.5, False, "b")]


def test_a_column_that_is_not_required_may_be_absent():
    assert rows("1,0.5,true\n") == [(1, 0.5, True)]
    assert rows("id,value,flag\n1,0.5,true\n") == [(1, 0.5, True)]


def test_an_empty_field_is_no_value_and_no_fault():
    assert rows("1,,true,\n") == [(1, None, True, None)]
    assert rows('1,"",,x\n1,+1,,x\n') == [(1, None, None, "x"), (1, 1.0, None, "x")]
    assert faults('1,"",,x\n1,+1,,x\n') == []


@pytest.mark.parametrize(
    ("line", "rule", "words"),
    [
        ("2,abc,true,x", Rule.BAD_NUMBER, "value is 'abc'"),
        ("2,1_0,true,x", Rule.BAD_NUMBER, "value is '1_0'"),
        ("2.5,1,true,x", Rule.BAD_NUMBER, "id is '2.5'"),
        ("0x10,1,true,x", Rule.BAD_NUMBER, "id is '0x10'"),
        ("99999999999999999999,1,true,x", Rule.BAD_NUMBER, "id is '99999999999999999999'"),
        ("9223372036854775808,1,true,x", Rule.BAD_NUMBER, "id is"),
        ("2,1,maybe,x", Rule.BAD_NUMBER, "flag is 'maybe'"),
        ("2,1,true", Rule.TRUNCATED_ROW, "it has 3 fields where 4 belong"),
        ("2", Rule.TRUNCATED_ROW, "it has 1 fields where 4 belong"),
        ("2,1,true,x,9", Rule.BAD_NUMBER, "it has 5 fields where 4 belong"),
        ("id,value,flag,note", Rule.BAD_NUMBER, "id is 'id'"),
        ('2,"1,true,x', Rule.TRUNCATED_ROW, "it has 2 fields"),
        ("\x00\x01,1,true,x", Rule.BAD_NUMBER, "id is"),
        ("2,1\x1f,true,x", Rule.BAD_NUMBER, "value is"),
        ("\x1f", Rule.TRUNCATED_ROW, "it has 1 fields"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_read_has_its_number_and_a_reason_and_the_others_are_read(line, rule, words):
    text = f"1,0.5,true,a\n\n{line}\n3,2.5,true,c\n"
    [(row, found, detail)] = faults(text)
    assert (row, found) == (2, rule)
    assert words in detail
    assert [row for row in rows(text) if row[0] in {1, 3}] == [(1, 0.5, True, "a"), (3, 2.5, True, "c")]


def test_bytes_that_are_no_text_are_a_fault():
    [(row, rule, _)] = faults(b"1,0.5,true,a\n2,0.5,true,\xff\xfe\n")
    assert (row, rule) == (2, Rule.BAD_NUMBER)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2\n", "its rows have 2 fields and no header; those of samples have 3 or 4"),
        ("1,2,3,4,5\n1,2,3,4,5\n", "5 fields"),
        ("id,price\n1,2\n", "flag is missing among id, price"),
        ("garbage\n1,2,true,x\n", "is no header of samples"),
        ("\x1f", "is no header of samples"),
        ("1" * 100_000 + "\n", "its first line has more than"),
    ],
)
def test_a_file_of_another_format_is_refused_with_what_was_seen(text, words):
    with pytest.raises(SchemaMismatchError, match=words) as caught:
        blocks(text)
    assert "f.csv" in str(caught.value)


def test_a_file_most_of_whose_rows_are_faulty_is_of_another_format(monkeypatch):
    monkeypatch.setattr(csv_rows, "FAULTS_MAX", 10)
    with pytest.raises(SchemaMismatchError, match=r"12 of its first 12 rows cannot be read as samples \(row 1: value is 'x'\)"):
        blocks("1,x,true,n\n" * 12)
    good = "1,1,true,n\n" * 12
    assert len(faults(good + "1,x,true,n\n" * 12)) == 12


def test_a_line_without_end_is_no_row():
    with pytest.raises(DataError, match="a line of more than"):
        blocks(b"1,2,true,x\n" + b"0" * 300_000, block_bytes=100_000)
    [(row, rule, _)] = faults(b"1,2,true,x\n" + b"0" * 100_000)
    assert (row, rule) == (2, Rule.BAD_NUMBER)


def test_an_empty_file_and_one_with_only_a_header_have_no_rows():
    assert [blocks(text) for text in ("", "\n\n", "id,value,flag\n", "id,value,flag")] == [[], [], [], []]


@pytest.mark.parametrize("block_bytes", [64, 100, 1_000, 10**6])
def test_rows_and_their_numbers_do_not_depend_on_where_blocks_end(block_bytes):
    text = "id,value,flag,note\n" + "".join(f"{n},{n}.5,true,n{n}\n" if n != 70 else "70,bad,true,n\n" for n in range(1, 101))
    found = blocks(text, block_bytes=block_bytes)
    assert [row["id"] for block in found for row in block.table.to_pylist()] == list(range(1, 101))
    assert found[0].first_row == 1
    assert faults(text, block_bytes=block_bytes) == [(70, Rule.BAD_NUMBER, "value is 'bad'")]
    assert block_bytes == 10**6 or len(found) > 1


def test_a_fault_in_a_large_block_is_found_without_reading_all_of_it_slowly(monkeypatch):
    monkeypatch.setattr(csv_rows, "PIECE_BYTES", 200)
    read = []

    def counted(data, *args, **options):
        read.append(len(data))
        return read_tolerantly(data, *args, **options)

    monkeypatch.setattr(csv_rows, "read_tolerantly", counted)
    text = "".join(f"{n},1.5,true,x\n" for n in range(500)) + "500,bad,true,x\n" + "501,1,true,x\n"
    assert faults(text) == [(501, Rule.BAD_NUMBER, "value is 'bad'")]
    assert sum(read) < 400


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("2024-03-04 00:05:00", 1_709_510_700_000),
        ("2024-03-04", 1_709_510_400_000),
        ("2024-03-04 00:05:00.250", 1_709_510_700_250),
        ("2024-03-04T00:05:00Z", 1_709_510_700_000),
    ],
)
def test_times_as_text_are_utc(text, time_ms):
    assert rows(f"{text},1\n", MOMENTS) == [(time_ms, 1.0)]


@pytest.mark.parametrize("text", ["2024-13-04 00:05:00", "2024-03-04 25:05:00", "2024-03-04 00:05:00+01:00"])
def test_a_text_that_is_no_time_is_a_fault(text):
    assert [(row, rule) for row, rule, _ in faults(f"2024-03-04,1\n{text},1\n", MOMENTS)] == [(2, Rule.BAD_NUMBER)]


def test_first_fields_of_a_file_are_those_of_its_first_line_that_is_not_blank():
    assert first_fields(b"\xef\xbb\xbf\r\n\r\nOpen_Time, B\r\n1,2\r\n") == ["open_time", "b"]
    assert first_fields(b"\n\n") == []


finite = st.floats(allow_nan=False, allow_infinity=False)
samples = st.lists(
    st.tuples(
        st.integers(-(2**63), 2**63 - 1), finite, st.booleans(), st.text("abc\"', ", min_size=1).filter(lambda t: t.strip() == t)
    ),
    min_size=1,
    max_size=30,
)


@given(samples, st.booleans(), st.sampled_from(["\n", "\r\n"]), st.integers(150, 2_000), st.booleans())
def test_rows_written_as_csv_are_read_back_bit_for_bit(values, header, line_end, block_bytes, spoiled):
    """Also where one row sends the whole stretch through the tolerant reader."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=line_end)
    if header:
        writer.writerow(["id", "value", "flag", "note"])
    writer.writerows((number, repr(value), flag, note) for number, value, flag, note in values)
    if spoiled:
        writer.writerow(["x", "1", "true", "n"])
    found = [row for row in rows(out.getvalue(), block_bytes=block_bytes) if row[0] is not None]
    assert [(row[0], row[2], row[3]) for row in found] == [(number, flag, note) for number, _, flag, note in values]
    assert np.array([row[1] for row in found]).tobytes() == np.array([value for _, value, _, _ in values]).tobytes()


@given(st.floats(min_value=0, max_value=1e12, allow_nan=False), st.integers(0, 12))
def test_numbers_are_the_nearest_float_of_their_text_in_both_readers(value, places):
    text = f"{value:.{places}f}"
    assert rows(f"1,{text},true\n") == [(1, float(text), True)]
    assert rows(f"1,{text},true\n+2,1,true\n")[0] == (1, float(text), True)
