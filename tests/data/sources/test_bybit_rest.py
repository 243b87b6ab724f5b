"""Against the real pybit client, pointed at a server on this machine."""

from __future__ import annotations

import logging

import pyarrow as pa
import pytest

from backtester.data.findings import Rule
from backtester.data.kinds import VolumeUnit
from backtester.data.series import series_of
from backtester.data.sources.bybit_rest import BybitRest
from backtester.data.sources.source import DataRequest
from backtester.domain.errors import ConfigError, DataUnavailableError, DownloadError, NetworkForbiddenError
from backtester.domain.timeframe import DAY_MS, HOUR_MS, MINUTE_MS
from tests.support.bybit_server import BybitMarket, bybit
from tests.support.loopback import Reply

START_MS = 1_700_000_040_000 // DAY_MS * DAY_MS
NOW_MS = START_MS + 30 * HOUR_MS + 20_000


@pytest.fixture
def market() -> BybitMarket:
    return BybitMarket(first_ms=START_MS, now_ms=NOW_MS)


@pytest.fixture
def served(market):
    with bybit(market) as server:
        yield server


def source(server, *, waits: list[float] | None = None, **given) -> BybitRest:
    waited = [] if waits is None else waits
    return BybitRest(
        server.url,
        given.pop("network", "live"),
        given.pop("allow_net", True),
        given.pop("now_ms", lambda: NOW_MS),
        wait=waited.append,
        **given,
    )


def series(
    kind: str = "candles", timeframe: str | None = "1m", market: str = "linear", symbol: str = "BTCUSDT", network: str = "live"
):
    return series_of(exchange="bybit", market=market, symbol=symbol, kind=kind, timeframe=timeframe, network=network)


def rows(batches) -> pa.Table:
    return pa.concat_tables(batch.table for batch in batches)


def column(table: pa.Table, name: str) -> list[object]:
    return table[name].to_pylist()


