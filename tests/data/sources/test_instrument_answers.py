from __future__ import annotations

import json
from decimal import Decimal

import pytest

from backtester.data.instrument_record import Fees, InstrumentAnswer, InstrumentRecord
from backtester.data.sources.instrument_answers import read_answer
from backtester.domain.errors import SchemaMismatchError
from backtester.domain.order_bounds import PriceBand
from tests.support.shared_data import SHARED, needs_shared

NOW_MS = 1_730_000_000_000
RAW = SHARED / "data/raw"
COIN = {
    "symbol": "BTCUSD_PERP",
    "contractType": "PERPETUAL",
    "contractStatus": "TRADING",
    "contractSize": 100,
    "baseAsset": "BTC",
    "quoteAsset": "USD",
    "marginAsset": "BTC",
    "deliveryDate": 4133404800000,
    "onboardDate": 1597042800000,
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "1000", "maxPrice": "4520958", "tickSize": "0.1"},
        {"filterType": "LOT_SIZE", "minQty": "1", "maxQty": "1000000", "stepSize": "1"},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "1", "maxQty": "60000", "stepSize": "1"},
        {"filterType": "PERCENT_PRICE", "multiplierUp": "1.0500", "multiplierDown": "0.9500"},
    ],
}


def read(body: object, exchange: str, market: str, *, time_ms: int | None = None) -> InstrumentAnswer:
    return read_answer(body, exchange=exchange, market=market, source="saved.json", time_ms=time_ms, now_ms=lambda: NOW_MS)


def shared(name: str, exchange: str, market: str) -> InstrumentAnswer:
    return read(json.loads((RAW / name).read_text()), exchange, market)


def one(answer: InstrumentAnswer, symbol: str) -> InstrumentRecord:
    (found,) = (record for record in answer.records if record.symbol == symbol)
    return found


@needs_shared
def test_every_symbol_of_a_real_futures_exchange_info_is_read() -> None:
    answer = shared("binance/um/exchangeInfo_2021-07-21.json", "binance", "linear")
    assert (len(answer.records), answer.notes, answer.time_ms) == (122, (), 1_626_858_243_909)
    rules = one(answer, "BTCUSDT").rules
    assert rules is not None
    assert (rules.tick_size, rules.lot_size, rules.min_qty) == (Decimal("0.01"), Decimal("0.001"), Decimal("0.001"))
    assert (rules.max_qty, rules.max_market_qty, rules.min_notional) == (Decimal(1000), Decimal(1000), Decimal(5))
    assert rules.price_band == PriceBand(
        buy_min=Decimal("0.85"), buy_max=Decimal("1.15"), sell_min=Decimal("0.85"), sell_max=Decimal("1.15")
    )
    assert (rules.listed_ms, rules.delisted_ms, rules.tradable) == (1_569_398_400_000, None, True)
    waiting = one(answer, "BTCSTUSDT").rules
    assert waiting is not None
    assert (waiting.status, waiting.tradable, waiting.max_market_qty) == ("PENDING_TRADING", False, Decimal(1000))
    quarter = one(answer, "BTCUSDT_210924").rules
    assert quarter is not None
    assert quarter.delisted_ms == 1_632_470_400_000


@needs_shared
def test_spot_has_a_minimum_of_its_own_spelling_and_no_market_step_of_zero() -> None:
    rules = one(shared("binance/spot/exchangeInfo_2021-10-12_subset.json", "binance", "spot"), "BTCUSDT").rules
    assert rules is not None
    assert (rules.min_notional, rules.lot_size, rules.max_qty) == (Decimal(10), Decimal("0.00001"), Decimal(9000))
    assert (rules.max_market_qty, rules.contract_size, rules.settle) == (Decimal("100.05381873"), Decimal(1), None)


OPTION = {
    "contractId": 3,
    "expiryDate": 1_677_225_600_000,
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "724.6", "maxPrice": "919.2", "tickSize": "0.1"},
        {"filterType": "LOT_SIZE", "minQty": "0.01", "maxQty": "1001", "stepSize": "0.01"},
    ],
    "symbol": "ETH-230224-800-C",
    "side": "CALL",
    "strikePrice": "800.00000000",
    "underlying": "ETHUSDT",
    "unit": 1,
    "makerFeeRate": "0.00020000",
    "takerFeeRate": "0.00020000",
    "minQty": "0.01",
    "maxQty": "1000",
    "quoteAsset": "USDT",
}


