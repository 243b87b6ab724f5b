from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.data.findings import Rule
from backtester.data.kinds import VolumeUnit, kind_named
from backtester.data.parsing.csv_rows import read_blocks
from backtester.data.parsing.epochs import END_US, FIRST_US, read_epochs
from backtester.data.parsing.formats import Hint, parse_file
from backtester.domain.errors import SchemaMismatchError
from tests.data.parsing.archives import JANUARY_MS, KLINE_HEADER, KLINES, kline, klines, read_bytes, read_text
from tests.support.shared_data import SHARED, needs_shared

UM = "data/futures/um/daily/"
KINDS = [
    (
        "data/spot/daily/klines/XLMUSDC/1s/XLMUSDC-1s-2025-01-01.zip",
        "1735689600000000,0.31600000,0.31600000,0.31600000,0.31600000,27.00000000,1735689600999999,8.53200000,1,0.00000000,0.00000000,0\n",
        "binance spot XLMUSDC candles 1s",
        (1_735_689_600_000, 0.316, 0.316, 0.316, 0.316, 27.0, 8.532, 1.0, 0.0, 0.0),
        VolumeUnit.BASE,
    ),
    (
        "data/futures/um/monthly/klines/AVAXUSDT/1m/AVAXUSDT-1m-2024-02.zip",
        KLINE_HEADER + "1706745600000,33.1730,33.2780,33.1480,33.2640,31584,1706745659999,1048736.6860,2093,15886,527484.6350,0\n",
        "binance linear AVAXUSDT candles 1m",
        (1_706_745_600_000, 33.173, 33.278, 33.148, 33.264, 31584.0, 1048736.686, 2093.0, 15886.0, 527484.635),
        VolumeUnit.BASE,
    ),
    (
        "data/futures/cm/daily/klines/BTCUSD_PERP/15m/BTCUSD_PERP-15m-2023-10-27.zip",
        "1698364800000,34161.6,34182.5,33977.4,34024.2,409953,1698365699999,1202.97118037,15095,192220,564.12041453,0\n",
        "binance inverse BTCUSD_PERP candles 15m",
        (1_698_364_800_000, 34161.6, 34182.5, 33977.4, 34024.2, 409953.0, None, 15095.0, 192220.0, None),
        VolumeUnit.CONTRACTS,
    ),
    (
        UM + "premiumIndexKlines/BTCUSDT/1h/BTCUSDT-1h-2024-01-01.zip",
        KLINE_HEADER + "1704067200000,-0.0001,0.0002,-0.0003,0.0001,0,1704070799999,0,3600,0,0,0\n",
        "binance linear BTCUSDT premium 1h",
        (1_704_067_200_000, -0.0001, 0.0002, -0.0003, 0.0001),
        VolumeUnit.BASE,
    ),
    (
        UM + "markPriceKlines/BTCUSDT/1h/BTCUSDT-1h-2020-01-01.zip",
        "open_time,open,high,low,close,ignore,close_time,ignore,count,ignore,ignore,ignore\n1704067200000,1,2,1,2,0,1704070799999,0,60,0,0,0\n",
        "binance linear BTCUSDT mark 1h",
        (1_704_067_200_000, 1.0, 2.0, 1.0, 2.0),
        VolumeUnit.BASE,
    ),
    (
        "data/futures/cm/daily/indexPriceKlines/BTCUSD/1h/BTCUSD-1h-2024-01-01.zip",
        "1704067200000,1,2,1,2,0,1704070799999,0,60,0,0,0\n",
        "binance inverse BTCUSD index 1h",
        (1_704_067_200_000, 1.0, 2.0, 1.0, 2.0),
        VolumeUnit.BASE,
    ),
    (
        UM + "aggTrades/SOLUSDT/SOLUSDT-aggTrades-2026-01-01.zip",
        ("agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"
        "1018572200,124.58,6.43,3047799741,3047799742,1767225601696,true\n"),
        "binance linear SOLUSDT agg_trades tick",
        (1_767_225_601_696_000, 124.58, 6.43, True, 1018572200, 3047799741, 3047799742),
        VolumeUnit.BASE,
    ),
    (
        "data/spot/daily/aggTrades/XLMUSDC/XLMUSDC-aggTrades-2025-01-01.zip",
        "0,0.20000000,50.00000000,0,0,1735689600010866,False,True\n",
        "binance spot XLMUSDC agg_trades tick",
        (1_735_689_600_010_866, 0.2, 50.0, False, 0, 0, 0),
        VolumeUnit.BASE,
    ),
    (
        "data/spot/monthly/trades/BTCUSDT/BTCUSDT-trades-2026-04.zip",
        "6172995294,68284.49,0.00007,4.77991430,1775001600062762,False,True\n",
        "binance spot BTCUSDT trades tick",
        (1_775_001_600_062_762, 68284.49, 0.00007, False, "6172995294"),
        VolumeUnit.BASE,
    ),
    (
        "data/futures/cm/daily/trades/BTCUSD_240628/BTCUSD_240628-trades-2024-01-01.zip",
        "id,price,qty,base_qty,time,is_buyer_maker\n1,42000.1,3,0.00714284,1704067200123,true\n",
        "binance inverse BTCUSD_240628 trades tick",
        (1_704_067_200_123_000, 42000.1, 3.0, True, "1"),
        VolumeUnit.CONTRACTS,
    ),
    (
        "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2026-06.zip",
        "calc_time,funding_interval_hours,last_funding_rate\n1780272000001,8,0.00005703\n",
        "binance linear BTCUSDT funding tick",
        (1_780_272_000_001, 0.00005703, 8.0, None),
        VolumeUnit.BASE,
    ),
    (
        UM + "metrics/BTCUSDT/BTCUSDT-metrics-2026-07-24.zip",
        ("create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,sum_toptrader_long_short_ratio,"
        "count_long_short_ratio,sum_taker_long_short_vol_ratio\n2026-07-24 00:00:00,BTCUSDT,104507.163,6792955144.28,1.68852207,,1.5,\n"),
        "binance linear BTCUSDT metrics 5m",
        (1_784_851_200_000, 104507.163, 6792955144.28, 1.68852207, None, 1.5, None),
        VolumeUnit.BASE,
    ),
    (
        UM + "bookTicker/ETHUSDT/ETHUSDT-bookTicker-2024-01-15.zip",
        "3831603310013,2474.30000000,6.00900000,2474.31000000,44.75700000,1705276800000,1705276800005\n",
        "binance linear ETHUSDT quotes tick",
        (1_705_276_800_005_000, 2474.3, 6.009, 2474.31, 44.757, 3831603310013),
        VolumeUnit.BASE,
    ),
    (
        UM + "bookDepth/BTCUSDT/BTCUSDT-bookDepth-2026-07-26.zip",
        "timestamp,percentage,depth,notional\n2026-07-26 00:00:01,-0.20,464.27300000,29840157.15020000\n",
        "binance linear BTCUSDT book_depth tick",
        (1_785_024_001_000, -0.2, 464.273, 29840157.1502),
        VolumeUnit.BASE,
    ),
    (
        "data/futures/cm/daily/liquidationSnapshot/BTCUSD_PERP/BTCUSD_PERP-liquidationSnapshot-2023-06-25.zip",
        ("time,side,order_type,time_in_force,original_quantity,price,average_price,order_status,last_fill_quantity,"
        "accumulated_fill_quantity\n1687651200123,SELL,LIMIT,IOC,5,30000.1,30010.2,FILLED,5,5\n"),
        "binance inverse BTCUSD_PERP liquidations tick",
        (1_687_651_200_123, "SELL", "LIMIT", "IOC", "FILLED", 5.0, 30000.1, 30010.2, 5.0, 5.0),
        VolumeUnit.CONTRACTS,
    ),
    (
        "data/option/daily/BVOLIndex/BTCBVOLUSDT/BTCBVOLUSDT-BVOLIndex-2026-04-01.zip",
        "calc_time,symbol,base_asset,quote_asset,index_value\n1775001600002,BTCBVOLUSDT,BTCBVOL,USDT,54.0601\n",
        "binance option BTCBVOLUSDT volatility_index tick",
        (1_775_001_600_002, 54.0601),
        VolumeUnit.BASE,
    ),
    (
        "data/option/daily/EOHSummary/ETHUSDT/ETHUSDT-EOHSummary-2023-08-01.zip",
        ("date,hour,symbol,underlying,type,strike,open,high,low,close,volume_contracts,volume_usdt,best_bid_price,best_ask_price,"
        "best_bid_qty,best_ask_qty,best_buy_iv,best_sell_iv,mark_price,mark_iv,delta,gamma,vega,theta,openinterest_contracts,"
        "openinterest_usdt\n2023-08-01,23,ETH-230804-1850-C,ETHUSDT,C,230804-1850,20.5,,18,19,1.5,28,18.8,19.2,10,11,0.3,0.4,19,0.35,0.5,0.01,1.2,"
        "-3.4,100,\n"),
        "binance option ETHUSDT option_summary 1h",
        (
            1_690_930_800_000, "ETH-230804-1850-C", "C", "230804-1850", 20.5, None, 18.0, 19.0, 1.5, 28.0, 18.8, 19.2, 10.0, 11.0,
            0.3, 0.4, 19.0, 0.35, 0.5, 0.01, 1.2, -3.4, 100.0, None,
        ),
        VolumeUnit.CONTRACTS,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "series", "row", "unit"), KINDS, ids=[case[2] for case in KINDS])
