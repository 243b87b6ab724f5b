"""Every real file beside the checkout: parsed to the right rows, or refused with the reason; all tidy tables imported."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtester.data.catalog import Catalog
from backtester.data.columns import CandleColumns, join_columns
from backtester.data.importer import ImportReport, import_files
from backtester.data.parsing.formats import Hint, parse_file
from backtester.data.resample import BucketStream
from backtester.domain.errors import SchemaMismatchError
from backtester.domain.timeframe import DAY_MS, HOUR_MS, parse_time_ms
from tests.data.parsing.files import rows_of
from tests.support.shared_data import SHARED, needs_shared

DATA = SHARED / "data"
RAW = DATA / "raw"
FOLDERS = ("candles", "funding", "mark", "trades", "quotes", "book", "open_interest")
TABLES = sorted(path for folder in FOLDERS for path in (DATA / folder).rglob("*") if path.is_file()) if DATA.is_dir() else []
LINEAR = {"market": "linear", "symbol": "BTCUSDT"}
SPOT = {"market": "spot", "symbol": "BTCUSDT"}
BYBIT_RULES = "instruments-info, the trading rules of Bybit; `bt data instruments --file` takes it"


class Parsed(NamedTuple):
    """A file, what has to be stated, and what is in it: the series, the number of rows, the first row."""

    file: str
    stated: dict[str, str]
    series: str
    rows: int
    first: tuple


PARSED = (
    Parsed("binance/rest_json/http_futures_market_agg_trades.json", LINEAR, "binance linear BTCUSDT agg_trades tick", 1, (1498793709153000, 0.01633102, 4.70443515, True, 26129, 27781, 27781)),
    Parsed("binance/rest_json/http_futures_market_book_ticker.json", LINEAR, "binance linear BTCUSDT quotes tick", 1, (1589437530011000, 4.0, 431.0, 4.000002, 9.0, None)),
    Parsed("binance/rest_json/http_futures_market_continuous_klines.json", LINEAR, "binance linear BTCUSDT candles 1m", 1, (1607444700000, 18879.99, 18900.0, 18878.98, 18896.13, 492.363, 9302145.6608, 1874.0, 385.983, 7292402.33267)),
    Parsed("binance/rest_json/http_futures_market_depth.json", LINEAR, "binance linear BTCUSDT book tick", 2, (1589436922959000, 1, True, True, 4.0, 431.0, None, 1027024, None)),
    Parsed("binance/rest_json/http_futures_market_funding_rate.json", LINEAR, "binance linear BTCUSDT funding tick", 2, (1570608000000, -0.0375, None, None)),
    Parsed("binance/rest_json/http_futures_market_historical_trades.json", LINEAR, "binance linear BTCUSDT trades tick", 1, (1499865549590000, 4.000001, 12.0, True, "28457")),
    Parsed("binance/rest_json/http_futures_market_index_price_klines.json", LINEAR, "binance linear BTCUSDT index 1m", 1, (1591256400000, 9653.6944, 9653.6964, 9651.386, 9651.552)),
    Parsed("binance/rest_json/http_futures_market_klines.json", LINEAR, "binance linear BTCUSDT candles 1w", 1, (1499040000000, 0.0163479, 0.8, 0.015758, 0.015771, 148976.11427815, 2434.19055334, 308.0, 1756.87402397, 28.46694368)),
    Parsed("binance/rest_json/http_futures_market_mark_price_klines.json", LINEAR, "binance linear BTCUSDT mark 1m", 1, (1591256460000, 9653.29201333, 9654.56401333, 9653.07367333, 9653.07367333)),
    Parsed("binance/rest_json/http_futures_market_open_interest_historical.json", {"market": "linear", "symbol": "BTCUSDT", "timeframe": "5m"}, "binance linear BTCUSDT open_interest 5m", 2, (1583127900000, 20403.637, 150570784.0780998)),
    Parsed("binance/rest_json/http_futures_market_trades.json", LINEAR, "binance linear BTCUSDT trades tick", 1, (1499865549590000, 4.000001, 12.0, True, "28457")),
    Parsed("binance/rest_json/http_spot_market_agg_trades.json", SPOT, "binance spot BTCUSDT agg_trades tick", 10, (1634944096633000, 60759.6, 0.00841, False, 966492862, 1111480471, 1111480471)),
    Parsed("binance/rest_json/http_spot_market_historical_trades.json", SPOT, "binance spot BTCUSDT trades tick", 10, (1634943219887000, 60814.78, 0.00034, True, "1111471896")),
    Parsed("binance/rest_json/http_spot_market_klines.json", SPOT, "binance spot BTCUSDT candles 1m", 10, (1634943780000, 60685.22, 60729.84, 60670.9, 60719.27, 21.63272, 1313200.0134041, 617.0, 12.28492, 745719.4102284)),
    Parsed("binance/rest_json/http_spot_market_trades.json", SPOT, "binance spot BTCUSDT trades tick", 10, (1634942949263000, 60650.0, 0.02924, True, "1111468873")),
    Parsed("binance/spot/daily/klines/ADABTC/1m/ADABTC-1m-2021-11-27.csv", {}, "binance spot ADABTC candles 1m", 10, (1637971200000, 2.853e-05, 2.854e-05, 2.851e-05, 2.854e-05, 36304.2, 1.03547608, 79.0, 19523.0, 0.55694227)),
    Parsed("binance/spot/daily/klines/ADABTC/1m/ADABTC-1m-2021-11-28.csv", {}, "binance spot ADABTC candles 1m", 11, (1638057600000, 2.82e-05, 2.821e-05, 2.817e-05, 2.818e-05, 85342.7, 2.40584425, 96.0, 36241.7, 1.02183287)),
    Parsed("binance/um/T_DEPTH/btcusdt-depth-snap.csv", {}, "binance linear BTCUSDT book tick", 100, (1667346579146000, 1, True, True, 20377.0, 1.77, 2098021528332, 2098021528332, None)),
    Parsed("binance/um/T_DEPTH/btcusdt-depth-update.csv", {}, "binance linear BTCUSDT book tick", 100, (1667347199939000, 1, False, False, 20472.8, 0.0, 2098041693435, 2098041696700, 2098041693400)),
    Parsed("binance/um/monthly/klines/AVAXUSDT/1m/AVAXUSDT-1m-2024-02.csv", {}, "binance linear AVAXUSDT candles 1m", 41760, (1706745600000, 33.173, 33.278, 33.148, 33.264, 31584.0, 1048736.686, 2093.0, 15886.0, 527484.635)),
    Parsed("binance/um/ws_json/agg_trade_stream.json", {}, "binance linear BTCUSDT agg_trades tick", 1, (123456785000, 0.001, 100.0, True, 5933014, 100, 105)),
    Parsed("binance/um/ws_json/book_ticker_stream.json", {}, "binance linear BNBUSDT quotes tick", 1, (1568014460891000, 25.3519, 31.21, 25.3652, 40.66, 400900217)),
    Parsed("binance/um/ws_json/depth_update_stream.json", {}, "binance linear BTCUSDT book tick", 2, (123456788000, 1, False, True, 0.0024, 10.0, 157, 160, 149)),
    Parsed("binance/um/ws_json/kline_stream_closed.json", {}, "binance linear BTCUSDT candles 1m", 1, (1638747660000, 0.001, 0.0025, 0.001, 0.002, 1000.0, 1.0, 100.0, 500.0, 0.5)),
    Parsed("binance/um/ws_json/liquidation_stream.json", {}, "binance linear BTCUSDT liquidations tick", 1, (1568014460893, "sell", "LIMIT", "IOC", "FILLED", 0.014, 9910.0, 9910.12345678, 0.014, 0.014)),
    Parsed("binance/um/ws_json/trade_stream.json", {}, "binance linear BTCUSDT trades tick", 1, (123456785000, 0.001, 100.0, True, "5933014")),
    Parsed("bybit/orderbook/linear/XRPUSDT/2024-12-01_XRPUSDT_ob500.data.zip", {}, "bybit linear XRPUSDT book tick", 3966, (1733011200589000, 1, True, True, 1.9531, 6203.0, None, 20254869, None)),
    Parsed("bybit/v5_json/docs/market_history-fund-rate_1.json", {}, "bybit linear ETHPERP funding tick", 1, (1672041600000, 0.0001, None, None)),
    Parsed("bybit/v5_json/docs/market_index-kline_1.json", {"timeframe": "1m"}, "bybit inverse BTCUSDZ22 index 1m", 2, (1670608800000, 17167.0, 17167.0, 17161.9, 17163.07)),
    Parsed("bybit/v5_json/docs/market_kline_1.json", {"timeframe": "1h"}, "bybit inverse BTCUSD candles 1h", 3, (1670608800000, 17071.0, 17073.0, 17027.0, 17055.5, 268611.0, None, None, None, None)),
    Parsed("bybit/v5_json/docs/market_mark-kline_1.json", {"timeframe": "1h"}, "bybit linear BTCUSDT mark 1h", 1, (1670608800000, 17164.16, 17164.16, 17121.5, 17131.64)),
    Parsed("bybit/v5_json/docs/market_open-interest_1.json", {"timeframe": "1d"}, "bybit inverse BTCUSD open_interest 1d", 5, (1780963200000, 63910691.0, None)),
    Parsed("bybit/v5_json/docs/market_orderbook_1.json", {"market": "linear"}, "bybit linear BTCUSDT book tick", 2, (1716863718905000, 1, True, True, 65485.47, 47.081829, None, 230704, None)),
    Parsed("bybit/v5_json/docs/market_premium-index-kline_1.json", {"timeframe": "1d"}, "bybit linear BTCUSDT premium 1d", 2, (1652486400000, -0.000587, -0.000344, -0.00048, -0.000344)),
    Parsed("bybit/v5_json/docs/market_recent-trade_1.json", {}, "bybit spot BTCUSDT trades tick", 1, (1672052955758000, 16618.49, 0.00012, False, "2100000000007764263")),
    Parsed("bybit/v5_json/docs/websocket_public_orderbook_1.json", {"market": "linear"}, "bybit linear BTCUSDT book tick", 12, (1687940967464000, 1, False, True, 30247.2, 30.028, None, 177400507, None)),
    Parsed("bybit/v5_json/docs/websocket_public_trade_1.json", {"market": "linear"}, "bybit linear BTCUSDT trades tick", 1, (1672304486865000, 16578.5, 0.001, False, "20f43950-d8dd-5b31-9112-a178eb6023af")),
    Parsed("bybit/v5_json/fixtures/http_get_funding_history.json", {}, "bybit linear BTCUSDT funding tick", 2, (1709884800000, 0.0001, None, None)),
    Parsed("bybit/v5_json/fixtures/http_get_klines_linear.json", {"timeframe": "1m"}, "bybit linear BTCUSDT candles 1m", 1, (1709891679000, 27450.0, 27460.0, 27440.0, 27455.0, 123.45, 3390000.0, None, None, None)),
    Parsed("bybit/v5_json/fixtures/http_get_orderbook.json", {"market": "linear"}, "bybit linear BTCUSDT book tick", 6, (1709891679000000, 1, True, True, 27450.5, 1.5, None, 1234567, None)),
    Parsed("bybit/v5_json/fixtures/http_get_trades_recent.json", {}, "bybit linear BTCUSDT trades tick", 1, (1709891679000000, 27450.5, 0.005, False, "a905d5c3-1ed0-4f37-83e4-9c73a2fe2f01")),
    Parsed("bybit/v5_json/fixtures/ws_orderbook_delta.json", {"market": "linear"}, "bybit linear BTCUSDT book tick", 2, (1709891679500000, 1, False, True, 27450.0, 0.4, None, 123456790, None)),
    Parsed("bybit/v5_json/fixtures/ws_orderbook_snapshot.json", {"market": "linear"}, "bybit linear BTCUSDT book tick", 4, (1709891679000000, 1, True, True, 27450.0, 0.5, None, 123456789, None)),
    Parsed("bybit/v5_json/fixtures/ws_public_trade.json", {}, "bybit linear BTCUSDT trades tick", 1, (1709891679000000, 27451.0, 0.01, False, "9dc75fca-4bdd-4773-9f78-6f5d7ab2a110")),
    Parsed("lean/binance_margin_interest_btcusd.csv", {}, "binance inverse BTCUSD funding tick", 12, (1609200000000, 0.0002003, None, None)),
    Parsed("lean/bybit_margin_interest_btcusdt.csv", {}, "bybit linear BTCUSDT funding tick", 3, (1670889600000, -0.0002016, None, None)),
    Parsed("okx/json/http_get_candlesticks.json", {"market": "linear", "symbol": "BTC-USDT-SWAP", "timeframe": "1m"}, "okx linear BTC-USDT-SWAP candles 1m", 2, (1625097600000, 33528.6, 33870.0, 33528.6, 33783.9, 0.0, 0.0, None, None, None)),
    Parsed("okx/json/http_get_candlesticks_full.json", {"market": "linear", "symbol": "BTC-USDT-SWAP", "timeframe": "1m"}, "okx linear BTC-USDT-SWAP candles 1m", 2, (1747094040000, 102806.1, 102820.4, 102806.1, 102820.4, 10.4037, 1069603.34883, None, None, None)),
    Parsed("okx/json/http_get_funding_rate_history.json", {}, "okx linear BTC-USDT-SWAP funding tick", 2, (1704067200000, 0.00015, None, None)),
    Parsed("okx/json/http_get_order_book.json", {"market": "spot", "symbol": "BTC-USDT"}, "okx spot BTC-USDT book tick", 6, (1704067200000000, 1, True, True, 41006.7, 0.487921, None, None, None)),
    Parsed("okx/json/http_get_trades.json", {}, "okx spot BTC-USDT trades tick", 2, (1747087163557000, 102537.9, 0.00013669, True, "734864333")),
    Parsed("okx/json/ws_bbo_tbt.json", {}, "okx spot BTC-USDT quotes tick", 1, (1597026383085000, 8476.97, 256.0, 8476.98, 415.0, 123456)),
    Parsed("okx/json/ws_books_snapshot.json", {}, "okx spot BTC-USDT book tick", 16, (1597026383085000, 1, True, True, 8476.97, 256.0, None, 123456, None)),
    Parsed("okx/json/ws_books_update.json", {}, "okx spot BTC-USDT book tick", 16, (1597026383085000, 1, False, True, 8476.97, 256.0, None, 123457, 123456)),
    Parsed("okx/json/ws_candle.json", {}, "okx spot BTC-USDT candles 1d", 1, (1597026383085, 8533.02, 8553.74, 8527.17, 8548.26, 45247.0, 5529.5858061, None, None, None)),
    Parsed("okx/json/ws_trades.json", {}, "okx spot BTC-USD trades tick", 1, (1630048897897000, 42219.9, 0.12060306, False, "130639474")),
    Parsed("tardis/binance-futures_book_snapshot_5_BTCUSDT.csv", {}, "binance linear BTCUSDT book tick", 100, (1598918403696000, 1, True, True, 11657.07, 10.896, None, None, None)),
    Parsed("tardis/deribit_incremental_book_L2_BTC-PERPETUAL.csv", {}, "deribit inverse BTC-PERPETUAL book tick", 15, (1585699200245000, 1, True, False, 6421.5, 18640.0, None, None, None)),
)  # fmt: skip

RECORDINGS = {
    "binance/spot/ws/btcusdt_20240808.gz": {
        "binance spot BTCUSDT book tick": 126_090,
        "binance spot BTCUSDT quotes tick": 28_040,
        "binance spot BTCUSDT trades tick": 9_757,
    },
    "binance/um/ws/BINANCE_FUTURES.http.0.0": {
        "binance linear SUSHIUSDT book tick": 2_000,
        "binance linear AKROUSDT book tick": 1_372,
        "binance linear KEEPUSDT book tick": 1_012,
        "binance linear CTKUSDT book tick": 1_229,
    },
    "binance/um/ws/BINANCE_FUTURES.ws.1.0": {
        f"binance linear {symbol}USDT {what}": rows
        for symbol, counts in {
            "SUSHI": (305, 4_029, 40, 1),
            "AKRO": (88, 953, 8, 1),
            "KEEP": (75, 599, 5, 1),
            "CTK": (145, 716, 38, 1),
        }.items()
        for what, rows in zip(("quotes tick", "book tick", "agg_trades tick", "candles 1m"), counts, strict=True)
    },
}

REFUSED = {
    "binance/checksums/granular_manifest.json": "a list of files and their checksums, which is no market data",
    "binance/rest_json/http_futures_market_asset_index.json": "the asset index of multi-asset margin, which is no series",
    "binance/rest_json/http_futures_market_blvt_nav_kline.json": "net asset values of a leveraged token, which are no market's prices",
    "binance/rest_json/http_futures_market_exchange_info.json": "exchangeInfo, the trading rules of Binance",
    "binance/rest_json/http_futures_market_global_long_short_account_ratio.json": "ratios of long and short accounts",
    "binance/rest_json/http_futures_market_index_info.json": "the composition of an index, which is no series",
    "binance/rest_json/http_futures_market_open_interest.json": "the open interest of one moment",
    "binance/rest_json/http_futures_market_premium_index.json": "the mark price and expected funding of one moment, which is no series",
    "binance/rest_json/http_futures_market_taker_long_short_ratio.json": "ratios of bought and sold volume",
    "binance/rest_json/http_futures_market_ticker_24hr.json": "a 24-hour ticker, which is no series",
    "binance/rest_json/http_futures_market_ticker_price.json": "the price of one moment, which is no series",
    "binance/rest_json/http_futures_market_top_long_short_account_ratio.json": "ratios of long and short accounts",
    "binance/rest_json/http_futures_market_top_long_short_position_ratio.json": "ratios of long and short accounts",
    "binance/rest_json/http_spot_market_avg_price.json": "the average price of one moment, which is no series",
    "binance/rest_json/http_spot_market_book_ticker.json": "a quote without a time: when it was so is not said",
    "binance/rest_json/http_spot_market_depth.json": "a book without a time: when it was so is not said",
    "binance/rest_json/http_spot_market_exchange_info.json": "exchangeInfo, the trading rules of Binance",
    "binance/rest_json/http_spot_market_ping.json": "an empty answer",
    "binance/rest_json/http_spot_market_ticker_price.json": "the price of one moment, which is no series",
    "binance/rest_json/http_spot_market_time.json": "the time of the server",
    "binance/spot/exchangeInfo_2021-10-12_subset.json": "exchangeInfo, the trading rules of Binance",
    "binance/um/exchangeInfo_2021-07-21.json": "exchangeInfo, the trading rules of Binance",
    "binance/um/leverage_tiers_ccxt.json": "leverage tiers of Binance",
    "binance/um/ws_json/kline_stream_open.json": "a bar that has not closed",
    "binance/um/ws_json/mark_price_stream.json": "the mark price and expected funding of one moment",
    "binance/um/ws_json/ticker_stream.json": "a 24-hour ticker, which is no series",
    "binance/updates/2022-10-04_aggregate_trade_updates.csv": "a list of archives that were replaced, which is no market data",
    "bybit/v2_legacy/BYBIT.0": "messages of Bybit's v2 interface, retired in 2023",
    "bybit/v2_legacy/BYBIT.ws.26.0": "messages of Bybit's v2 interface, retired in 2023",
    "bybit/v5_json/docs/account_fee-rate_1.json": "fee rates of an account, which are no market data",
    "bybit/v5_json/docs/market_instrument_1.json": BYBIT_RULES,
    "bybit/v5_json/docs/market_instrument_2.json": BYBIT_RULES,
    "bybit/v5_json/docs/market_instrument_3.json": BYBIT_RULES,
    "bybit/v5_json/docs/market_instrument_4.json": BYBIT_RULES,
    "bybit/v5_json/docs/market_tickers_1.json": "tickers, the state of one moment, which are no series",
    "bybit/v5_json/docs/market_tickers_2.json": "tickers, the state of one moment, which are no series",
    "bybit/v5_json/docs/market_tickers_3.json": "tickers, the state of one moment, which are no series",
    "bybit/v5_json/docs/websocket_public_kline_1.json": "a bar that has not closed",
    "bybit/v5_json/docs/websocket_public_ticker_1.json": "tickers, the state of one moment, which are no series",
    "bybit/v5_json/docs/websocket_public_ticker_2.json": "tickers, the state of one moment, which are no series",
    "bybit/v5_json/fixtures/http_get_fee_rate.json": "fee rates of an account, which are no market data",
    "bybit/v5_json/fixtures/http_get_instruments_inverse.json": BYBIT_RULES,
    "bybit/v5_json/fixtures/http_get_instruments_inverse_symbol_type.json": BYBIT_RULES,
    "bybit/v5_json/fixtures/http_get_instruments_linear.json": BYBIT_RULES,
    "bybit/v5_json/fixtures/http_get_instruments_linear_symbol_type.json": BYBIT_RULES,
    "bybit/v5_json/fixtures/http_get_instruments_option.json": BYBIT_RULES,
    "bybit/v5_json/fixtures/http_get_instruments_option_symbol_id.json": BYBIT_RULES,
    "bybit/v5_json/fixtures/http_get_instruments_spot.json": BYBIT_RULES,
    "bybit/v5_json/fixtures/http_get_instruments_spot_xstocks.json": BYBIT_RULES,
    "bybit/v5_json/fixtures/ws_kline.json": "a bar that has not closed",
    "bybit/v5_json/fixtures/ws_subscription_ack.json": "the answer to a subscription",
    "bybit/v5_json/fixtures/ws_subscription_failure.json": "the answer to a subscription",
    "bybit/v5_json/fixtures/ws_ticker_linear.json": "tickers, the state of one moment, which are no series",
    "bybit/v5_json/fixtures/ws_ticker_option.json": "tickers, the state of one moment, which are no series",
    "lean/symbol_properties_binance_bybit.csv": "trading rules in Lean's form",
    "okx/json/http_get_instruments_spot.json": "the trading rules of OKX",
    "okx/json/http_get_instruments_swap.json": "the trading rules of OKX",
    "okx/json/http_get_position_tiers.json": "position tiers of OKX, which are trading rules and no market data",
    "okx/json/ws_funding_rate.json": "the funding rate expected at one moment",
}  # fmt: skip


@needs_shared
def test_no_raw_file_is_forgotten():
    named = [one.file for one in PARSED] + list(RECORDINGS) + list(REFUSED)
    assert sorted(named) == sorted(path.relative_to(RAW).as_posix() for path in RAW.rglob("*") if path.is_file())


@needs_shared
@pytest.mark.parametrize("one", PARSED, ids=lambda one: one.file)
def test_a_raw_file_is_parsed_to_its_rows(one):
    batches = list(parse_file(RAW / one.file, hint=Hint(**one.stated)))
    assert {str(batch.series) for batch in batches} == {one.series}
    rows = rows_of(batches)
    assert (len(rows), rows[0]) == (one.rows, one.first)


@needs_shared
@pytest.mark.parametrize("file", RECORDINGS)
def test_a_recording_is_parsed_to_the_rows_of_each_series(file):
    found: dict[str, int] = {}
    for batch in parse_file(RAW / file):
        found[str(batch.series)] = found.get(str(batch.series), 0) + batch.table.num_rows
    assert found == RECORDINGS[file]


@needs_shared
@pytest.mark.parametrize("file", REFUSED)
def test_what_is_no_market_data_is_refused_with_what_it_is(file):
    with pytest.raises(SchemaMismatchError) as caught:
        list(parse_file(RAW / file, hint=Hint(**LINEAR)))
    assert str(caught.value).startswith(f"{(RAW / file).as_posix()} holds {REFUSED[file]}")
    assert str(caught.value).endswith("; it is not imported")


@needs_shared
def test_the_recording_has_the_same_rows_as_the_table_that_others_made_of_it():
    """The spot table joins two recordings; the first of them is here."""
    mine: dict[str, list[pa.Table]] = {}
    for batch in parse_file(RAW / "binance/spot/ws/btcusdt_20240808.gz"):
        mine.setdefault(batch.series.kind, []).append(batch.table)
    tables = {"trades": "BTCUSDT_2024-08-08", "quotes": "BTCUSDT_bbo_2024-08-08", "book": "BTCUSDT_2024-08-08"}
    assert mine.keys() == tables.keys()
    for kind, name in tables.items():
        recorded = pa.concat_tables(mine[kind])
        theirs = pa.concat_tables(batch.table for batch in parse_file(DATA / kind / "binance_spot" / f"{name}.parquet"))
        assert recorded.equals(theirs.slice(0, recorded.num_rows)), kind


@pytest.fixture(scope="module")
def imported(tmp_path_factory) -> tuple[Catalog, ImportReport]:
    """All tables in one catalog that was empty, and what was told about it."""
    catalog = Catalog(tmp_path_factory.mktemp("tables"))
    return catalog, import_files(TABLES, catalog=catalog)


@needs_shared
def test_every_table_is_imported_into_an_empty_catalog(imported):
    _, report = imported
    assert [(one.path, one.error) for one in report.refused] == []
    rows = {one.path: sum(series.rows_written for series in one.series) for one in report.files}
    assert rows == {path: pq.ParquetFile(path).metadata.num_rows for path in TABLES}


@needs_shared
def test_importing_a_table_of_each_kind_again_changes_nothing(imported):
    catalog, _ = imported
    stored = catalog.all_series()
    small = [path for path in TABLES if path.stat().st_size < 500_000]
    assert {path.relative_to(DATA).parts[0] for path in small} == {*FOLDERS} - {"book"}
    again = import_files([*small, DATA / "book/binance_spot/BTCUSDT_2024-08-08.parquet"], catalog=catalog)
    assert sum(series.rows_written for one in again.files for series in one.series) == 0
    assert catalog.all_series() == stored


@needs_shared
def test_the_tables_are_there_where_shared_data_is():
    assert [path.suffix for path in TABLES] == [".parquet"] * 50


def stored(catalog: Catalog, symbol: str, timeframe: str) -> CandleColumns:
    return join_columns(*catalog.read("binance", "linear", symbol, timeframe, 0, 10**14))


def resampled(columns: CandleColumns, symbol: str, length_ms: int) -> dict[int, tuple]:
    """Buckets that have all their bars, by start."""
    step_ms = int(columns.start_ms[1] - columns.start_ms[0])
    stream = BucketStream(symbol, length_ms=length_ms, execution_ms=step_ms)
    stream.add(columns)
    candles = stream.take_until(int(columns.start_ms[-1]) + step_ms)
    return {one.start_ms: (one.open, one.high, one.low, one.close, one.volume) for one in candles if one.complete}


@pytest.fixture(scope="module")
def um(imported) -> Catalog:
    return imported[0]


def differing(finer: dict[int, tuple], coarser: CandleColumns) -> list[int]:
    """Starts in both at which they are not the same candle; volumes were summed in another order."""
    theirs = dict(zip(coarser.start_ms.tolist(), zip(*(column.tolist() for column in coarser[1:]), strict=True), strict=True))
    common = [start_ms for start_ms in finer if start_ms in theirs]
    assert common
    return [
        start_ms
        for start_ms in common
        if finer[start_ms][:4] != theirs[start_ms][:4] or finer[start_ms][4] != pytest.approx(theirs[start_ms][4], rel=1e-9)
    ]


@needs_shared
@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_minutes_make_the_hours_that_were_downloaded_on_their_own(um, symbol):
    hours = resampled(stored(um, symbol, "1m"), symbol, HOUR_MS)
    assert len(hours) == 1_218
    assert differing(hours, stored(um, symbol, "1h")) == []


@needs_shared
@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_five_minutes_make_the_hours_but_for_those_of_outages(um, symbol):
    """The six hours of 3,370 that the catalogue of the shared data tells of."""
    hours = resampled(stored(um, symbol, "5m"), symbol, HOUR_MS)
    assert len(hours) == 3_370
    outages = ("2024-10-28T20", "2024-10-28T21", "2025-01-14T13", "2025-01-14T15", "2025-01-29T01", "2025-01-29T02")
    assert differing(hours, stored(um, symbol, "1h")) == [parse_time_ms(f"{hour}:00") for hour in outages]


@needs_shared
@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_hours_make_the_days_but_for_the_outage(um, symbol):
    days = resampled(stored(um, symbol, "1h"), symbol, DAY_MS)
    coarser = stored(um, symbol, "1d")
    assert set(coarser.start_ms.tolist()) <= set(days)
    assert len(coarser.start_ms) == 799
    assert differing(days, coarser) == [parse_time_ms("2024-10-28")]
    outage = parse_time_ms("2024-10-28")
    row = coarser.start_ms.tolist().index(outage)
    assert days[outage][:4] == tuple(float(column[row]) for column in coarser[1:5])


@needs_shared
def test_finer_bars_of_other_symbols_have_no_independent_hours_beside_them(um):
    """Where hourly bars of SOLUSDT or BNBUSDT are added, the comparison above must take them in."""
    stored_1h = {one.symbol for one in um.series() if one[:2] == ("binance", "linear") and one.timeframe == "1h"}
    assert stored_1h & {one.symbol for one in um.series() if one[:2] == ("binance", "linear") and one.timeframe == "1m"} == {
        "BTCUSDT",
        "ETHUSDT",
    }