def test_options_of_binance_have_their_fees_and_their_end_and_no_range_of_a_day() -> None:
    record = one(read({"serverTime": 7, "optionSymbols": [OPTION]}, "binance", "option"), "ETH-230224-800-C")
    rules = record.rules
    assert rules is not None
    assert (rules.base, rules.settle, rules.contract_type, rules.tradable) == ("ETH", "USDT", "CALL", True)
    assert (rules.tick_size, rules.lot_size, rules.min_qty) == (Decimal("0.1"), Decimal("0.01"), Decimal("0.01"))
    assert (rules.max_qty, rules.delisted_ms, rules.min_price, rules.max_price) == (Decimal(1000), 1_677_225_600_000, None, None)
    assert record.fees == Fees(maker_bps=Decimal(2), taker_bps=Decimal(2))


def test_options_are_not_taken_for_another_market() -> None:
    with pytest.raises(SchemaMismatchError, match="tells of option instruments, not of spot"):
        read({"serverTime": 7, "optionSymbols": [OPTION]}, "binance", "spot")


def test_the_newer_notional_and_side_filters_are_understood() -> None:
    row = {
        "symbol": "BTCUSDT",
        "status": "BREAK",
        "baseAsset": "BTC",
        "quoteAsset": "USDT",
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
            {"filterType": "NOTIONAL", "minNotional": "5.00", "applyMinToMarket": True, "maxNotional": "9000000.00"},
            {
                "filterType": "PERCENT_PRICE_BY_SIDE",
                "bidMultiplierUp": "5",
                "bidMultiplierDown": "0.2",
                "askMultiplierUp": "5",
                "askMultiplierDown": "0.5",
            },
        ],
    }
    rules = one(read({"serverTime": 7, "symbols": [row]}, "binance", "spot"), "BTCUSDT").rules
    assert rules is not None
    assert (rules.min_notional, rules.max_notional, rules.tradable) == (Decimal(5), Decimal(9_000_000), False)
    assert rules.price_band == PriceBand(buy_min=Decimal("0.2"), buy_max=Decimal(5), sell_min=Decimal("0.5"), sell_max=Decimal(5))


def test_coin_margined_contracts_have_a_size() -> None:
    rules = one(read({"serverTime": 7, "symbols": [COIN]}, "binance", "inverse"), "BTCUSD_PERP").rules
    assert rules is not None
    assert (rules.contract_size, rules.settle, rules.max_market_qty, rules.tradable) == (Decimal(100), "BTC", Decimal(60_000), True)


def test_an_answer_about_another_market_is_refused() -> None:
    with pytest.raises(SchemaMismatchError, match=r"saved\.json tells of inverse instruments, not of linear; use --market inverse"):
        read({"symbols": [COIN]}, "binance", "linear")


def test_a_symbol_without_its_steps_is_left_out_and_named() -> None:
    broken = {**COIN, "symbol": "ETHUSD_PERP", "filters": COIN["filters"][:1]}
    nameless = {**COIN, "symbol": "XRPUSD_PERP", "filters": [{**COIN["filters"][0], "tickSize": "abc"}, COIN["filters"][1]]}
    answer = read({"symbols": [COIN, broken, nameless]}, "binance", "inverse")
    assert [record.symbol for record in answer.records] == ["BTCUSD_PERP"]
    assert answer.notes == ("ETHUSD_PERP is left out: no LOT_SIZE", "XRPUSD_PERP is left out: 'abc' is not a number")


