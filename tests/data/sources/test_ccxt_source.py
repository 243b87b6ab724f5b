"""Against the real ccxt client, pointed at a server on this machine."""

from __future__ import annotations

import pyarrow as pa
import pytest

from backtester.data.series import series_of
from backtester.data.sources.ccxt_names import market_word, stored_symbol
from backtester.data.sources.ccxt_source import CcxtSource, _redirected, _since
from backtester.data.sources.source import DataRequest
from backtester.domain.errors import ConfigError, DataUnavailableError, DownloadError, NetworkForbiddenError
from backtester.domain.timeframe import DAY_MS, HOUR_MS, MINUTE_MS
from tests.support.bybit_server import BybitMarket, bybit
from tests.support.ccxt_server import Binance, Okx, venue
from tests.support.loopback import Reply

START_MS = 1_700_000_040_000 // DAY_MS * DAY_MS
NOW_MS = START_MS + 60 * HOUR_MS + 20_000


@pytest.fixture(params=["binance", "okx"])
def exchange(request) -> str:
    return request.param


@pytest.fixture
def history(exchange):
    return {"binance": Binance, "okx": Okx}[exchange](first_ms=START_MS, now_ms=NOW_MS)


@pytest.fixture
def served(history):
    with venue(history) as server:
        yield server


def source(
    exchange, server, *, waits: list[float] | None = None, network="live", allow_net=True, now_ms=lambda: NOW_MS, **given
) -> CcxtSource:
    return CcxtSource(
        exchange, server.url, network, allow_net, now_ms, wait=([] if waits is None else waits).append, paced=False, **given
    )


def series(exchange, kind="candles", timeframe: str | None = "1m", market="linear", symbol="BTCUSDT", network="live"):
    return series_of(exchange=exchange, market=market, symbol=symbol, kind=kind, timeframe=timeframe, network=network)


def rows(batches) -> pa.Table:
    return pa.concat_tables(batch.table for batch in batches)


def starts(table: pa.Table) -> list[int]:
    return table[table.schema.names[0]].to_pylist()


def data_paths(server) -> list[str]:
    return [path for path in server.paths() if "candles" in path or "lines" in path or "unding" in path]