def test_every_kind_of_file_becomes_rows_of_its_series(tmp_path, name, text, series, row, unit):
    [batch] = read_text(tmp_path, text, name=name)
    assert str(batch.series) == series
    assert batch.table.schema == kind_named(batch.series.kind).schema()
    assert [tuple(found.values()) for found in batch.table.to_pylist()] == [row]
    assert (batch.volume_unit, batch.findings, batch.origin.name) == (unit, (), name)
    assert len(batch.origin.sha256) == 64


@pytest.mark.parametrize(
    "name",
    [
        KLINES,
        "/home/me/binance/um/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01.csv",
        "futures/um/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01-01.csv.gz",
    ],
)
def test_folders_say_the_market_zipped_or_not(tmp_path, name):
    content = klines(2).encode()
    [batch] = read_bytes(tmp_path, content, name=name) if "zip" not in name else read_text(tmp_path, content, name=name)
    assert str(batch.series) == "binance linear BTCUSDT candles 1m"


def test_a_bare_name_needs_its_market_stated_and_a_bare_header_the_rest(tmp_path):
    with pytest.raises(SchemaMismatchError, match="--market"):
        read_text(tmp_path, klines(2), name="BTCUSDT-1m-2024-01.zip")
    [batch] = read_text(tmp_path, klines(2), name="BTCUSDT-1m-2024-01.zip", hint=Hint(market="spot"))
    assert str(batch.series) == "binance spot BTCUSDT candles 1m"
    hint = Hint(exchange="binance_us", market="spot", symbol="BTCUSD", timeframe="60s", network="testnet")
    [batch] = read_text(tmp_path, KLINE_HEADER + klines(2), name="mine.zip", hint=hint)
    assert str(batch.series) == "binance_us.testnet spot BTCUSD candles 1m"
    with pytest.raises(SchemaMismatchError, match="not recognised: it begins with '1704067200000"):
        read_text(tmp_path, klines(2), name="mine.zip", hint=hint)


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (Hint(market="spot"), "linear"),
        (Hint(symbol="ETHUSDT"), "BTCUSDT"),
        (Hint(kind="mark"), "candles"),
        (Hint(timeframe="5m"), "1m"),
        (Hint(stamp="close"), "stamped with their open"),
        (Hint(volume_unit="quote"), "base"),
    ],
)
def test_a_statement_that_contradicts_the_name_is_refused(tmp_path, hint, words):
    with pytest.raises(SchemaMismatchError, match=words):
        read_text(tmp_path, klines(2), hint=hint)
    agreeing = Hint(
        exchange="binance", market="linear", symbol="BTCUSDT", kind="candles", timeframe="1m", stamp="open", volume_unit="base"
    )
    assert read_text(tmp_path, klines(2), hint=agreeing)[0].table.num_rows == 2


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("data/spot/monthly/klines/BTCUSDT/1mo/BTCUSDT-1mo-2024-01.zip", kline(), "no fixed length"),
        ("data/spot/monthly/klines/BTCUSDT/1M/BTCUSDT-1M-2024-01.zip", kline(), "1M means a month"),
        ("data/spot/monthly/klines/BTCUSDT/7m/BTCUSDT-7m-2024-01.zip", kline(), "does not divide a day"),
        ("data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-5m-2024-01.zip", kline(), "folders say interval 1m, its name says 5m"),
        ("data/spot/monthly/klines/BTCUSDT/1m/ETHUSDT-1m-2024-01.zip", kline(), "folders say symbol BTCUSDT, its name says ETHUSDT"),
        ("data/spot/monthly/trades/BTCUSDT/BTCUSDT-aggTrades-2024-01.zip", kline(), "folders say kind trades, its name says aggTrades"),
        ("data/spot/monthly/newKind/BTCUSDT/BTCUSDT-newKind-2024-01.zip", kline(), "files of newKind are not known"),
        ("data/spot/monthly/klines/ÄUSDT/1m/ÄUSDT-1m-2024-01.zip", kline(), "symbol"),
        ("data/spot/monthly/trades/BTCUSDT/BTCUSDT-trades-2024-01.zip", kline(), "its rows have 12 fields"),
        ("data/spot/monthly/trades/BTCUSDT/BTCUSDT-trades-2024-01.zip", KLINE_HEADER + kline(), "its header is that of klines"),
        (KLINES, KINDS[6][1], "its header is that of aggTrades"),
        (KLINES, "open,high\n1,2\n", "open_time is missing"),
        (KLINES, "garbage\n" + kline(), "no header of klines"),
        (KLINES.replace("klines", "markPriceKlines"), KLINE_HEADER + klines(3), "its bars have volumes"),
        (KINDS[11][0], KINDS[11][1].replace(",BTCUSDT,", ",ETHUSDT,"), "row 1 is of ETHUSDT"),
    ],
)  # fmt: skip
def test_a_file_whose_name_and_content_do_not_agree_is_refused_with_the_reason(tmp_path, name, text, words):
    with pytest.raises(SchemaMismatchError, match=words) as caught:
        read_text(tmp_path, text, name=name)
    assert name.rpartition("/")[2] in str(caught.value)


