from __future__ import annotations

import pytest

from backtester.domain.errors import SchemaMismatchError
from tests.data.parsing.files import parse, rows_of

NAMES = {"exchange": "binance", "market": "linear", "symbol": "BTCUSDT", "timeframe": "1m"}
DAY = 1_704_067_200_000  # 2024-01-01
MINUTE = 60_000


def table(stamps, heading="open_time_ms", more=""):
    return f"{heading},open,high,low,close,volume{more}\n" + "".join(f"{stamp},1,2,1,1,5\n" for stamp in stamps)


def starts(batches):
    return [row[0] for row in rows_of(batches)]


def test_stamps_are_opens_unless_closes_are_stated(tmp_path):
    stamps = [DAY + MINUTE * index for index in range(3)]
    assert starts(parse(tmp_path, "a.csv", table(stamps), **NAMES)) == stamps
    assert starts(parse(tmp_path, "a.csv", table(stamps), stamp="close", **NAMES)) == [stamp - MINUTE for stamp in stamps]


def test_stamps_a_millisecond_before_a_bar_end_the_import_until_it_is_said_what_they_are(tmp_path):
    closes = [DAY + MINUTE * index - 1 for index in (1, 2, 3)]
    with pytest.raises(
        SchemaMismatchError,
        match=r"every stamp is a millisecond before a bar starts, such as 2024-01-01 00:00:59.999\); state --stamp close",
    ):
        parse(tmp_path, "a.csv", table(closes), **NAMES)
    assert starts(parse(tmp_path, "a.csv", table(closes), stamp="close", **NAMES)) == [DAY, DAY + MINUTE, DAY + 2 * MINUTE]
    assert starts(parse(tmp_path, "a.csv", table(closes), stamp="open", **NAMES)) == closes


def test_microseconds_before_a_bar_are_closes_too(tmp_path):
    closes = [(DAY + MINUTE * index) * 1000 - 1 for index in (1, 2)]
    with pytest.raises(SchemaMismatchError, match="state --stamp close if they are"):
        parse(tmp_path, "a.csv", table(closes, "timestamp"), **NAMES)


def test_a_file_with_only_close_times_asks(tmp_path):
    closes = [DAY + MINUTE, DAY + 2 * MINUTE]
    with pytest.raises(SchemaMismatchError, match="the only column of times is one of closes"):
        parse(tmp_path, "a.csv", table(closes, "close_time"), **NAMES)
    assert starts(parse(tmp_path, "a.csv", table(closes, "close_time"), stamp="close", **NAMES)) == [DAY, DAY + MINUTE]


def test_a_day_that_runs_from_its_second_bar_to_the_next_day_asks(tmp_path):
    closes = [DAY + 3_600_000 * hour for hour in range(1, 25)]
    names = {**NAMES, "timeframe": "1h"}
    with pytest.raises(SchemaMismatchError, match="its stamps run from 2024-01-01 01:00:00 to 2024-01-02 00:00:00"):
        parse(tmp_path, "BTCUSDT_1h_2024-01-01.csv", table(closes), **names)
    assert starts(parse(tmp_path, "BTCUSDT_1h_2024-01-01.csv", table(closes), stamp="close", **names))[0] == DAY
    assert starts(parse(tmp_path, "BTCUSDT_1h_2024-01-01.csv", table(closes[:-1]), **names))[0] == DAY + 3_600_000


def test_stated_ends_are_handed_to_the_checks(tmp_path):
    text = f"open_time,open,high,low,close,volume,close_time\n{DAY},1,2,1,1,5,{DAY + 30_000}\n"
    (batch,) = parse(tmp_path, "a.csv", text, **NAMES)
    assert batch.extra.column("end_ms").to_pylist() == [DAY + 30_000]


def test_formats_whose_publisher_stamps_opens_take_no_closes(tmp_path):
    with pytest.raises(SchemaMismatchError, match="leave --stamp close away"):
        parse(
            tmp_path,
            "kline_for_metatrader4/BTCUSDT/2024/BTCUSDT_1_2024-01-01_2024-01-31.csv",
            "2024.01.01 00:00,1,2,1,1,5\n",
            stamp="close",
        )
