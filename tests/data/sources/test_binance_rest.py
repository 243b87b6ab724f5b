"""The interface's pages become rows: all of them, once, and none of a bar that is still open."""

from __future__ import annotations

import pytest

from backtester.data.http_client import HttpClient
from backtester.data.kinds import VolumeUnit
from backtester.data.series import series_of
from backtester.data.sources.binance_archive import times_ms
from backtester.data.sources.binance_rest import BinanceRest
from backtester.data.sources.source import DataRequest
from backtester.domain.errors import DataUnavailableError, DownloadError, SchemaMismatchError
from tests.support.archive_server import ArchiveServer, Fault
from tests.support.binance_files import bars, kline_answer, ms

HOUR_MS = 3_600_000
NOW_MS = ms("2024-03-20T12:30:00")
FIRST_MS = ms("2023-01-01")


@pytest.fixture
def server():
    with ArchiveServer() as running:
        yield running


@pytest.fixture
def http():
    client = HttpClient(allow_net=True, retries=1, wait=lambda seconds: None)
    yield client
    client.close()


@pytest.fixture
def rest(server, http):
    return BinanceRest(http, now_ms=lambda: NOW_MS, rest_url=server.url)


def request(start, end, **identity):
    names = {"exchange": "binance", "market": "linear", "symbol": "ETHUSDT", "timeframe": "1h", **identity}
    return DataRequest(series_of(**names), ms(start), ms(end))


def starts(rest, asked):
    return [time for raw in rest.raw_batches(asked) for time in times_ms(raw).tolist()]


def hours(start, end):
    return list(range(ms(start), ms(end), HOUR_MS))


@pytest.mark.parametrize(
    ("market", "kind", "path", "limit"),
    [
        ("spot", "candles", "/api/v3/klines", 1000),
        ("linear", "candles", "/fapi/v1/klines", 1500),
        ("linear", "mark", "/fapi/v1/markPriceKlines", 1500),
        ("linear", "index", "/fapi/v1/indexPriceKlines", 1500),
        ("linear", "premium", "/fapi/v1/premiumIndexKlines", 1500),
        ("inverse", "candles", "/dapi/v1/klines", 1500),
    ],
)
def test_bars_of_many_pages_come_each_once(server, rest, market, kind, path, limit):
    server.answers[path] = kline_answer(FIRST_MS, NOW_MS, limit_max=limit)
    asked = request("2023-06-01", "2024-01-01", market=market, kind=kind)
    assert starts(rest, asked) == hours("2023-06-01", "2024-01-01")
    assert {one.query["limit"] for one in server.asked} == {str(limit)}


def test_bars_of_a_time_before_trading_began_take_one_question(server, rest):
    server.answers["/fapi/v1/klines"] = kline_answer(FIRST_MS, NOW_MS)
    assert starts(rest, request("2020-01-01", "2023-01-03")) == hours("2023-01-01", "2023-01-03")
    assert len(server.asked) == 1


def test_a_bar_that_is_open_by_the_servers_time_is_left_out(server, rest):
    server.answers["/fapi/v1/klines"] = kline_answer(FIRST_MS, NOW_MS)
    server.answers["/fapi/v1/time"] = lambda query: {"serverTime": ms("2024-03-20T11:59:59")}
    assert starts(rest, request("2024-03-20", "2024-03-21"))[-1] == ms("2024-03-20T10:00:00")
    server.answers["/fapi/v1/time"] = lambda query: {"serverTime": ms("2024-03-20T12:00:00")}
    assert starts(rest, request("2024-03-20", "2024-03-21"))[-1] == ms("2024-03-20T11:00:00")


def test_where_the_server_does_not_tell_the_time_our_own_serves(server, rest):
    server.answers["/fapi/v1/klines"] = kline_answer(FIRST_MS, NOW_MS)
    assert starts(rest, request("2024-03-20", "2024-03-21"))[-1] == ms("2024-03-20T11:00:00")


