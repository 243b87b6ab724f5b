from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.data.columns import NO_CANDLES, CandleColumns, columns_from_frame, slice_columns
from backtester.data.decoded_month import file_version, keep_decoded
from backtester.data.gaps import FILL_ROWS, GapScan, Stretch, fill_gaps, flat_rows, scan_candles, scan_files
from backtester.domain.errors import DataError
from backtester.domain.timeframe import DAY_MS, HOUR_MS, SECOND_MS, parse_time_ms
from tests.data.candles import MINUTE, MONDAY, candles_at, in_pieces, minutes
from tests.data.test_file_parts import MINUTES
from tests.support.shared_data import SHARED, needs_shared

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=3)


def flat_at(columns: CandleColumns, rows) -> CandleColumns:
    """The same candles, of which some have one price and no volume."""
    flat = np.zeros(len(columns.start_ms), dtype=bool)
    flat[list(rows)] = True
    values = [np.where(flat, 1000.0, column) for column in columns[1:5]]
    return CandleColumns(columns.start_ms, *values, np.where(flat, 0.0, columns.volume + 1))


@st.composite
def histories(draw):
    """What happened at each step: a bar (b), a flat bar (f) or nothing (.); and the candles of it."""
    text = draw(st.text("bbbf.", min_size=1, max_size=120))
    steps = [index for index, what in enumerate(text) if what != "."]
    columns = candles_at([MONDAY + index * MINUTE for index in steps])
    return text, flat_at(columns, [row for row, index in enumerate(steps) if text[index] == "f"])


def runs_of(text: str, letter: str) -> list[tuple[int, int]]:
    """(first, end) of each run of `letter`, the slow way."""
    found, first = [], None
    for index, what in enumerate(text + "!"):
        if what == letter and first is None:
            first = index
        elif what != letter and first is not None:
            found.append((first, index))
            first = None
    return found


@given(history=histories(), sizes=SIZES)
def test_missing_and_flat_bars_are_those_a_naive_search_finds_however_the_candles_are_cut(history, sizes):
    text, columns = history
    report = scan_candles(in_pieces(columns, sizes), length_ms=MINUTE)
    between = text.strip(".")
    offset = len(text) - len(text.lstrip("."))
    for found, letter in ((report.missing, "."), (report.outages, "f")):
        expected = [
            Stretch(MONDAY + (offset + first) * MINUTE, MONDAY + (offset + end) * MINUTE, end - first)
            for first, end in runs_of(between, letter)
        ]
        assert list(found.first) == expected
        assert (found.total, found.bars) == (len(expected), sum(one.bars for one in expected))
    everything = [*report.missing.first, *report.outages.first]
    assert report.earliest == (min(everything) if everything else None)


def test_seconds_without_a_trade_are_an_outage_from_a_minute_on():
    still = flat_at(candles_at([MONDAY + index * SECOND_MS for index in range(150)]), range(5, 64))
    assert scan_candles([still], length_ms=SECOND_MS).outages.total == 0
    longer = flat_at(still, range(5, 65))
    assert scan_candles(in_pieces(longer, (7,)), length_ms=SECOND_MS).outages.first == (
        Stretch(MONDAY + 5 * SECOND_MS, MONDAY + 65 * SECOND_MS, 60),
    )


def test_a_flat_bar_with_volume_and_an_idle_bar_with_a_range_are_no_outage():
    columns = minutes(3)
    flat_traded = columns._replace(open=columns.low, high=columns.low, close=columns.low, volume=columns.volume + 1)
    idle_moving = columns._replace(volume=columns.volume * 0)
    assert scan_candles([flat_traded], length_ms=MINUTE).outages.total == 0
    assert scan_candles([idle_moving], length_ms=MINUTE).outages.total == 0
    assert flat_rows(flat_traded) is None


def test_a_thousand_stretches_are_kept_and_all_are_counted():
    scan = GapScan(MINUTE)
    for index in range(1500):
        scan.add(np.array([MONDAY + index * 2 * MINUTE]), np.array([True]))
    report = scan.report()
    assert (report.missing.total, len(report.missing.first)) == (1499, 1000)
    assert (report.outages.total, len(report.outages.first)) == (1500, 1000)