@needs_shared
def test_leverage_brackets_join_from_zero_up() -> None:
    answer = shared("binance/um/leverage_tiers_ccxt.json", "binance", "linear")
    assert (len(answer.records), answer.notes, answer.time_ms) == (349, (), NOW_MS)
    tiers = one(answer, "BTCUSDT").leverage_tiers
    assert tiers is not None
    assert (tiers[0].floor, tiers[0].cap, tiers[0].maintenance_frac) == (Decimal(0), Decimal(50_000), Decimal("0.004"))
    assert (tiers[2].deduction, tiers[2].leverage_max) == (Decimal(950), Decimal(75))
    for record in answer.records:
        held = record.leverage_tiers or ()
        for lower, higher in zip(held, held[1:], strict=False):
            # The deduction is what makes the maintenance margin continuous where two tiers meet.
            jump = higher.floor * (higher.maintenance_frac - lower.maintenance_frac) - (higher.deduction - lower.deduction)
            assert abs(jump) < 1, (record.symbol, lower, higher)
    assert one(answer, "BTCUSDT_241227").leverage_tiers is not None


def test_the_venues_own_brackets_and_funding_info_are_read() -> None:
    brackets = [
        {
            "symbol": "ETHUSDT",
            "brackets": [
                {
                    "bracket": 1,
                    "initialLeverage": 75,
                    "notionalCap": 10000,
                    "notionalFloor": 0,
                    "maintMarginRatio": 0.0065,
                    "cum": 0.0,
                }
            ],
        }
    ]
    (tier,) = one(read(brackets, "binance", "linear"), "ETHUSDT").leverage_tiers or ()
    assert (tier.cap, tier.maintenance_frac, tier.leverage_max) == (Decimal(10_000), Decimal("0.0065"), Decimal(75))
    funding = [
        {"symbol": "LAYERUSDT", "adjustedFundingRateCap": "0.02", "adjustedFundingRateFloor": "-0.02", "fundingIntervalHours": 1}
    ]
    told = one(read(funding, "binance", "linear"), "LAYERUSDT").funding
    assert told is not None
    assert (told.interval_h, told.cap, told.floor) == (1, Decimal("0.02"), Decimal("-0.02"))


@needs_shared
def test_bybit_contracts_are_read_with_funding_in_hours() -> None:
    record = one(shared("bybit/v5_json/docs/market_instrument_1.json", "bybit", "linear"), "BTCUSDT")
    rules, funding = record.rules, record.funding
    assert rules is not None
    assert funding is not None
    assert (rules.tick_size, rules.lot_size, rules.min_notional) == (Decimal("0.1"), Decimal("0.001"), Decimal(5))
    assert (rules.max_qty, rules.max_market_qty, rules.max_leverage) == (Decimal(1190), Decimal(500), Decimal(100))
    assert rules.price_band == PriceBand(ratio_x=Decimal("0.01"), ratio_y=Decimal("0.02"))
    assert (rules.listed_ms, rules.delisted_ms, funding.interval_h, funding.cap) == (1_585_526_400_000, None, 8, Decimal("0.00375"))
    waiting = one(shared("bybit/v5_json/docs/market_instrument_2.json", "bybit", "linear"), "BIOUSDT").rules
    assert waiting is not None
    assert (waiting.status, waiting.tradable) == ("PreLaunch", False)


@needs_shared
def test_bybit_spot_counts_lots_by_its_base_precision() -> None:
    answer = shared("bybit/v5_json/docs/market_instrument_4.json", "bybit", "spot")
    rules = one(answer, "BTCUSDT").rules
    assert rules is not None
    assert answer.time_ms == 1_760_027_412_300
    assert (rules.lot_size, rules.min_qty, rules.max_qty) == (Decimal("0.000001"), Decimal("0.000011"), Decimal(83))
    assert (rules.max_market_qty, rules.min_notional, rules.max_notional) == (Decimal("41.5"), Decimal(5), Decimal(8_000_000))