def test_volumes_count_what_the_market_counts(server, rest):
    answer = kline_answer(FIRST_MS, NOW_MS)
    server.answers |= {"/fapi/v1/klines": answer, "/dapi/v1/klines": answer}
    (linear,) = rest.raw_batches(request("2024-01-01", "2024-01-02"))
    (inverse,) = rest.raw_batches(request("2024-01-01", "2024-01-02", market="inverse", symbol="BTCUSD_PERP"))
    assert (linear.volume_unit, inverse.volume_unit) == (VolumeUnit.BASE, VolumeUnit.CONTRACTS)
    first = bars(ms("2024-01-01"), ms("2024-01-02"))[0]
    assert linear.table.to_pylist()[0] == {
        "start_ms": first[0],
        "open": float(first[1]),
        "high": float(first[2]),
        "low": float(first[3]),
        "close": float(first[4]),
        "volume": 12.5,
        "quote_volume": float(first[7]),
        "trade_count": 321.0,
        "taker_buy_volume": 6.25,
        "taker_buy_quote_volume": float(first[10]),
    }
    assert inverse.table["quote_volume"].null_count == inverse.table.num_rows


def test_the_index_is_asked_for_by_its_pair(server, rest):
    server.answers["/dapi/v1/indexPriceKlines"] = kline_answer(FIRST_MS, NOW_MS)
    list(rest.raw_batches(request("2024-01-01", "2024-01-02", market="inverse", symbol="BTCUSD_PERP", kind="index")))
    assert server.asked[0].query["pair"] == "BTCUSD"


def test_funding_of_many_pages_comes_each_once_with_its_mark_price(server, rest):
    rows = [
        {"symbol": "ETHUSDT", "fundingRate": "-0.00010000", "fundingTime": time + 3, "markPrice": "2000.5" if time % 2 else ""}
        for time in range(ms("2022-01-01"), ms("2024-01-01"), 8 * HOUR_MS)
    ]

    def answer(query):
        inside = [row for row in rows if int(query["startTime"]) <= row["fundingTime"] <= int(query["endTime"])]
        return inside[: int(query["limit"])]

    server.answers["/fapi/v1/fundingRate"] = answer
    (batch,) = rest.raw_batches(request("2022-01-01", "2024-01-01", kind="funding", timeframe=None))
    assert batch.table["time_ms"].to_pylist() == [row["fundingTime"] for row in rows]
    assert batch.table.to_pylist()[0] == {
        "time_ms": ms("2022-01-01") + 3,
        "rate": -0.0001,
        "interval_hours": None,
        "mark_price": None,
    }


