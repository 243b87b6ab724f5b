from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.data.findings import Policies, Policy, Rule
from backtester.data.kinds import VolumeUnit
from backtester.data.sanitize import sanitize
from backtester.domain.errors import DataError, DataQualityError, SchemaMismatchError
from tests.data.parsing.files import parse, rows_of

HEADER = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional"
OLD = (
    f"{HEADER}\n"
    "1590710399.365,BTCUSDT,Buy,16.585,9572.0,ZeroMinusTick,1e2a23f4-469b-58d9-85cb-84344e009cb5,15875162000000.0,16.585,158751.62\n"
    "1590710399.365,BTCUSDT,Sell,1,9572.0,ZeroMinusTick,older,1,1,1\n"
    "1590710398.1,BTCUSDT,Sell,2,9571.5,MinusTick,oldest,1,2,1\n"
)
NEW = f"{HEADER},RPI\n1767225600.6864,SOLUSDT,Buy,0.2,124.650,PlusTick,7df520b4-f4a1-5eb9-86c2-3ac7ebac1832,2.493e+09,0.2,24.93,0\n"
INVERSE = (
    f"{HEADER}\n1692748800.279,BTCUSD,Sell,641,26027.00,ZeroMinusTick,80253109-efbb-58ca-9adc-d458b66201e9,"
    "2.462827064202559e+06,641,0.02462827064202559\n"
)


def test_old_files_run_newest_first_and_come_in_order_of_time(tmp_path):
    (batch,) = parse(tmp_path, "trading/BTCUSDT/BTCUSDT2020-05-28.csv.gz", gzip.compress(gzip.compress(OLD.encode())))
    assert str(batch.series) == "bybit linear BTCUSDT trades tick"
    assert batch.volume_unit is VolumeUnit.BASE
    assert rows_of([batch]) == [
        (1_590_710_398_100_000, 9571.5, 2.0, True, "oldest"),
        (1_590_710_399_365_000, 9572.0, 1.0, True, "older"),
        (1_590_710_399_365_000, 9572.0, 16.585, False, "1e2a23f4-469b-58d9-85cb-84344e009cb5"),
    ]
    assert batch.extra.column("row").to_pylist() == [3, 2, 1]


def test_tenths_of_milliseconds_and_a_further_column_are_read_exactly(tmp_path):
    assert rows_of(parse(tmp_path, "SOLUSDT2026-01-01.csv", NEW))[0][:4] == (1_767_225_600_686_400, 124.65, 0.2, False)


def test_sizes_of_inverse_contracts_count_dollars(tmp_path):
    (batch,) = parse(tmp_path, "BTCUSD2023-08-23.csv", INVERSE)
    assert (batch.series.market, batch.volume_unit) == ("inverse", VolumeUnit.QUOTE)
    assert rows_of([batch])[0][:3] == (1_692_748_800_279_000, 26027.0, 641.0)


@given(micros=st.integers(1_500_000_000_000_000, 1_900_000_000_000_000))
def test_every_decimal_of_seconds_is_exact_microseconds(tmp_path_factory, micros):
    stamp = f"{micros // 1_000_000}.{micros % 1_000_000:06d}".rstrip("0").rstrip(".")
    row = f"{stamp},SOLUSDT,Buy,0.2,124.650,PlusTick,x,1,0.2,24.93\n"
    folder = tmp_path_factory.mktemp("seconds")
    assert rows_of(parse(folder, "t.csv", f"{HEADER}\n{row}"))[0][0] == micros