@needs_shared
@pytest.mark.parametrize(
    ("name", "market", "symbol", "tick"),
    [
        ("docs/market_instrument_3", "option", "BTC-27MAR26-70000-P-USDT", "5"),
        ("fixtures/http_get_instruments_option", "option", "ETH-26JUN26-16000-P", "0.1"),
        ("fixtures/http_get_instruments_option_symbol_id", "option", "BTC-30JUN25-100000-C", "5"),
        ("fixtures/http_get_instruments_inverse", "inverse", "BTCUSD", "0.5"),
        ("fixtures/http_get_instruments_inverse_symbol_type", "inverse", "BRENTUSD", "0.01"),
        ("fixtures/http_get_instruments_linear", "linear", "ETHUSDT", "0.05"),
        ("fixtures/http_get_instruments_linear_symbol_type", "linear", "TSLAUSDT", "0.01"),
        ("fixtures/http_get_instruments_spot", "spot", "ETHUSDT", "0.01"),
        ("fixtures/http_get_instruments_spot_xstocks", "spot", "AAPLUSDT", "0.01"),
    ],
)
def test_answers_of_every_category_are_read(name: str, market: str, symbol: str, tick: str) -> None:
    rules = one(shared(f"bybit/v5_json/{name}.json", "bybit", market), symbol).rules
    assert rules is not None
    assert rules.tick_size == Decimal(tick)
    other = "spot" if market != "spot" else "linear"
    with pytest.raises(SchemaMismatchError, match=f"tells of {market} instruments, not of {other}"):
        shared(f"bybit/v5_json/{name}.json", "bybit", other)


@needs_shared
def test_a_funding_interval_that_cannot_be_is_told_and_the_rules_are_kept() -> None:
    answer = shared("bybit/v5_json/fixtures/http_get_instruments_inverse.json", "bybit", "inverse")
    assert answer.notes == ("BTCUSD: fundingInterval 8 is not whole hours in minutes; left out",)
    assert one(answer, "BTCUSD").funding is None


@needs_shared
def test_fee_rates_become_basis_points() -> None:
    fees = one(shared("bybit/v5_json/fixtures/http_get_fee_rate.json", "bybit", "linear"), "SOLUSDT").fees
    assert fees is not None
    assert (str(fees.maker_bps), str(fees.taker_bps)) == ("2.5", "7.5")


@pytest.mark.parametrize(("maintenance", "initial"), [(("0.005", "0.01"), ("0.01", "0.02")), (("0.5", "1"), ("1", "2"))])
def test_risk_limits_are_read_as_fractions_whether_told_so_or_in_per_cent(maintenance, initial) -> None:
    rows = [
        {
            "symbol": "BTCUSDT",
            "riskLimitValue": cap,
            "maintenanceMargin": margin,
            "initialMargin": first,
            "maxLeverage": most,
            "mmDeduction": cut,
        }
        for cap, margin, first, most, cut in zip(
            ("2000000", "4000000"), maintenance, initial, ("100.00", "50.00"), ("", "10000"), strict=True
        )
    ]
    body = {"retCode": 0, "result": {"category": "linear", "list": rows[::-1]}, "time": 5}
    low, high = one(read(body, "bybit", "linear"), "BTCUSDT").leverage_tiers or ()
    assert (low.floor, low.cap, low.maintenance_frac, low.deduction) == (Decimal(0), Decimal(2_000_000), Decimal("0.005"), None)
    assert (high.floor, high.maintenance_frac, high.leverage_max, high.deduction) == (
        Decimal(2_000_000),
        Decimal("0.01"),
        Decimal(50),
        Decimal(10_000),
    )


def test_a_stated_time_wins_over_the_answers_own() -> None:
    assert read({"serverTime": 7, "symbols": [COIN]}, "binance", "inverse", time_ms=3).time_ms == 3


@pytest.mark.parametrize("body", [{}, [], 5, None, {"symbols": 4}, [{"a": 1}], {"code": -1121, "msg": "Invalid symbol."}])
def test_what_is_no_answer_of_binance_is_refused(body) -> None:
    with pytest.raises(SchemaMismatchError, match="is no answer about instruments"):
        read(body, "binance", "spot")


@pytest.mark.parametrize("body", [{}, [], {"result": {}}, {"result": {"list": [{"price": "1"}]}}, {"result": {"list": [3]}}])
def test_what_is_no_answer_of_bybit_is_refused(body) -> None:
    with pytest.raises(SchemaMismatchError, match="is no answer about instruments"):
        read(body, "bybit", "spot")


def test_exchanges_that_cannot_be_read_are_named() -> None:
    with pytest.raises(SchemaMismatchError, match="answers of kraken cannot be read; only those of binance, bybit"):
        read({}, "kraken", "spot")