def test_a_stretch_says_when_and_how_long():
    assert str(Stretch(MONDAY, MONDAY + MINUTE, 1)) == "2025-01-06 00:00:00 to 2025-01-06 00:01:00 UTC (1 bar)"
    assert str(Stretch(MONDAY, MONDAY + DAY_MS, 1440)).endswith("(1,440 bars)")


# -- files ---------------------------------------------------------------------------------------------------------------


def write_file(path, columns: CandleColumns, *, group_rows: int, statistics: bool = True):
    table = pa.table(dict(zip(columns._fields, columns, strict=True)))
    pq.write_table(table, path, row_group_size=group_rows, write_statistics=statistics)
    return path


def read_columns(path):
    table = pq.read_table(path)
    return CandleColumns(*(table.column(name).to_numpy() for name in CandleColumns._fields))


@given(history=histories(), cut=st.integers(0, 120), group_rows=st.integers(1, 50), statistics=st.booleans(), data=st.data())
def test_files_say_the_same_as_their_candles(tmp_path_factory, history, cut, group_rows, statistics, data):
    _, columns = history
    folder = tmp_path_factory.mktemp("files")
    parts = [slice_columns(columns, 0, cut), slice_columns(columns, cut, len(columns.start_ms))]
    paths = [
        write_file(folder / f"{index}.parquet", part, group_rows=group_rows, statistics=statistics)
        for index, part in enumerate(parts)
    ]
    start_ms, end_ms = sorted(data.draw(st.tuples(*[st.integers(-5, 125)] * 2)))
    start_ms, end_ms = MONDAY + start_ms * MINUTE, MONDAY + end_ms * MINUTE
    first, last = columns.start_ms.searchsorted((start_ms, end_ms)).tolist()
    expected = scan_candles([slice_columns(columns, first, last)], length_ms=MINUTE)
    assert scan_files(paths, MINUTES, start_ms=start_ms, end_ms=end_ms) == expected


def test_whole_groups_in_which_every_bar_was_traded_are_not_read(tmp_path, monkeypatch):
    columns = flat_at(minutes(4 * 1440), [2000])
    path = write_file(tmp_path / "a.parquet", columns, group_rows=1440)
    read = []
    whole = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_group", lambda self, group, **more: read.append(group) or whole(self, group, **more)
    )
    report = scan_files([path], MINUTES, start_ms=0, end_ms=10**14)
    assert (report.outages.total, report.missing.total, read) == (1, 0, [1])


@given(history=histories(), data=st.data())
def test_decoded_copies_say_the_same_as_their_files(tmp_path_factory, history, data):
    _, columns = history
    folder = tmp_path_factory.mktemp("files")
    path = write_file(folder / "a.parquet", columns, group_rows=50)
    version = file_version(path)
    start_ms, end_ms = sorted(MONDAY + data.draw(st.integers(-5, 125)) * MINUTE for _ in range(2))
    by_file = scan_files([path], MINUTES, start_ms=start_ms, end_ms=end_ms)
    assert version is not None
    keep_decoded(path, MINUTES, version, columns)
    assert scan_files([path], MINUTES, start_ms=start_ms, end_ms=end_ms) == by_file