def test_a_range_of_many_pages_comes_whole_and_in_order(served) -> None:
    table = rows(source(served).fetch(DataRequest(series(), START_MS + MINUTE_MS, START_MS + 1500 * MINUTE_MS)))
    assert column(table, "start_ms") == [START_MS + minute * MINUTE_MS for minute in range(1, 1500)]
    assert table.schema.names[:7] == ["start_ms", "open", "high", "low", "close", "volume", "quote_volume"]
    base = 100 + (START_MS // MINUTE_MS + 1) % 50
    assert [table[name][0].as_py() for name in ("open", "high", "low", "close", "volume", "quote_volume")] == [
        base + 0.5,
        base + 2,
        base - 1,
        base + 1.25,
        12.5,
        1300.75,
    ]
    assert len(served.asked) == 2


def test_pages_that_are_shorter_than_asked_for_leave_no_hole(market, served) -> None:
    market.page_max = 200
    table = rows(source(served).fetch(DataRequest(series(), START_MS, START_MS + 1000 * MINUTE_MS)))
    assert table.num_rows == 1000
    assert len(served.asked) == 5


def test_bars_that_the_venue_does_not_have_stay_missing(market, served) -> None:
    market.missing = frozenset(START_MS + minute * MINUTE_MS for minute in (0, 7, 8))
    table = rows(source(served).fetch(DataRequest(series(), START_MS, START_MS + 10 * MINUTE_MS)))
    assert [(time - START_MS) // MINUTE_MS for time in column(table, "start_ms")] == [1, 2, 3, 4, 5, 6, 9]


def test_the_bar_that_has_not_closed_is_left_out_and_told(served) -> None:
    """The venue's clock decides: ours is an hour ahead here."""
    wrong = source(served, now_ms=lambda: NOW_MS + HOUR_MS)
    (batch,) = wrong.fetch(DataRequest(series(), NOW_MS - 10 * MINUTE_MS, NOW_MS + DAY_MS))
    last_ms = batch.table["start_ms"][-1].as_py()
    assert last_ms + MINUTE_MS <= NOW_MS < last_ms + 2 * MINUTE_MS
    assert [(finding.rule, finding.count) for finding in batch.findings if finding.rule is Rule.STILL_OPEN] == [
        (Rule.STILL_OPEN, 1)
    ]


def test_a_listing_long_after_the_start_is_found_in_few_requests(served) -> None:
    years_before_ms = START_MS - 1000 * DAY_MS
    table = rows(source(served).fetch(DataRequest(series(), years_before_ms, START_MS + 5 * MINUTE_MS)))
    assert column(table, "start_ms") == [START_MS + minute * MINUTE_MS for minute in range(5)]
    assert len(served.asked) < 20


@pytest.mark.parametrize("kind", ["mark", "index", "premium"])
def test_other_bars_have_prices_only(kind, served) -> None:
    table = rows(source(served).fetch(DataRequest(series(kind, "1h"), START_MS, START_MS + 5 * HOUR_MS)))
    assert table.schema.names == ["start_ms", "open", "high", "low", "close"]
    assert column(table, "start_ms") == [START_MS + hour * HOUR_MS for hour in range(5)]
    assert {"mark": "mark-price", "index": "index-price", "premium": "premium-index-price"}[kind] in served.asked[0].path


def test_inverse_volumes_are_in_dollars_and_have_no_quote_volume(served) -> None:
    (batch,) = source(served).fetch(DataRequest(series(market="inverse", symbol="BTCUSD"), START_MS, START_MS + HOUR_MS))
    assert batch.volume_unit is VolumeUnit.QUOTE
    assert batch.table["quote_volume"].null_count == 60
    (linear,) = source(served).fetch(DataRequest(series(), START_MS, START_MS + HOUR_MS))
    assert linear.volume_unit is VolumeUnit.BASE


@pytest.mark.parametrize("step_h", [8, 1])
def test_funding_is_whole_whatever_its_interval(step_h, market, served) -> None:
    market.first_ms, market.funding_step_ms = START_MS - 300 * DAY_MS, step_h * HOUR_MS
    table = rows(source(served).fetch(DataRequest(series("funding", None), START_MS - 100 * DAY_MS, START_MS)))
    assert column(table, "time_ms") == list(range(START_MS - 100 * DAY_MS, START_MS, step_h * HOUR_MS))
    assert column(table, "rate")[0] == 0.0001
    assert all({"startTime", "endTime"} <= set(asked.query) for asked in served.asked)


def test_open_interest_is_read_by_its_own_names_of_intervals(served) -> None:
    table = rows(source(served).fetch(DataRequest(series("open_interest", "5m"), START_MS, START_MS + 25 * HOUR_MS)))
    assert column(table, "time_ms") == [START_MS + step * 5 * MINUTE_MS for step in range(300)]
    assert set(column(table, "open_interest")) == {500.5}
    assert served.asked[0].query["intervalTime"] == "5min"


def test_the_latest_trades_come_in_order_with_the_side_that_waited(served) -> None:
    table = rows(source(served).fetch(DataRequest(series("trades", None), START_MS, NOW_MS + 1)))
    assert column(table, "time_us") == [(NOW_MS - 20) * 1000, (NOW_MS - 10) * 1000, NOW_MS * 1000]
    assert column(table, "is_buyer_maker") == [False, True, False]
    assert column(table, "trade_id") == ["id-2", "id-1", "id-0"]


def test_trades_of_the_past_are_not_there_and_the_archive_is_named(served) -> None:
    with pytest.raises(DataUnavailableError, match=r"nothing of bybit linear BTCUSDT trades.*older ones are in the archive"):
        list(source(served).fetch(DataRequest(series("trades", None), START_MS, START_MS + HOUR_MS)))


def test_the_book_of_the_moment_is_a_snapshot(served) -> None:
    table = rows(source(served).fetch(DataRequest(series("book", None), START_MS, NOW_MS + 1)))
    assert column(table, "is_snapshot") == [True] * 3
    assert list(zip(column(table, "is_bid"), column(table, "price"), column(table, "qty"), strict=True)) == [
        (True, 99.5, 2.0),
        (True, 99.0, 3.0),
        (False, 100.0, 1.5),
    ]
    assert (set(column(table, "time_us")), set(column(table, "last_id"))) == ({NOW_MS * 1000}, {77})


def test_an_empty_range_is_told(served) -> None:
    with pytest.raises(DataUnavailableError, match="bybit v5 has nothing of bybit linear BTCUSDT candles 1m from 2023-10-"):
        list(source(served).fetch(DataRequest(series(), START_MS - 20 * DAY_MS, START_MS - 19 * DAY_MS)))


# -- failures ------------------------------------------------------------------------------------------------------------


def minutes(server, waits: list[float], **given) -> int:
    request = DataRequest(series(), START_MS, START_MS + 10 * MINUTE_MS)
    return rows(source(server, waits=waits, **given).fetch(request)).num_rows


def limited(**headers: str) -> Reply:
    return Reply({"retCode": 10006, "retMsg": "Too many visits!", "result": {}, "time": NOW_MS}, headers=headers)


def test_a_rate_limit_is_waited_for_until_it_is_reset(served, capsys) -> None:
    served.next = [limited(**{"X-Bapi-Limit-Reset-Timestamp": str(NOW_MS + 1500)}), limited()]
    waits: list[float] = []
    assert minutes(served, waits) == 10
    assert waits == [1.5, 2.0]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b"", status=502),
        Reply(b"busy", status=503),
        Reply(b"<html>", status=200),
        Reply(b"{}", status=429),
        Reply(b'{"retCode":0', cut=True),
    ],
    ids=["502", "503", "no JSON", "429", "cut"],
)
def test_what_may_pass_is_tried_again(reply, served) -> None:
    served.next = [reply, reply]
    waits: list[float] = []
    assert minutes(served, waits) == 10
    assert waits == [1.0, 2.0]


