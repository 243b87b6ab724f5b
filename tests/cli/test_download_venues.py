"""`bt data download` as it is typed for each venue and each kind of file, against servers on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from backtester.cli.main import main
from backtester.data.catalog import Catalog
from tests.support.archive_server import ArchiveServer
from tests.support.binance_files import bars, csv_text, ms
from tests.support.bybit_server import BybitMarket, bybit
from tests.support.ccxt_server import Okx, venue

NOW_MS = ms("2024-03-20T12:30:00")
DAY, NEXT = "2024-01-15", "2024-01-16"
UM, CM, SPOT = "/data/futures/um/daily", "/data/futures/cm/daily", "/data/spot/daily"
KLINES = csv_text(bars(ms(DAY), ms(NEXT)))
PRICES = csv_text([[*row[:5], "0", row[6], "0", 60, "0", "0", "0"] for row in bars(ms(DAY), ms(NEXT))])
TRADES = f"1,42000.1,0.5,21000.05,{ms(DAY)},true\n2,42000.2,0.25,10500.05,{ms(DAY) + 5},false\n"
AGG_TRADES = f"1,42000.1,0.5,1,2,{ms(DAY)},true\n2,42000.2,0.25,3,3,{ms(DAY) + 5},false\n"
TICKERS = f"11,42000.1,6.0,42000.2,4.7,{ms(DAY)},{ms(DAY) + 5}\n"
DEPTH = f"timestamp,percentage,depth,notional\n{DAY} 00:00:01,-0.20,464.2,29840157.1\n{DAY} 00:00:01,0.20,64.2,2984015.1\n"
BVOL = f"calc_time,symbol,base_asset,quote_asset,index_value\n{ms(DAY) + 2},BTCBVOLUSDT,BTCBVOL,USDT,54.06\n"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BT_DATA", raising=False)
    monkeypatch.setattr("backtester.cli.download_command._system_ms", lambda: NOW_MS)


@pytest.fixture
def bt(capsys):
    def run(words: str) -> tuple[int, str]:
        code = main(["data", "download", *words.split(), "--data", "cat"])
        return code, capsys.readouterr().err

    return run


def stored() -> dict[tuple[str, str, str, str, str], int]:
    return {(one.exchange, one.market, one.symbol, one.kind, one.timeframe): one.rows for one in Catalog(Path("cat")).all_series()}


@pytest.mark.parametrize(
    ("market", "symbol", "kind", "path", "text", "rows"),
    [
        ("spot", "BTCUSDT", "candles", f"{SPOT}/klines/BTCUSDT/1h/BTCUSDT-1h-{DAY}.zip", KLINES, 24),
        ("futures", "BTCUSDT", "mark", f"{UM}/markPriceKlines/BTCUSDT/1h/BTCUSDT-1h-{DAY}.zip", PRICES, 24),
        ("futures", "BTCUSDT", "index", f"{UM}/indexPriceKlines/BTCUSDT/1h/BTCUSDT-1h-{DAY}.zip", PRICES, 24),
        ("futures", "BTCUSDT", "premium", f"{UM}/premiumIndexKlines/BTCUSDT/1h/BTCUSDT-1h-{DAY}.zip", PRICES, 24),
        ("futures", "BTCUSDT", "trades", f"{UM}/trades/BTCUSDT/BTCUSDT-trades-{DAY}.zip", TRADES, 2),
        ("futures", "BTCUSDT", "agg_trades", f"{UM}/aggTrades/BTCUSDT/BTCUSDT-aggTrades-{DAY}.zip", AGG_TRADES, 2),
        ("futures", "BTCUSDT", "quotes", f"{UM}/bookTicker/BTCUSDT/BTCUSDT-bookTicker-{DAY}.zip", TICKERS, 1),
        ("futures", "BTCUSDT", "book_depth", f"{UM}/bookDepth/BTCUSDT/BTCUSDT-bookDepth-{DAY}.zip", DEPTH, 2),
        ("inverse", "BTCUSD_PERP", "candles", f"{CM}/klines/BTCUSD_PERP/1h/BTCUSD_PERP-1h-{DAY}.zip", KLINES, 24),
        ("inverse", "BTCUSD_PERP", "index", f"{CM}/indexPriceKlines/BTCUSD/1h/BTCUSD-1h-{DAY}.zip", PRICES, 24),
        ("inverse", "BTCUSD_PERP", "trades", f"{CM}/trades/BTCUSD_PERP/BTCUSD_PERP-trades-{DAY}.zip", TRADES, 2),
        ("inverse", "BTCUSD_PERP", "quotes", f"{CM}/bookTicker/BTCUSD_PERP/BTCUSD_PERP-bookTicker-{DAY}.zip", TICKERS, 1),
        (
            "option",
            "BTCBVOLUSDT",
            "volatility_index",
            f"/data/option/daily/BVOLIndex/BTCBVOLUSDT/BTCBVOLUSDT-BVOLIndex-{DAY}.zip",
            BVOL,
            1,
        ),
    ],
)
def test_every_kind_of_the_archive_is_downloaded(market, symbol, kind, path, text, rows, bt) -> None:
    words = f"--exchange binance --market {market} --symbols {symbol} --kind {kind} --start {DAY} --end {NEXT} --via archive"
    length = " --timeframe 1h" if rows == 24 else ""
    with ArchiveServer() as server:
        server.publish(path, text)
        assert bt(f"{words}{length} --base-url {server.url}") == (0, "")
        assert path in server.paths()
        count = len(server.asked)
        assert bt(f"{words}{length} --base-url {server.url}") == (0, "")
        assert len(server.asked) == count
    own = {"futures": "linear"}.get(market, market)
    assert stored() == {("binance", own, symbol, kind, "1h" if length else "tick"): rows}


def test_bybit_gives_candles_funding_and_marks() -> None:
    words = "--exchange bybit --market linear --symbols BTCUSDT --timeframe 5m --kind candles,funding,mark"
    with bybit(BybitMarket(first_ms=ms("2024-01-01"), now_ms=NOW_MS)) as server:
        span = f"--start {DAY} --end 2024-01-17 --base-url {server.url} --rest-url {server.url} --data cat"
        assert main(["data", "download", *words.split(), *span.split()]) == 0
    assert stored() == {
        ("bybit", "linear", "BTCUSDT", "candles", "5m"): 576,
        ("bybit", "linear", "BTCUSDT", "funding", "tick"): 6,
        ("bybit", "linear", "BTCUSDT", "mark", "5m"): 576,
    }


def test_any_exchange_is_reached_through_ccxt_with_its_history_of_funding(bt) -> None:
    words = "--exchange okx --via ccxt --symbols BTC/USDT:USDT --timeframe 1h --kind candles,funding"
    with venue(Okx(first_ms=ms("2024-01-01"), now_ms=NOW_MS)) as server:
        assert bt(f"{words} --start {DAY} --end 2024-01-17 --rest-url {server.url}") == (0, "")
        funding = [one.query for one in server.asked if one.path.endswith("funding-rate-history")]
    assert {one["instId"] for one in funding} == {"BTC-USDT-SWAP"}
    assert stored() == {("okx", "linear", "BTCUSDT", "candles", "1h"): 48, ("okx", "linear", "BTCUSDT", "funding", "tick"): 6}
