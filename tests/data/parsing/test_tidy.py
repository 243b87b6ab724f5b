from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from backtester.domain.errors import DataError, DataQualityError, SchemaMismatchError
from tests.data.parsing.files import parse, rows_of

NAMES = {"exchange": "binance", "market": "linear", "symbol": "BTCUSDT"}
BARS = {**NAMES, "timeframe": "1m"}
DAY = 1_704_067_200_000


def parquet(**columns) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def bars(time_name, times) -> dict:
    return {time_name: times} | {name: [1.0] * len(times) for name in ("open", "high", "low", "close", "volume")}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("start_ms", DAY),
        ("open_time_ms", DAY),
        ("timestamp", DAY),
        ("timestamp", DAY // 1000),
        ("open_time", DAY * 1000),
        ("time", DAY * 1_000_000),
        ("date", pa.scalar(DAY, pa.timestamp("ms", "UTC"))),
        ("datetime", pa.scalar(DAY * 1_000_000, pa.timestamp("ns"))),
        ("date", pa.scalar(DAY // 86_400_000, pa.date32())),
    ],
)
def test_the_start_of_a_bar_may_have_any_unit_that_can_be_told(tmp_path, name, value):
    values = pa.array(
        [value.as_py()] if isinstance(value, pa.Scalar) else [value], value.type if isinstance(value, pa.Scalar) else None
    )
    assert rows_of(parse(tmp_path, "a.parquet", parquet(**bars(name, values)), **BARS))[0][0] == DAY


def test_feather_parquet_and_csv_give_the_same_rows(tmp_path):
    columns = bars("open_time_ms", [DAY, DAY + 60_000]) | {"trades": [3, 4], "quote_volume": [0.1, 0.2], "note": ["x", "y"]}
    buffer = io.BytesIO()
    pa.feather.write_feather(pa.table(columns), buffer)
    text = ",".join(columns) + "\n" + "".join(",".join(map(str, row)) + "\n" for row in zip(*columns.values(), strict=True))
    files = {
        "a.parquet": parquet(**columns),
        "a.feather": buffer.getvalue(),
        "a.csv": text.encode(),
        "a.csv ": text.replace("\n", "\r\n").encode(),
    }
    found = [rows_of(parse(tmp_path, name, content, **BARS)) for name, content in files.items()]
    assert found[0] == [
        (DAY, 1.0, 1.0, 1.0, 1.0, 1.0, 0.1, 3.0, None, None),
        (DAY + 60_000, 1.0, 1.0, 1.0, 1.0, 1.0, 0.2, 4.0, None, None),
    ]
    assert found.count(found[0]) == 4


def test_csv_may_have_dates_as_text(tmp_path):
    text = "date,open,high,low,close,volume\n2024-01-01 00:00:00,1,2,1,1,5\n2024-01-01T00:01:00Z,1,2,1,1,5\n"
    assert [row[0] for row in rows_of(parse(tmp_path, "a.csv", text, **BARS))] == [DAY, DAY + 60_000]


def test_the_kind_is_that_of_the_columns_and_bars_without_volume_ask(tmp_path):
    tables = {
        "funding": {"ts_ms": [DAY], "rate": [0.1]},
        "open_interest": {"ts_ms": [DAY], "open_interest": [0.1]},
        "trades": {"ts_ms": [DAY], "price": [1.0], "qty": [1.0], "is_buyer_maker": [True]},
        "quotes": {"event_ms": [DAY], "bid": [1.0], "bid_qty": [1.0], "ask": [1.0], "ask_qty": [1.0]},
        "book": {"event_ms": [DAY], "msg": [1], "is_snapshot": [True], "side": ["b"], "price": [1.0], "qty": [1.0]},
        "candles": bars("start_ms", [DAY]),
    }
    for kind, columns in tables.items():
        stated = BARS if kind in {"open_interest", "candles"} else NAMES
        assert parse(tmp_path, "a.parquet", parquet(**columns), **stated)[0].series.kind == kind
    prices = {name: values for name, values in bars("start_ms", [DAY]).items() if name != "volume"}
    with pytest.raises(SchemaMismatchError, match="no column volume.*state --kind mark, index or premium"):
        parse(tmp_path, "a.parquet", parquet(**prices), **BARS)
    assert parse(tmp_path, "a.parquet", parquet(**prices), kind="index", **BARS)[0].series.kind == "index"
    assert parse(tmp_path, "premium/binance_um/BTCUSDT_1m.parquet", parquet(**prices))[0].series.kind == "premium"
    assert parse(tmp_path, "a.parquet", parquet(**bars("start_ms", [DAY])), kind="mark", **BARS)[0].series.kind == "mark"
    with pytest.raises(SchemaMismatchError, match="its columns are of no kind"):
        parse(tmp_path, "a.parquet", parquet(x=[1]), **NAMES)
    with pytest.raises(SchemaMismatchError, match="the kind is"):
        parse(tmp_path, "funding/binance_um/BTCUSDT.parquet", parquet(**tables["trades"]))


def test_sides_say_who_took_and_sizes_may_be_called_otherwise(tmp_path):
    text = "timestamp,id,side,price,amount\n1704067200000,1,Sell,2,3\n1704067200001,2,buy,2,3\n"
    assert rows_of(parse(tmp_path, "a.csv", text, **NAMES)) == [
        (DAY * 1000, 2.0, 3.0, True, "1"),
        (DAY * 1000 + 1000, 2.0, 3.0, False, "2"),
    ]


def test_a_quote_without_an_exchange_time_has_that_of_its_receipt(tmp_path):
    columns = {
        "recv_ns": [DAY * 1_000_000 + 1_999, DAY * 1_000_000 + 5_000],
        "event_ms": pa.array([None, DAY], pa.int64()),
        "transact_ms": pa.array([None, DAY - 7], pa.int64()),
    } | {name: [1.0, 1.0] for name in ("bid", "bid_qty", "ask", "ask_qty")}
    assert [row[0] for row in rows_of(parse(tmp_path, "a.parquet", parquet(**columns), **NAMES))] == [
        DAY * 1000 + 1,
        (DAY - 7) * 1000,
    ]


def test_a_book_message_without_a_time_stands_beside_its_neighbours(tmp_path):
    columns = {
        "msg": [1, 2, 3, 4],
        "recv_ns": [5, 6, 7, 8],
        "event_ms": pa.array([None, DAY, None, DAY + 9], pa.int64()),
        "is_snapshot": [True, False, True, False],
        "side": ["b", "a", "b", None],
        "price": [1.0, 2.0, 3.0, None],
        "qty": [1.0, 0.0, 3.0, None],
    }
    rows = rows_of(parse(tmp_path, "a.parquet", parquet(**columns), **NAMES))
    assert [(row[0] // 1000 - DAY, row[1], row[3]) for row in rows] == [(0, 1, True), (0, 2, False), (0, 3, True), (9, 4, None)]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (bars("when", [DAY]), "no column says when a bar starts"),
        (bars("timestamp", ["a"]), "column timestamp is string, not dates and times"),
        (bars("timestamp", [12]), "column timestamp holds 12, which is no time"),
        (bars("timestamp", [DAY * 1000 + 5]), "column timestamp has parts of a millisecond"),
        (bars("start_ms", [DAY]) | {"high": ["a"]}, "column high is string; it must hold numbers"),
        ({"price": [1.0], "qty": [1.0], "is_buyer_maker": [True]}, "no column says when; name it ts_ms"),
        ({"ts_ms": [DAY], "price": [1.0], "qty": [1.0], "is_buyer_maker": ["perhaps"]}, "cannot be read as bool"),
        ({"ts_ms": [DAY], "open": [1.0], "volume": [1.0]}, "no column high, low, close"),
    ],
)
def test_a_table_that_does_not_say_what_is_needed_is_refused_with_what_it_has(tmp_path, columns, words):
    with pytest.raises(SchemaMismatchError, match="a.parquet") as caught:
        parse(tmp_path, "a.parquet", parquet(**columns), **(BARS if "open" in columns else NAMES))
    assert words in str(caught.value)


def test_an_entry_of_a_trade_feed_that_no_market_order_made_is_named(tmp_path):
    columns = {"ts_ms": [DAY, DAY], "price": [1.0, 1.0], "qty": [1.0, 1.0], "is_buyer_maker": [True, True]}
    assert len(rows_of(parse(tmp_path, "a.parquet", parquet(**columns, exec_type=["MARKET", None]), **NAMES))) == 2
    with pytest.raises(DataQualityError, match="row 2 has exec_type INSURANCE_FUND"):
        parse(tmp_path, "a.parquet", parquet(**columns, exec_type=["MARKET", "INSURANCE_FUND"]), **NAMES)


def test_damaged_tables_are_refused(tmp_path):
    content = parquet(**bars("start_ms", [DAY + 60_000 * index for index in range(5000)]))
    for damaged in (
        content[:-30],
        content[: len(content) // 2],
        content[:100] + bytes(200) + content[300:],
        b"ARROW1" + content[6:],
        b"FEA1" + content,
    ):
        with pytest.raises(DataError, match="a.parquet"):
            parse(tmp_path, "a.parquet", damaged, **BARS)