def test_trades_of_one_millisecond_are_not_lost_between_pages(server, rest):
    first = ms("2024-01-01T02:30:00")
    rows = [
        {"a": 500 + i, "p": "2000.1", "q": "0.5", "f": 2 * i, "l": 2 * i + 1, "T": first + i // 1500, "m": i % 2 == 0}
        for i in range(2500)
    ]

    def answer(query):
        if "fromId" in query:
            inside = [row for row in rows if row["a"] >= int(query["fromId"])]
        else:
            assert int(query["endTime"]) - int(query["startTime"]) < HOUR_MS
            inside = [row for row in rows if int(query["startTime"]) <= row["T"] <= int(query["endTime"])]
        return inside[: int(query["limit"])]

    server.answers["/fapi/v1/aggTrades"] = answer
    asked = request("2024-01-01", "2024-01-02", kind="agg_trades", timeframe=None)
    ids = [number for raw in rest.raw_batches(asked) for number in raw.table["agg_id"].to_pylist()]
    assert ids == list(range(500, 3000))


def test_spot_trades_are_asked_for_in_microseconds(server, rest):
    time_us = ms("2024-01-01") * 1000 + 123_456
    row = {"a": 1, "p": "2", "q": "3", "f": 1, "l": 1, "T": time_us, "m": False, "M": True}
    server.answers["/api/v3/aggTrades"] = lambda query: [] if "fromId" in query else [row]
    asked = request("2024-01-01", "2024-01-01T01:00:00", market="spot", kind="agg_trades", timeframe=None)
    (raw,) = rest.raw_batches(asked)
    assert raw.table["time_us"].to_pylist() == [time_us]
    assert {name.lower(): value for name, value in server.asked[0].headers.items()}["x-mbx-time-unit"] == "MICROSECOND"


def test_open_interest_is_asked_for_in_windows_of_the_month_that_is_kept(server, rest):
    def answer(query):
        assert int(query["endTime"]) - int(query["startTime"]) < 500 * 300_000
        times = range(-(-int(query["startTime"]) // 300_000) * 300_000, int(query["endTime"]) + 1, 300_000)
        return [{"symbol": "ETHUSDT", "sumOpenInterest": "10", "sumOpenInterestValue": "20", "timestamp": time} for time in times]

    server.answers["/futures/data/openInterestHist"] = answer
    times = starts(rest, request("2024-01-01", "2024-03-20", kind="open_interest", timeframe="5m"))
    assert times == list(range(ms("2024-02-19T13:30:00"), ms("2024-03-20"), 300_000))


# -- refusals --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        ({"market": "spot", "kind": "funding", "timeframe": None}, "no funding of the spot market; it has candles, agg_trades"),
        ({"market": "option"}, "no candles of the option market"),
        ({"kind": "trades", "timeframe": None}, "no trades of the linear market"),
        ({"timeframe": "10m"}, "no candles of 10m"),
    ],
)
def test_what_the_interface_does_not_have_is_not_asked_for(server, rest, identity, message):
    with pytest.raises(DataUnavailableError, match=message):
        list(rest.raw_batches(request("2024-01-01", "2024-01-02", **identity)))
    assert server.asked == []


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ((400, {"code": -1121, "msg": "Invalid symbol."}), DataUnavailableError, "does not know the symbol ETHUSDT"),
        ((451, {"msg": "restricted location"}), DownloadError, "HTTP 451"),
        ((403, {}), DownloadError, "--via archive"),
        ({"code": 0}, DownloadError, "in place of rows"),
        ([], DataUnavailableError, "has nothing of binance linear ETHUSDT candles 1h"),
        ([[1, 2]], SchemaMismatchError, "another shape than known"),
        ([["x"]], SchemaMismatchError, "another shape than known"),
        ([[1_704_070_800_000, "a", "b", "c", "d", "e", 0, 0, 0, 0, 0]], SchemaMismatchError, "another shape than known"),
    ],
)
def test_an_answer_that_holds_no_rows_ends_with_a_clear_error(server, rest, answer, error, message):
    server.answers["/fapi/v1/klines"] = lambda query: answer
    with pytest.raises(error, match=message):
        list(rest.raw_batches(request("2024-01-01", "2024-01-02")))


def test_a_server_that_answers_the_same_page_for_ever_is_left(server, rest):
    page = bars(ms("2024-01-01"), ms("2024-01-03"))
    server.answers["/fapi/v1/klines"] = lambda query: page
    with pytest.raises(DownloadError, match="ends before"):
        starts(rest, request("2024-01-01", "2024-02-01"))


def test_a_limit_that_was_met_is_waited_out(server, rest):
    server.answers["/fapi/v1/klines"] = kline_answer(FIRST_MS, NOW_MS)
    server.faults["/fapi/v1/klines"] = [Fault(429, {"Retry-After": "5"})]
    assert starts(rest, request("2024-01-01", "2024-01-02")) == hours("2024-01-01", "2024-01-02")


def test_each_market_has_its_own_address_unless_one_is_given(http):
    series = request("2024-01-01", "2024-01-02").series
    live = BinanceRest(http, now_ms=lambda: NOW_MS, rest_url="https://api.binance.com")
    assert [live._base(series._replace(market=market)) for market in ("spot", "linear", "inverse")] == [
        "https://api.binance.com",
        "https://fapi.binance.com",
        "https://dapi.binance.com",
    ]
    assert "testnet" in BinanceRest(http, now_ms=lambda: NOW_MS, network="testnet")._base(series)