def test_what_does_not_pass_is_told_with_address_and_reason(served) -> None:
    served.next = [Reply(b"", status=502)] * 9
    waits: list[float] = []
    with pytest.raises(
        DownloadError, match=rf"{served.url}/v5/market/kline\?category=linear.*symbol=BTCUSDT: HTTP 502 \(5 attempts\)"
    ):
        minutes(served, waits)
    assert waits == [1.0, 2.0, 4.0, 8.0]


def test_a_server_that_is_slow_is_given_up(served) -> None:
    served.next = [Reply({}, delay_s=0.4)] * 5
    with pytest.raises(DownloadError, match=r"no answer within 0\.1 s \(5 attempts\)"):
        minutes(served, [], timeout_s=0.1)


def test_nobody_at_the_address_is_told() -> None:
    class Gone:
        url = "http://127.0.0.1:9"

    with pytest.raises(DownloadError, match=r"http://127\.0\.0\.1:9/v5/market/kline.*no connection"):
        minutes(Gone, [])


def test_a_refusal_is_not_repeated(served) -> None:
    request = DataRequest(series(symbol="NOPE"), START_MS, START_MS + HOUR_MS)
    with pytest.raises(DownloadError, match=r"symbol=NOPE: params error: symbol invalid \(retCode 10001\)$"):
        list(source(served).fetch(request))
    served.next = [Reply(b"", status=403)]
    with pytest.raises(DownloadError, match=r"HTTP 403: too many requests, or Bybit does not serve this place.*--via archive"):
        minutes(served, [])
    assert len(served.asked) == 2


def test_another_server_than_bybit_is_noticed(served) -> None:
    served.next = [Reply([1, 2])]
    with pytest.raises(DownloadError, match=r"did not answer as Bybit does; is the address right\?"):
        minutes(served, [])
    served.next = [Reply({"retCode": 0, "result": {"list": [["x"]]}})]
    with pytest.raises(DownloadError, match="rows of another shape than documented"):
        minutes(served, [])


def test_without_network_nothing_is_asked(served) -> None:
    with pytest.raises(NetworkForbiddenError, match="the network may not be used"):
        minutes(served, [], allow_net=False)
    assert served.asked == []


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (series(timeframe="8h"), "Bybit has no candles of 8h; it has 1m, 3m"),
        (series("open_interest", "1m"), "Bybit has no open_interest of 1m; it has 5m"),
        (series("mark", market="spot"), "bybit v5 has no mark of spot; it has candles, trades, book"),
        (series(network="testnet"), "bybit v5 has no data of bybit.testnet"),
        (series("metrics"), "bybit v5 has no metrics of linear"),
    ],
)
def test_what_the_source_has_not_is_refused_at_once(asked, message, served) -> None:
    with pytest.raises(ConfigError, match=message):
        list(source(served).fetch(DataRequest(asked, START_MS, START_MS + HOUR_MS)))
    assert served.asked == []


def test_the_testnet_is_another_place_and_never_mixed() -> None:
    source_there = BybitRest(None, "testnet", False, lambda: NOW_MS)
    assert source_there.name == "bybit v5 testnet"
    with pytest.raises(NetworkForbiddenError, match=r"https://api-testnet\.bybit\.com/v5/market/kline"):
        list(source_there.fetch(DataRequest(series(network="testnet"), START_MS, START_MS + HOUR_MS)))
    with pytest.raises(ConfigError, match="bybit v5 testnet has no data of bybit$"):
        list(source_there.fetch(DataRequest(series(), START_MS, START_MS + HOUR_MS)))


def test_pybit_leaves_no_handler_behind(served) -> None:
    root = logging.getLogger()
    held, root.handlers = root.handlers, []
    try:
        minutes(served, [])
    finally:
        root.handlers = held
    assert logging.getLogger("pybit._http_manager").handlers == []