def test_a_file_stays_closed_where_its_copy_says_that_nothing_is_missing(tmp_path, monkeypatch):
    columns = flat_at(minutes(4 * 1440), [])
    paths = [
        write_file(tmp_path / f"{index}.parquet", slice_columns(columns, first, first + 1440), group_rows=600)
        for index, first in enumerate((0, 1440, 3 * 1440))
    ]
    span = {"start_ms": MONDAY, "end_ms": MONDAY + 4 * DAY_MS}
    by_files = scan_files(paths, MINUTES, **span)
    for path in paths:
        version = file_version(path)
        assert version is not None
        keep_decoded(path, MINUTES, version, read_columns(path))
    opened = []
    whole = pq.ParquetFile
    monkeypatch.setattr(pq, "ParquetFile", lambda path, **more: opened.append(path.name) or whole(path, **more))
    assert scan_files(paths, MINUTES, **span) == by_files
    assert (by_files.missing.total, opened) == (1, [])
    scan_files(paths, MINUTES, start_ms=MONDAY, end_ms=span["end_ms"] - 1)  # the last bar begins before
    assert opened == []
    scan_files(paths, MINUTES, start_ms=MONDAY + 1, end_ms=span["end_ms"])
    assert opened == ["0.parquet"]
    write_file(paths[1], slice_columns(columns, 1440, 2000), group_rows=600)
    assert scan_files(paths, MINUTES, **span).missing.bars == 1440 + 880


def test_a_damaged_file_is_named(tmp_path):
    path = write_file(tmp_path / "a.parquet", minutes(10), group_rows=5)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"a\.parquet"):
        scan_files([path], MINUTES, start_ms=0, end_ms=10**14)


# -- filling -------------------------------------------------------------------------------------------------------------


@given(history=histories(), sizes=SIZES, more=st.integers(-130, 20))
def test_filled_candles_stand_at_every_step_and_the_own_ones_are_untouched(history, sizes, more):
    text, columns = history
    end_ms = MONDAY + (len(text) + max(more, 0)) * MINUTE
    pieces = list(fill_gaps(in_pieces(columns, sizes), length_ms=MINUTE, end_ms=end_ms))
    starts_ms = [start_ms for piece in pieces for start_ms in piece.columns.start_ms.tolist()]
    own = [
        row
        for piece in pieces
        for row, put_in in zip(
            zip(*piece.columns, strict=True),
            np.zeros(len(piece.columns.start_ms)) if piece.filled is None else piece.filled,
            strict=True,
        )
        if not put_in
    ]
    assert own == list(zip(*columns, strict=True))
    if own:
        assert starts_ms == list(range(int(columns.start_ms[0]), end_ms - MINUTE + 1, MINUTE))
    else:
        assert starts_ms == []


def test_a_year_long_gap_comes_in_small_pieces():
    columns = candles_at([MONDAY, MONDAY + 365 * DAY_MS])
    sizes = [
        len(piece.columns.start_ms) for piece in fill_gaps([columns, NO_CANDLES], length_ms=MINUTE, end_ms=MONDAY + 400 * DAY_MS)
    ]
    assert max(sizes) == FILL_ROWS
    assert sum(sizes) == 400 * 1440


# -- real data -----------------------------------------------------------------------------------------------------------


def real(path: str) -> CandleColumns:
    return columns_from_frame(pq.ParquetFile(SHARED / "data/candles" / path).read(), source=path)


@needs_shared
@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_the_futures_outages_of_2024_and_2025_are_found_in_flat_bars(symbol):
    report = scan_candles([real(f"binance_um/{symbol}_5m.parquet")], length_ms=5 * MINUTE)
    assert report.missing.total == 0
    at = [parse_time_ms(text) for text in ("2024-10-28T16:25", "2024-10-28T20:00", "2025-01-29T01:25")]
    found = {one.from_ms: one.to_ms for one in report.outages.first}
    assert set(at) <= set(found)
    assert found[at[1]] >= at[1] + 60 * MINUTE


@needs_shared
def test_the_spot_outage_of_2023_is_found_as_a_missing_bar():
    report = scan_candles([real("binance_spot/BTCUSDT_1h.parquet")], length_ms=HOUR_MS)
    missing_ms = parse_time_ms("2023-03-24T13:00")
    assert report.missing.first == (Stretch(missing_ms, missing_ms + HOUR_MS, 1),)


@needs_shared
@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_the_main_pair_has_neither_gap_nor_outage(symbol):
    report = scan_candles([real(f"binance_um/{symbol}_1m.parquet")], length_ms=MINUTE)
    assert (report.missing.total, report.outages.total) == (0, 0)