def test_spot_trades_have_milliseconds_lower_case_sides_and_no_id_to_rely_on(tmp_path):
    text = "id,timestamp,price,volume,side,rpi\n1,1767225600884,124.67,0.1,buy,0\n2,1767225600885,124.66,0.3,sell,0\n"
    (batch,) = parse(tmp_path, "spot/SOLUSDT/SOLUSDT_2026-01-01.csv.gz", gzip.compress(text.encode()))
    assert str(batch.series) == "bybit spot SOLUSDT trades tick"
    assert rows_of([batch]) == [
        (1_767_225_600_884_000, 124.67, 0.1, False, None),
        (1_767_225_600_885_000, 124.66, 0.3, True, None),
    ]
    assert parse(tmp_path, "SOLUSDT-2024-03.csv", text)[0].series.symbol == "SOLUSDT"
    with pytest.raises(SchemaMismatchError, match="state it with --symbol"):
        parse(tmp_path, "trades.csv", text)


@pytest.mark.parametrize("header", ["", "start_at,open,high,low,close,volume\n"])
def test_candles_for_metatrader_are_three_hours_ahead_of_utc(tmp_path, header):
    name = "kline_for_metatrader4/BTCUSDT/2022/BTCUSDT_15_2022-07-01_2022-07-31.csv.gz"
    (batch,) = parse(tmp_path, name, f"{header}2022.07.01 00:00,19900.5,19950,19880,19910,12.5\n2022.07.01 00:15,1,2,1,1,3\n")
    assert str(batch.series) == "bybit linear BTCUSDT candles 15m"
    assert rows_of([batch])[0][:6] == (1_656_622_800_000, 19900.5, 19950.0, 19880.0, 19910.0, 12.5)  # 2022-06-30 21:00


def test_premium_and_spot_indexes_are_bars_of_prices(tmp_path):
    text = "start_at,symbol,period,open,high,low,close\n1570000020,BTCUSD,1,-0.001,0.002,-0.002,0.001\n"
    (batch,) = parse(tmp_path, "premium_index/BTCUSD/BTCUSD2019-10-02_premium_index.csv.gz", text)
    assert str(batch.series) == "bybit inverse BTCUSD premium 1m"
    assert rows_of([batch]) == [(1_570_000_020_000, -0.001, 0.002, -0.002, 0.001)]
    (batch,) = parse(tmp_path, "spot_index/x.csv", text.replace(",BTCUSD,", ",.BXBT,"), market="inverse", symbol="BTCUSD")
    assert batch.series.kind == "index"


def test_what_cannot_be_read_is_a_fault_with_its_row(tmp_path):
    text = (
        OLD
        + "soon,BTCUSDT,Sell,2,9571.5,MinusTick,bad,1,2,1\n1590710397.5,BTCUSDT,Hold,2,9571.5,MinusTick,bad,1,2,1\n1590710397,BTC"
    )
    (batch,) = parse(tmp_path, "t.csv", text.replace("1590710398.1,BTCUSDT", "1590710400,BTCUSDT"), symbol="BTCUSDT")
    found = {(finding.rule, finding.row) for finding in batch.findings}
    assert found == {(Rule.BAD_NUMBER, 4), (Rule.TRUNCATED_ROW, 6)}
    assert sanitize(batch, Policies({Rule.BAD_NUMBER: Policy.DROP, Rule.TRUNCATED_ROW: Policy.DROP})).table.num_rows == 3
    with pytest.raises(DataQualityError, match=r"t.csv: row 6"):
        sanitize(batch, Policies())


def test_another_symbol_inside_or_a_cut_gzip_ends_the_reading(tmp_path):
    with pytest.raises(SchemaMismatchError, match="column symbol holds BTCUSDT, ETHUSDT"):
        parse(tmp_path, "t.csv", OLD + OLD.splitlines()[1].replace("BTCUSDT", "ETHUSDT") + "\n")
    with pytest.raises(SchemaMismatchError, match="the symbol is BTCUSDT by its path or content, but its name says ETHUSDT"):
        parse(tmp_path, "ETHUSDT2020-05-28.csv", OLD)
    with pytest.raises(DataError, match="damaged"):
        parse(tmp_path, "t.csv.gz", gzip.compress(OLD.encode() * 50)[:-20])