def test_candles_of_many_pages_come_whole_and_in_order(exchange, served) -> None:
    request = DataRequest(series(exchange), START_MS + MINUTE_MS, START_MS + 1250 * MINUTE_MS)
    table = rows(source(exchange, served).fetch(request))
    assert starts(table) == [START_MS + minute * MINUTE_MS for minute in range(1, 1250)]
    base = 100 + (START_MS // MINUTE_MS + 1) % 50
    first = [table[name][0].as_py() for name in ("open", "high", "low", "close", "volume")]
    assert first == [base + 0.5, base + 2, base - 1, base + 1.25, 12.5]
    assert table["quote_volume"].null_count == 1249


def test_only_the_instruments_of_the_market_are_fetched(exchange, served) -> None:
    rows(source(exchange, served).fetch(DataRequest(series(exchange, market="spot"), START_MS, START_MS + HOUR_MS)))
    lists = [one for one in served.asked if "exchangeInfo" in one.path or "instruments" in one.path]
    assert [(one.path, one.query.get("instType")) for one in lists] in (
        [("/api/v3/exchangeInfo", None)],
        [("/api/v5/public/instruments", "SPOT")],
    )


def test_pages_shorter_than_asked_for_leave_no_hole(exchange, history, served) -> None:
    history.page_max = 70
    table = rows(source(exchange, served).fetch(DataRequest(series(exchange), START_MS, START_MS + 400 * MINUTE_MS)))
    assert len(starts(table)) == 400


def test_minutes_that_do_not_exist_stay_missing_and_end_nothing(exchange, history, served) -> None:
    gone = {*range(3), *range(100, 800), 1200}
    history.missing = frozenset(START_MS + minute * MINUTE_MS for minute in gone)
    table = rows(source(exchange, served).fetch(DataRequest(series(exchange), START_MS, START_MS + 1201 * MINUTE_MS)))
    assert [(time - START_MS) // MINUTE_MS for time in starts(table)] == [minute for minute in range(1201) if minute not in gone]


def test_the_bar_that_has_not_closed_is_left_out(exchange, served) -> None:
    ahead = source(exchange, served, now_ms=lambda: NOW_MS + HOUR_MS)
    table = rows(ahead.fetch(DataRequest(series(exchange), NOW_MS - 5 * MINUTE_MS, NOW_MS + DAY_MS)))
    assert starts(table)[-1] + MINUTE_MS <= NOW_MS < starts(table)[-1] + 2 * MINUTE_MS


def test_a_listing_long_after_the_start_is_found_in_few_requests(exchange, served) -> None:
    table = rows(source(exchange, served).fetch(DataRequest(series(exchange), START_MS - 400 * DAY_MS, START_MS + 3 * MINUTE_MS)))
    assert starts(table) == [START_MS, START_MS + MINUTE_MS, START_MS + 2 * MINUTE_MS]
    assert len(data_paths(served)) < 20


@pytest.mark.parametrize("step_h", [8, 2])
def test_funding_is_whole_whatever_its_interval(step_h, exchange, history, served) -> None:
    history.first_ms, history.funding_step_ms = START_MS - 200 * DAY_MS, step_h * HOUR_MS
    table = rows(source(exchange, served).fetch(DataRequest(series(exchange, "funding", None), START_MS - 60 * DAY_MS, START_MS)))
    assert starts(table) == list(range(START_MS - 60 * DAY_MS, START_MS, step_h * HOUR_MS))
    assert set(table["rate"].to_pylist()) == {0.0001}


def test_mark_bars_are_asked_for_at_their_own_path(exchange, served) -> None:
    table = rows(source(exchange, served).fetch(DataRequest(series(exchange, "mark"), START_MS, START_MS + 250 * MINUTE_MS)))
    assert len(starts(table)) == 250
    assert all("mark" in path.lower() for path in data_paths(served))


def test_inverse_contracts_have_their_own_name_and_their_volume_in_base() -> None:
    with venue(Binance(first_ms=START_MS, now_ms=NOW_MS)) as served:
        asked = series("binance", market="inverse", symbol="BTCUSD")
        table = rows(source("binance", served).fetch(DataRequest(asked, START_MS, START_MS + HOUR_MS)))
        assert table["volume"][0].as_py() == 7.75
        assert set(data_paths(served)) == {"/dapi/v1/klines"}


def test_an_exchange_without_a_page_for_the_oldest_rows_works_too() -> None:
    """Bybit answers the newest rows of a range; as one more client of the same kind."""
    market = BybitMarket(first_ms=START_MS, now_ms=NOW_MS)
    common = {
        "baseCoin": "BTC",
        "quoteCoin": "USDT",
        "settleCoin": "USDT",
        "status": "Trading",
        "launchTime": "0",
        "deliveryTime": "0",
    }
    steps = {"priceFilter": {"tickSize": "0.1"}, "lotSizeFilter": {"qtyStep": "0.001", "minOrderQty": "0.001", "maxOrderQty": "9"}}
    market.instruments = [{"symbol": "BTCUSDT", "contractType": "LinearPerpetual", "fundingInterval": 480, **common, **steps}]
    with bybit(market) as served:
        table = rows(source("bybit", served).fetch(DataRequest(series("bybit"), START_MS, START_MS + 1100 * MINUTE_MS)))
    assert starts(table) == [START_MS + minute * MINUTE_MS for minute in range(1100)]


# -- names ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unified", "symbol", "market"),
    [
        ("BTC/USDT", "BTCUSDT", "spot"),
        ("BTC/USDT:USDT", "BTCUSDT", "linear"),
        ("BTC/USD:BTC", "BTCUSD", "inverse"),
        ("BTC/USDT:USDT-241227", "BTCUSDT-241227", "linear"),
        ("BTC/USD:USDC", "BTCUSD_USDC", "linear"),
        ("BTC/USD:BTC-240628-60000-C", "BTCUSD-240628-60000-C", "option"),
        ("kBONK/USDT", "KBONKUSDT", "spot"),
        ("BTCUSDT", "BTCUSDT", None),
    ],
)
def test_names_of_ccxt_become_names_of_the_catalog(unified, symbol, market) -> None:
    assert (stored_symbol(unified), market_word(unified)) == (symbol, market)


def test_what_ccxt_knows_of_a_market_wins_over_its_name() -> None:
    assert market_word("BTC/USD:USDC", {"inverse": True, "linear": False}) == "inverse"
    assert market_word("BTC/USD:USDC", {"spot": False}) is None


def test_every_host_is_replaced_and_paths_stay() -> None:
    urls = {"public": "https://api.{hostname}/api/v3", "ws": {"spot": "wss://stream.example.com/ws"}, "none": None}
    assert _redirected(urls, "http://127.0.0.1:5") == {
        "public": "http://127.0.0.1:5/api/v3",
        "ws": {"spot": "http://127.0.0.1:5/ws"},
        "none": None,
    }


# -- failures ------------------------------------------------------------------------------------------------------------


def hour(exchange, server, waits: list[float], **given) -> int:
    return rows(
        source(exchange, server, waits=waits, **given).fetch(DataRequest(series(exchange), START_MS, START_MS + HOUR_MS))
    ).num_rows


@pytest.mark.parametrize(
    "reply", [Reply(b"", status=502), Reply(b"slow down", status=429), Reply(b"<html>", status=503)], ids=["502", "429", "503"]
)
def test_what_may_pass_is_tried_again(reply, exchange, served) -> None:
    served.next = [reply, reply]
    waits: list[float] = []
    assert hour(exchange, served, waits) == 60
    assert waits == [1.0, 2.0]


def test_what_does_not_pass_is_told_with_address_and_reason(exchange, served) -> None:
    served.next = [Reply(b"", status=502)] * 9
    waits: list[float] = []
    with pytest.raises(DownloadError, match=rf"ccxt {exchange}: ExchangeNotAvailable: .*{served.url}/.*502.*\(5 attempts\)"):
        hour(exchange, served, waits)
    assert waits == [1.0, 2.0, 4.0, 8.0]


def test_a_slow_server_is_given_up(exchange, served) -> None:
    served.next = [Reply({}, delay_s=0.3)] * 2
    with pytest.raises(DownloadError, match=r"RequestTimeout.*\(2 attempts\)"):
        hour(exchange, served, [], timeout_s=0.1, retries=1)


def test_an_answer_that_is_none_of_the_exchange_is_told(exchange, served) -> None:
    served.next = [Reply([["x"]])] * 9
    with pytest.raises((DownloadError, ConfigError), match=f"ccxt {exchange}"):
        hour(exchange, served, [])


def test_a_refusal_is_not_repeated(served, exchange) -> None:
    served.next = [Reply(b"not from here", status=451)]
    waits: list[float] = []
    with pytest.raises(DownloadError, match=f"ccxt {exchange}"):
        hour(exchange, served, waits, retries=0)
    assert waits == []


def test_an_empty_history_is_told(exchange, served) -> None:
    early = DataRequest(series(exchange), START_MS - 3 * DAY_MS, START_MS - 2 * DAY_MS)
    with pytest.raises(DataUnavailableError, match=f"ccxt {exchange} has nothing of {exchange} linear BTCUSDT candles 1m from"):
        list(source(exchange, served).fetch(early))


def test_an_unknown_symbol_is_answered_with_the_nearest(exchange, served) -> None:
    with pytest.raises(ConfigError, match=rf"ccxt {exchange} has no linear market BTCUSDD; did you mean BTCUSDT\?"):
        list(source(exchange, served).fetch(DataRequest(series(exchange, symbol="BTCUSDD"), START_MS, START_MS + HOUR_MS)))


def test_an_unknown_exchange_is_answered_with_the_nearest(served) -> None:
    with pytest.raises(ConfigError, match=r"ccxt has no exchange 'binanse'; did you mean .*binance"):
        source("binanse", served).fetch(DataRequest(series("binanse"), START_MS, START_MS + HOUR_MS))


def test_what_the_exchange_has_not_is_refused_before_any_request(exchange, served) -> None:
    one = source(exchange, served)
    span = (START_MS, START_MS + HOUR_MS)
    with pytest.raises(ConfigError, match=f"ccxt {exchange} has no timeframe 7m; it has .*1m"):
        one.fetch(DataRequest(series(exchange)._replace(timeframe="7m"), *span))
    with pytest.raises(ConfigError, match="ccxt has no trades; it has candles"):
        one.fetch(DataRequest(series(exchange, "trades", None), *span))
    with pytest.raises(ConfigError, match=rf"ccxt {exchange} has no data of {exchange}\.testnet"):
        one.fetch(DataRequest(series(exchange, network="testnet"), *span))
    with pytest.raises(NetworkForbiddenError, match="the network may not be used"):
        source(exchange, served, allow_net=False).fetch(DataRequest(series(exchange), *span))
    assert served.asked == []


# -- exchanges that take no end ------------------------------------------------------------------------------------------


def test_pages_without_an_end_go_on_behind_the_last_row() -> None:
    def ask(first: int, last: int):
        return [(time,) for time in range(200, 1000, 10) if time >= first][:7]

    assert [row[0] for page in _since(ask, 0, 500, 50, 10) for row in page] == list(range(200, 500, 10))


@pytest.mark.parametrize("page", [[], [(5,)], [(2000,)], [(100,), (110,)]], ids=["empty", "before", "after", "the same"])
def test_an_exchange_that_always_answers_the_same_does_not_hold_us_up(page) -> None:
    asked = []

    def ask(first: int, last: int):
        asked.append(first)
        return page

    found = [row[0] for some in _since(ask, 50, 1000, 100, 10) for row in some]
    assert found == [row[0] for row in page if 50 <= row[0] < 1000]
    assert len(asked) <= 11
    assert asked == sorted(set(asked))
