from __future__ import annotations

import json
from decimal import Decimal

import pytest

from backtester.cli.main import main
from backtester.data.instrument_store import InstrumentStore
from backtester.domain.timeframe import parse_time_ms
from tests.data.sources.test_instrument_answers import OPTION
from tests.support.bybit_server import BybitMarket, bybit
from tests.support.loopback import Reply, serving
from tests.support.shared_data import SHARED, needs_shared

NOW_MS = parse_time_ms("2026-03-01")
RAW = SHARED / "data/raw"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BT_DATA", raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def bt(capsys):
    def run(*words: str) -> tuple[int, str, str]:
        code = main(["data", "instruments", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def contract(symbol: str, tick: str = "0.1") -> dict[str, object]:
    return {
        "symbol": symbol, "contractType": "LinearPerpetual", "status": "Trading", "baseCoin": symbol[:-4], "quoteCoin": "USDT", "settleCoin": "USDT",
        "launchTime": "1585526400000", "deliveryTime": "0", "fundingInterval": 240, "priceFilter": {"minPrice": "0.1", "maxPrice": "1999999", "tickSize": tick},
        "lotSizeFilter": {"maxOrderQty": "1190", "minOrderQty": "0.001", "qtyStep": "0.001", "maxMktOrderQty": "500", "minNotionalValue": "5"},
    }  # fmt: skip


def limit(symbol: str, cap: str, leverage: str) -> dict[str, str]:
    return {
        "symbol": symbol,
        "riskLimitValue": cap,
        "maintenanceMargin": "0.005",
        "initialMargin": "0.01",
        "maxLeverage": leverage,
        "mmDeduction": "",
    }


@pytest.fixture
def market() -> BybitMarket:
    found = BybitMarket(first_ms=NOW_MS, now_ms=NOW_MS)
    found.instruments = [contract(f"C{number}USDT") for number in range(1200)] + [contract("BTCUSDT")]
    found.risk_limits = [limit("BTCUSDT", "2000000", "100"), limit("BTCUSDT", "4000000", "50"), limit("C7USDT", "100", "10")]
    return found


BYBIT = ("--exchange", "bybit", "--market", "linear", "--data", "d")


def test_all_pages_of_a_venue_are_stored_and_a_second_time_changes_nothing(market, bt) -> None:
    with bybit(market) as served:
        code, out, err = bt(*BYBIT, "--rest-url", served.url)
        assert (code, err) == (0, "")
        assert "1,201 new, 0 changed, 0 unchanged, 40 of them shown; d/bybit/linear/instruments.json" in out
        assert [asked.query.get("cursor") for asked in served.asked if asked.path.endswith("instruments-info")] == [None, "1000"]
        (spec,) = InstrumentStore("d").specs("bybit", "linear", "BTCUSDT")
        assert (spec.valid_from_ms, spec.funding_interval_h, len(spec.leverage_tiers)) == (NOW_MS, 4, 2)
        assert spec.source.startswith(f"{served.url}/v5/market/instruments-info?category=linear")
        _, out, _ = bt(*BYBIT, "--rest-url", served.url)
    assert "0 new, 0 changed, 1,201 unchanged" in out


def test_a_change_is_told_and_ends_what_held(market, bt) -> None:
    with bybit(market) as served:
        bt(*BYBIT, "--rest-url", served.url, "--symbols", "BTCUSDT", "C7USDT")
        market.instruments[-1], market.now_ms = contract("BTCUSDT", "0.5"), NOW_MS + 1000
        code, out, _ = bt(*BYBIT, "--rest-url", served.url, "--symbols", "BTCUSDT,C7USDT", "--json")
    assert code == 0
    told = json.loads(out)
    assert (told["new"], told["changed"], told["unchanged"]) == ([], ["BTCUSDT"], ["C7USDT"])
    spans = [
        (spec.valid_from_ms, spec.valid_to_ms, spec.tick_size) for spec in InstrumentStore("d").specs("bybit", "linear", "BTCUSDT")
    ]
    assert spans == [(NOW_MS, NOW_MS + 1000, Decimal("0.1")), (NOW_MS + 1000, None, Decimal("0.5"))]


def test_the_table_shows_the_rules(market, bt) -> None:
    with bybit(market) as served:
        _, out, _ = bt(*BYBIT, "--rest-url", served.url, "--symbols", "BTCUSDT")
    header, line, summary = out.splitlines()
    assert header.split()[:4] == ["symbol", "tick", "lot", "min"]
    assert line.split() == ["BTCUSDT", "new", "0.1", "0.001", "0.001", "1190", "5", "2", "4h", "2026-03-01", "00:00:00"]
    assert summary.startswith("1 new, 0 changed, 0 unchanged")


def test_binance_is_asked_for_rules_and_for_unusual_funding(bt) -> None:
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": "1", "maxPrice": "9", "tickSize": "0.1"},
        {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "9", "stepSize": "0.001"},
    ]
    row = {
        "symbol": "LAYERUSDT",
        "status": "TRADING",
        "baseAsset": "LAYER",
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "filters": filters,
    }
    bodies = {
        "/fapi/v1/exchangeInfo": {
            "serverTime": NOW_MS,
            "futuresType": "U_MARGINED",
            "symbols": [row, {**row, "symbol": "BAD", "filters": []}],
        },
        "/fapi/v1/fundingInfo": [{"symbol": "LAYERUSDT", "fundingIntervalHours": 1}],
    }
    with serving(lambda asked: Reply(bodies[asked.path])) as served:
        code, _, err = bt("--exchange", "binance", "--market", "futures", "--data", "d", "--rest-url", served.url)
    assert code == 0
    assert err == "bt: BAD is left out: no PRICE_FILTER\n"
    (spec,) = InstrumentStore("d").specs("binance", "linear", "LAYERUSDT")
    assert (spec.tick_size, spec.funding_interval_h, spec.valid_from_ms) == (Decimal("0.1"), 1, NOW_MS)


def test_binance_is_asked_for_options(bt) -> None:
    body = {"serverTime": NOW_MS, "optionContracts": [], "optionSymbols": [OPTION]}
    with serving(lambda asked: Reply(body if asked.path == "/eapi/v1/exchangeInfo" else {})) as served:
        code, _, err = bt("--exchange", "binance", "--market", "option", "--data", "d", "--rest-url", served.url)
        assert (code, err, served.paths()) == (0, "", ["/eapi/v1/exchangeInfo"])
    (spec,) = InstrumentStore("d").specs("binance", "option", "ETH-230224-800-C")
    assert (spec.base, spec.quote, spec.market.value, spec.tick_size) == ("ETH", "USDT", "option", Decimal("0.1"))
    assert (spec.delisted_ms, spec.valid_from_ms, spec.taker_bps) == (1_677_225_600_000, NOW_MS, Decimal(2))


@needs_shared
def test_saved_answers_give_rules_of_the_past(bt) -> None:
    place = ("--exchange", "binance", "--market", "linear", "--data", "d")
    code, out, _ = bt(*place, "--file", str(RAW / "binance/rest_json/http_futures_market_exchange_info.json"))
    assert (code, "3 new" in out) == (0, True)
    code, out, _ = bt(*place, "--file", str(RAW / "binance/um/exchangeInfo_2021-07-21.json"))
    assert (code, "120 new, 2 changed, 0 unchanged" in out) == (0, True)
    code, out, _ = bt(
        *place, "--file", str(RAW / "binance/um/leverage_tiers_ccxt.json"), "--at", "2024-10-15", "--symbols", "BTCUSDT"
    )
    assert (code, "0 new, 1 changed" in out) == (0, True)
    early, late = InstrumentStore("d").specs("binance", "linear", "BTCUSDT")
    assert (str(early.tick_size), str(late.tick_size), str(late.min_notional)) == ("0.01", "0.1", "10")
    assert early.valid_to_ms == late.valid_from_ms == 1_645_233_611_962
    assert early.source.startswith("exchangeInfo_2021-07-21.json sha256 ")
    assert len(late.leverage_tiers) > 5


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--exchange", "bibyt", "--market", "spot"), 2, "did you mean bybit?"),
        (("--exchange", "kraken", "--market", "spot"), 2, "state the rules of others in configs/instruments.toml"),
        (("--exchange", "bybit", "--market", "sopt"), 2, "did you mean 'spot'?"),
        (("--exchange", "bybit", "--market", "spot", "--network", "moon"), 2, "network 'moon' is not known"),
        (("--exchange", "bybit", "--market", "spot", "--at", "2024-01-01"), 2, "it needs --file"),
        (("--exchange", "bybit", "--market", "spot", "--file", "gone.json"), 2, "gone.json cannot be read: No such file"),
        (("--exchange", "bybit", "--market", "spot", "--file", "text.json"), 3, "text.json is no JSON"),
        (("--exchange", "bybit", "--market", "spot", "--file", "other.json"), 3, "is no answer about instruments"),
        (("--exchange", "bybit", "--market", "spot", "--file", "empty.json"), 3, "nothing was stored of bybit spot"),
        (("--exchange", "binance", "--market", "option", "--network", "testnet"), 2, "binance option has no testnet"),
    ],
)
def test_mistakes_are_told_in_words(words, code, message, tmp_path, bt) -> None:
    (tmp_path / "text.json").write_text("hello")
    (tmp_path / "other.json").write_text('{"a": 1}')
    (tmp_path / "empty.json").write_text('{"result": {"category": "spot", "list": []}, "time": 5}')
    got, _, err = bt(*words, "--data", "d")
    assert (got, message in err) == (code, True), err