def test_bars_of_sampled_prices_under_a_bare_name_are_not_taken_for_candles(tmp_path):
    text = KLINE_HEADER + kline(volume=0, quote_volume=0, count=60)
    with pytest.raises(SchemaMismatchError, match="state --kind"):
        read_text(tmp_path, text, name="BTCUSDT-1m-2024-01.zip", hint=Hint(market="linear"))
    [batch] = read_text(tmp_path, text, name="BTCUSDT-1m-2024-01.zip", hint=Hint(market="linear", kind="mark"))
    assert batch.series.kind == "mark"


def test_close_times_are_handed_over_in_milliseconds_of_either_unit(tmp_path):
    [batch] = read_text(tmp_path, klines(2))
    assert batch.extra.column("end_ms").to_pylist() == [JANUARY_MS + 59_999, JANUARY_MS + 119_999]
    [batch] = read_text(tmp_path, kline(open_time=JANUARY_MS * 1000, close_time=JANUARY_MS * 1000 + 59_999_999))
    assert batch.extra.column("end_ms").to_pylist() == [JANUARY_MS + 59_999]


@pytest.mark.parametrize(
    ("changed", "rule", "words"),
    [
        ({"open_time": JANUARY_MS * 1000 + 60_000_000}, Rule.MIXED_TIME_UNITS, "in us where the file began in ms"),
        ({"open_time": JANUARY_MS // 1000}, Rule.BAD_NUMBER, "no time in ms or us"),
        ({"open_time": JANUARY_MS * 10**6}, Rule.BAD_NUMBER, "no time in ms or us"),
        ({"open_time": JANUARY_MS * 1000 + 1}, Rule.BAD_NUMBER, "parts of a millisecond"),
        ({"open_time": "1.7E+12"}, Rule.BAD_NUMBER, "start_ms is '1.7E+12'"),
        ({"close": "1O0"}, Rule.BAD_NUMBER, "close is '1O0'"),
        ({"close": ""}, None, ""),
        ({"ignore": "0\n1704067320000,1,2"}, Rule.TRUNCATED_ROW, "it has 3 fields where 12 belong"),
    ],
)
def test_a_row_that_cannot_be_read_is_marked_and_found(tmp_path, changed, rule, words):
    [batch] = read_text(tmp_path, kline(0) + kline(1) + kline(2, **changed))
    if rule is None:
        assert (batch.findings, batch.table.column("close").to_pylist()[2]) == ((), None)
        return
    marks = batch.extra.column("fault").to_pylist()
    row = 4 if rule is Rule.TRUNCATED_ROW else 3
    assert marks == [None] * (row - 1) + [rule.value]
    [finding] = [found for found in batch.findings if found.rule is rule]
    assert (finding.row, finding.count, finding.file) == (row, 1, KLINES)
    assert words in finding.detail


def test_hours_of_summaries_that_no_day_has_are_marked(tmp_path):
    name, text, *_ = KINDS[-1]
    [batch] = read_text(tmp_path, text.replace(",23,", ",24,"), name=name)
    assert [(found.rule, found.detail) for found in batch.findings] == [(Rule.BAD_NUMBER, "hour is not from 0 to 23")]
    assert batch.table.column("time_ms").to_pylist() == [None]


def test_later_blocks_number_their_rows_and_keep_the_files_unit(tmp_path, monkeypatch):
    monkeypatch.setitem(read_blocks.__kwdefaults__, "block_bytes", 1_000)
    text = klines(40) + kline(40, open_time=(JANUARY_MS + 40 * 60_000) * 1000)
    batches = read_text(tmp_path, text)
    assert len(batches) > 2
    assert "row" not in batches[0].extra.column_names
    numbers = [number for batch in batches[1:] for number in batch.extra.column("row").to_pylist()]
    assert numbers == list(range(batches[0].table.num_rows + 1, 42))
    assert [finding.row for batch in batches for finding in batch.findings] == [41]
    assert [time for batch in batches for time in batch.table.column("start_ms").to_pylist()] == [
        JANUARY_MS + n * 60_000 for n in range(41)
    ]


@given(st.lists(st.tuples(st.integers(FIRST_US, END_US - 1), st.booleans()), min_size=1, max_size=30))
def test_every_time_is_read_by_its_own_unit(times):
    values = np.array([us if in_us else us // 1000 for us, in_us in times], dtype=np.int64)
    found = read_epochs(values)
    assert found.us.tolist() == [us if in_us else us // 1000 * 1000 for us, in_us in times]
    assert found.was_us.tolist() == [in_us for _, in_us in times]
    assert found.possible.all()


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_number_is_a_time_only_from_2000_to_2100(value):
    found = read_epochs(np.array([value], dtype=np.int64))
    in_ms, in_us = FIRST_US // 1000 <= value < END_US // 1000, FIRST_US <= value < END_US
    assert bool(found.possible[0]) == (in_ms or in_us)


@needs_shared
def test_real_files_are_read_to_their_last_row():
    folder = SHARED / "data/raw/binance"
    [month] = parse_file(folder / "um/monthly/klines/AVAXUSDT/1m/AVAXUSDT-1m-2024-02.csv")
    assert str(month.series) == "binance linear AVAXUSDT candles 1m"
    assert month.table.num_rows == 41_760
    assert month.table.slice(0, 1).to_pylist()[0]["quote_volume"] == 1048736.686
    assert month.table.column("start_ms")[41_759].as_py() == 1_709_251_140_000
    [day] = parse_file(folder / "spot/daily/klines/ADABTC/1m/ADABTC-1m-2021-11-27.csv")
    assert str(day.series) == "binance spot ADABTC candles 1m"
    assert (day.table.num_rows, day.table.column("open")[0].as_py()) == (10, 0.00002853)


@needs_shared
def test_a_real_month_equals_its_independent_conversion_bit_for_bit():
    import pyarrow.parquet as pq

    [month] = parse_file(SHARED / "data/raw/binance/um/monthly/klines/AVAXUSDT/1m/AVAXUSDT-1m-2024-02.csv")
    other = pq.read_table(SHARED / "data/candles/binance_um/AVAXUSDT_1m_2024-02.parquet")
    assert month.table.column("start_ms").equals(other.column("open_time_ms"))
    for name in ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume"):
        assert month.table.column(name).to_numpy().tobytes() == other.column(name).to_numpy().tobytes(), name