def test_a_symbol_that_the_venue_does_not_name_is_told_with_the_nearest(market, bt) -> None:
    (asked := contract("BTCUSDT"))["symbol"] = "BTCUSDT"
    body = {"result": {"category": "linear", "list": [asked]}, "time": NOW_MS}
    with open("saved.json", "w") as file:  # noqa: PTH123 - the test works in a directory of its own
        json.dump(body, file)
    code, _, err = bt(*BYBIT, "--file", "saved.json", "--symbols", "BTCUSD", "BTCUSDT")
    assert (code, err) == (0, "bt: BTCUSD is not in the answer; did you mean BTCUSDT?\n")


def test_a_venue_that_refuses_leaves_what_is_stored(market, bt) -> None:
    with bybit(market) as served:
        bt(*BYBIT, "--rest-url", served.url, "--symbols", "BTCUSDT")
        before = InstrumentStore("d").path("bybit", "linear").read_bytes()
        served.next = [Reply({"retCode": 10001, "retMsg": "params error", "result": {}})]
        code, _, err = bt(*BYBIT, "--rest-url", served.url)
    assert code == 3
    assert "params error (retCode 10001)" in err
    assert InstrumentStore("d").path("bybit", "linear").read_bytes() == before


def test_answers_of_the_testnet_are_kept_apart(market, bt) -> None:
    with bybit(market) as served:
        code, out, _ = bt(*BYBIT, "--rest-url", served.url, "--symbols", "BTCUSDT", "--network", "testnet")
    assert (code, "d/bybit.testnet/linear/instruments.json" in out) == (0, True)
    assert InstrumentStore("d").specs("bybit", "linear", "BTCUSDT") == ()
