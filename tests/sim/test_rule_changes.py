"""Rules that change within a run hold from that moment on, and for what is new then (ADR 023)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from backtester import Candle, LimitOrderIntent, MarketOrderIntent, Side, Strategy
from backtester.domain.account import AccountSnapshot
from backtester.domain.delivery import Delivery
from backtester.domain.orders import Fill, OrderRefused, SanitizedOrder
from backtester.domain.rule_changes import RulesChanged
from backtester.domain.tiers import LeverageTier
from backtester.domain.vocabulary import Market
from tests.sim.small_run import A, clock_text, expect, flat, ms, small_run, spec

COARSE_TICK = {"00:03": {"tick_size": Decimal(1)}}
COARSE_LOT = {"00:03": {"lot_size": Decimal("0.1"), "min_qty": Decimal("0.1")}}
BARS = """
    00:00 100.3 100.3 100.3 100.3 1000
    00:01 100.3 100.3 100.3 100.3 1000
    00:02 100.3 100.3 100.3 100.3 1000
    00:03 100.3 100.3 100.3 100.3 1000
    00:04 100.3 100.3 100.3 100.3 1000
    00:05 100.3 100.3 100.3 100.3 1000
"""


LOW, HIGH = (
    (LeverageTier(floor=Decimal(0), maintenance_frac=Decimal(rate), leverage_max=Decimal(most)),)
    for rate, most in (("0.004", 125), ("0.05", 20))
)


def refusals(run: Any) -> list[str]:
    return [f"{clock_text(one.time_ms)} {one.order_id} {one.reason.value}" for one in run.messages(OrderRefused)]


# -- ticks ---------------------------------------------------------------------------------------------------------------


def test_fills_are_at_the_tick_in_force() -> None:
    run = small_run(BARS, "00:01 a buy 1\n00:02 b sell 1\n00:03 c buy 1\n00:04 d sell 1", changes=COARSE_TICK)
    assert run.told() == expect(
        """
        00:01 a buy 1 @ 100.3 taker
        00:02 b sell 1 @ 100.3 taker
        00:03 c buy 1 @ 101 taker
        00:04 d sell 1 @ 100 taker
        """
    )


def test_a_finer_tick_holds_from_its_moment_on() -> None:
    coarse = [spec(tick_size=Decimal(1))]
    orders = "00:01 a buy 1\n00:03 b buy 1"
    run = small_run(BARS, orders, specs=coarse, changes={"00:03": {"tick_size": Decimal("0.1")}})
    assert run.told() == ["00:01 a buy 1 @ 101 taker", "00:03 b buy 1 @ 100.3 taker"]


def test_limits_and_triggers_are_rounded_to_the_tick_in_force() -> None:
    orders = "00:02 a buy 1 at 99.6\n00:03 b buy 1 at 99.6\n00:03 c sell 1 at 101.2\n00:03 d sell 1 stop 98.7"
    run = small_run(BARS, orders, changes=COARSE_TICK)
    assert {one.order_id: Decimal("0.1") * (one.price_ticks or one.trigger_ticks) for one in run.messages(SanitizedOrder)} == {
        "a": Decimal("99.6"),
        "b": Decimal(99),
        "c": Decimal(102),
        "d": Decimal(98),
    }


def test_an_order_that_works_keeps_its_price_and_is_through_by_the_new_tick() -> None:
    down = "\n".join([*BARS.strip().splitlines()[:4], "00:04 100.3 100.3 98.9 100.3 1000", "00:05 100.3 100.3 98.4 100.3 1000"])
    orders = "00:01 a buy 1 at 99.4"
    assert small_run(down, orders).told() == ["00:05 a buy 1 @ 99.4 maker bar"]
    assert small_run(down, orders, changes=COARSE_TICK).told() == ["00:06 a buy 1 @ 99.4 maker bar"]


def test_a_trailing_stop_follows_in_ticks_in_force() -> None:
    bars = """
        00:00 100.3 100.3 100.3 100.3 1000
        00:01 100.3 100.3 100.3 100.3 1000
        00:02 100.3 100.3 100.3 100.3 1000
        00:03 102.5 102.5 102.5 102.5 1000
        00:04 102.5 102.5 100.2 100.2 1000
    """
    orders = "00:01 a buy 1\n00:01 t sell 1 trail 2 reduce"
    assert small_run(bars, orders).told()[-1] == "00:05 t sell 1 @ 100.5 taker bar"
    run = small_run(bars, orders, changes={"00:02": {"tick_size": Decimal(1)}})
    assert run.told()[-1] == "00:05 t ends END_OF_RUN 1"  # it stands at 100


# -- lots ----------------------------------------------------------------------------------------------------------------


def test_sizes_are_whole_lots_in_force() -> None:
    run = small_run(BARS, "00:01 a buy 0.25\n00:03 b buy 0.25\n00:04 c buy 0.05", changes=COARSE_LOT)
    assert run.told() == expect(
        """
        00:01 a buy 0.25 @ 100.3 taker
        00:03 b buy 0.2 @ 100.3 taker
        00:04 c refused MIN_QTY
        """
    )


@pytest.mark.parametrize("words", ["0.25", "0.25 reduce", "0.3 reduce"])
def test_a_position_that_is_no_multiple_of_the_new_lot_can_be_closed_whole(words: str) -> None:
    run = small_run(BARS, f"00:01 a buy 0.25\n00:03 b sell {words}", changes=COARSE_LOT)
    assert run.told()[:2] == ["00:01 a buy 0.25 @ 100.3 taker", "00:03 b sell 0.25 @ 100.3 taker"]
    assert not run.snapshots[-1].positions


def test_a_position_below_the_new_least_size_can_be_closed_whole_and_not_in_part() -> None:
    orders = "00:01 a buy 0.05\n00:03 b sell 0.04 reduce\n00:04 c sell 0.05 reduce"
    run = small_run(BARS, orders, changes=COARSE_LOT)
    assert run.told() == ["00:01 a buy 0.05 @ 100.3 taker", "00:03 b refused MIN_QTY", "00:04 c sell 0.05 @ 100.3 taker"]


def test_a_part_of_a_position_is_closed_in_whole_lots() -> None:
    run = small_run(BARS, "00:01 a buy 0.25\n00:03 b sell 0.15\n00:04 c sell 0.15 reduce", changes=COARSE_LOT)
    assert run.told() == expect(
        """
        00:01 a buy 0.25 @ 100.3 taker
        00:03 b sell 0.1 @ 100.3 taker
        00:04 c sell 0.15 @ 100.3 taker
        """
    )


def test_on_spot_what_is_less_than_a_lot_cannot_be_sold() -> None:
    run = small_run(BARS, "00:01 a buy 0.25\n00:03 b sell 0.25\n00:04 c sell 0.05", market=Market.SPOT, changes=COARSE_LOT)
    assert run.told() == expect(
        """
        00:01 a buy 0.25 @ 100.3 taker
        00:03 b sell 0.2 @ 100.3 taker
        00:04 c refused MIN_QTY
        """
    )
    assert run.snapshots[-1].positions[0].qty == Decimal("0.05")


def test_on_spot_a_rest_can_be_sold_when_lots_are_finer_again() -> None:
    changes = {**COARSE_LOT, "00:04": {"lot_size": Decimal("0.001"), "min_qty": Decimal("0.001")}}
    orders = "00:01 a buy 0.25\n00:03 b sell 0.25\n00:04 c sell 0.05"
    run = small_run(BARS, orders, market=Market.SPOT, changes=changes)
    assert run.told()[1:] == ["00:03 b sell 0.2 @ 100.3 taker", "00:04 c sell 0.05 @ 100.3 taker"]
    assert not run.snapshots[-1].positions


def test_on_spot_a_sale_that_works_keeps_its_size() -> None:
    bars = BARS.strip() + "\n00:06 100.3 110 100.3 100.3 1000"
    run = small_run(bars, "00:01 a buy 0.25\n00:02 w sell 0.25 at 105", market=Market.SPOT, changes=COARSE_LOT)
    assert run.told()[1:] == ["00:07 w sell 0.25 @ 105 maker bar"]


def test_on_spot_a_switch_closes_what_can_be_sold() -> None:
    risk = {"kill_at": "2025-01-06T00:04:00", "kill_switch": "flatten"}
    run = small_run(BARS, "00:01 a buy 0.25", market=Market.SPOT, changes=COARSE_LOT, risk=risk)
    assert [str(fill.qty.normalize()) for fill in run.fills] == ["0.25", "0.2"]
    assert run.snapshots[-1].positions[0].qty == Decimal("0.05")


def test_a_share_of_the_volume_is_whole_lots_in_force() -> None:
    bars = flat("00:00", 6, volume=2.59)
    run = small_run(bars, "00:01 a buy 1\n00:03 b buy 1", changes=COARSE_LOT, participation_bps=Decimal(1000), work_bars=1)
    assert [str(fill.qty.normalize()) for fill in run.fills] == ["0.259", "0.259", "0.2", "0.2"]


def test_a_spot_buy_by_value_is_whole_lots_in_force() -> None:
    run = small_run(BARS, "00:01 a buy $25\n00:03 b buy $25", market=Market.SPOT, changes=COARSE_LOT)
    assert run.told() == ["00:01 a buy 0.249 @ 100.3 taker", "00:03 b buy 0.2 @ 100.3 taker"]


# -- on their way ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "words", "reason"),
    [
        (COARSE_TICK["00:03"], "buy 1 at 99.6", "TICK"),
        (COARSE_TICK["00:03"], "buy 1 sl 98.7", "TICK"),
        (COARSE_LOT["00:03"], "buy 0.25", "LOT_STEP"),
        ({"min_qty": Decimal(2)}, "buy 1", "MIN_QTY"),
        ({"tradable": False}, "buy 1", "NOT_TRADABLE"),
    ],
)
def test_an_order_on_its_way_that_does_not_fit_the_new_rules_is_rejected(rules: dict[str, Any], words: str, reason: str) -> None:
    known: dict[str, Any] = {"changes": {"00:03": rules}, "order_latency_ms": 90_000}
    assert small_run(BARS, f"00:02 a {words}", **known).told() == [f"00:03 a rejected {reason}"]


def test_an_order_on_its_way_that_fits_or_only_closes_arrives() -> None:
    orders = "00:01 a buy 0.25\n00:03 b sell 0.15 reduce\n00:03 c buy 0.3"
    run = small_run(BARS, orders, changes={"00:03:30": COARSE_LOT["00:03"]}, order_latency_ms=60_000)
    assert run.told() == expect(
        """
        00:02 a buy 0.25 @ 100.3 taker
        00:04 b sell 0.15 @ 100.3 taker
        00:04 c buy 0.3 @ 100.3 taker
        """
    )


def test_a_request_to_amend_that_does_not_fit_the_new_rules_is_rejected_and_the_order_stands() -> None:
    orders = "00:01 a buy 1 at 99.4\n00:03 amend a at 99.3\n00:03 amend a qty 0.85"
    changes = {"00:03:30": {"tick_size": Decimal(1), "lot_size": Decimal("0.1")}}
    run = small_run(BARS, orders, changes=changes, order_latency_ms=60_000)
    assert run.told() == ["00:04 a rejected TICK", "00:04 a rejected LOT_STEP", "00:06 a ends END_OF_RUN 1"]


# -- bounds and status ---------------------------------------------------------------------------------------------------


def test_a_least_value_that_is_raised_holds_for_what_opens_from_then_on() -> None:
    run = small_run(BARS, "00:01 a buy 1\n00:03 b buy 1\n00:04 c sell 1", changes={"00:03": {"min_notional": Decimal(500)}})
    assert run.told() == ["00:01 a buy 1 @ 100.3 taker", "00:03 b refused MIN_NOTIONAL", "00:04 c sell 1 @ 100.3 taker"]


@pytest.mark.parametrize(
    ("rules", "order", "reason"),
    [
        ({"max_qty": Decimal("0.5")}, "buy 1", "MAX_QTY"),
        ({"max_market_qty": Decimal("0.5")}, "buy 1", "MAX_QTY"),
        ({"max_notional": Decimal(50)}, "buy 1", "MAX_NOTIONAL"),
        ({"min_price": Decimal(100)}, "buy 1 at 99", "PRICE_RANGE"),
        ({"tradable": False}, "buy 1", "NOT_TRADABLE"),
    ],
)
def test_what_is_bounded_from_a_moment_on_passed_before(rules: dict[str, Any], order: str, reason: str) -> None:
    run = small_run(BARS, f"00:02 a {order}\n00:03 b {order}", changes={"00:03": rules})
    assert refusals(run) == [f"00:03 b {reason}"]


def test_where_nothing_is_tradable_positions_can_still_be_closed_and_orders_stay() -> None:
    changes = {"00:03": {"tradable": False}, "00:05": {"tradable": True}}
    run = small_run(BARS, "00:01 a buy 1\n00:02 w buy 1 at 90\n00:03 b buy 1\n00:04 c sell 1\n00:05 d buy 1", changes=changes)
    assert run.told() == expect(
        """
        00:01 a buy 1 @ 100.3 taker
        00:03 b refused NOT_TRADABLE
        00:04 c sell 1 @ 100.3 taker
        00:05 d buy 1 @ 100.3 taker
        00:06 w ends END_OF_RUN 1
        """
    )


# -- the end of trading --------------------------------------------------------------------------------------------------


def ends_at(text: str) -> Any:
    return [spec(delisted_ms=ms(text))]


def test_a_perpetual_whose_trading_ends_is_settled_and_its_orders_end() -> None:
    orders = "00:01 a buy 1\n00:02 w sell 1 at 120 reduce\n00:04 b buy 1"
    run = small_run(BARS, orders, specs=ends_at("00:03"))
    assert run.told() == expect(
        """
        00:01 a buy 1 @ 100.3 taker
        00:03 w ends NOT_TRADABLE 1
        00:04 b refused NOT_TRADABLE
        """
    )
    (delivery,) = run.messages(Delivery)
    assert (delivery.price, delivery.qty, delivery.fee) == (Decimal("100.3"), Decimal(1), Decimal("0.05015"))
    assert not run.snapshots[-1].positions


def test_on_spot_coins_are_kept_when_trading_ends() -> None:
    rules = [spec(market=Market.SPOT, delisted_ms=ms("00:03"))]
    run = small_run(BARS, "00:01 a buy 1\n00:02 w sell 1 at 120\n00:04 b buy 1", specs=rules, market=Market.SPOT)
    assert run.told()[1:] == ["00:03 w ends NOT_TRADABLE 1", "00:04 b refused NOT_TRADABLE"]
    assert run.snapshots[-1].positions[0].qty == 1


def test_in_hedge_mode_both_sides_are_settled_when_trading_ends() -> None:
    orders = "00:01 a buy 1 long\n00:01 b sell 2 short\n00:04 c buy 1 long"
    run = small_run(BARS, orders, specs=ends_at("00:03"), account={"position_mode": "hedge"})
    assert refusals(run) == ["00:04 c NOT_TRADABLE"]
    assert sorted(one.qty for one in run.messages(Delivery)) == [1, 2]
    assert not run.snapshots[-1].positions


# -- fees ----------------------------------------------------------------------------------------------------------------


def fee_rules(maker: str, taker: str) -> dict[str, Any]:
    return {"maker_bps": Decimal(maker), "taker_bps": Decimal(taker)}


def test_fees_are_those_in_force_at_the_fill() -> None:
    run = small_run(
        flat("00:00", 6),
        "00:01 a buy 1\n00:03 b buy 1",
        specs=[spec(**fee_rules("2", "5"))],
        fee_bps=("2", "5"),
        changes={"00:03": fee_rules("1", "10")},
    )
    assert [fill.fee for fill in run.fills] == [Decimal("0.05"), Decimal("0.1")]


def test_risk_reserves_the_fee_in_force() -> None:
    """With cash for the notional and the old fee only, an order passes before the change and not after it."""
    known: dict[str, Any] = {"specs": [spec(**fee_rules("0", "5"))], "fee_bps": ("0", "5"), "cash": "100.06"}
    changes = {"00:03": fee_rules("0", "10")}
    assert small_run(flat("00:00", 6), "00:02 a buy 1", changes=changes, **known).told() == ["00:02 a buy 1 @ 100 taker"]
    assert small_run(flat("00:00", 6), "00:03 a buy 1", changes=changes, **known).told() == ["00:03 a refused INSUFFICIENT"]


# -- what is told, and what is not known before --------------------------------------------------------------------------


def test_a_change_stands_in_the_journal_with_what_it_changes() -> None:
    run = small_run(BARS, "", changes={"00:03": {"tick_size": Decimal(1), "min_notional": Decimal(5)}})
    (changed,) = run.messages(RulesChanged)
    assert (clock_text(changed.time_ms), changed.symbol, changed.ended) == ("00:03", A, False)
    assert changed.before == {"tick_size": "0.1", "min_notional": "0"}
    assert changed.after == {"tick_size": "1", "min_notional": "5"}


class Looks(Strategy):
    """Notes the rules that it is shown at each close, and tries to change them."""

    def on_candle(self, candle: Candle) -> list[Any]:
        rules = self.ctx.spec(candle.symbol)
        self.ctx.log("rules", tick=rules.tick_size, close=candle.end_ms)
        return [MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty=rules.min_qty)]


def test_a_strategy_is_shown_the_rules_in_force() -> None:
    run = small_run(BARS, Looks, changes=COARSE_TICK)
    notes = [message.facts["tick"] for _, _, topic, message in run.entries if topic == "logs"]
    assert notes == ["0.1", "0.1", "1", "1", "1", "1"]


class Trades(Strategy):
    """Orders of several kinds at each close."""

    def on_candle(self, candle: Candle) -> list[Any]:
        close = candle.close
        return [
            MarketOrderIntent(symbol=A, side=Side.BUY, qty="0.12345"),
            LimitOrderIntent(symbol=A, side=Side.SELL, qty="0.1", price=close * 1.001),
        ]


def known_before(run: Any, time_ms: int) -> list[Any]:
    """What happened before a time, in prices and sizes: the numbers of ticks and lots are counted in parts, see ADR 023."""
    fills = [(one.time_ms, one.order_id, one.qty, one.price, one.fee) for one in run.messages(Fill) if one.time_ms < time_ms]
    states = [(one.time_ms, one.equity, one.positions) for one in run.messages(AccountSnapshot) if one.time_ms < time_ms]
    return [fills, states]


@pytest.mark.parametrize(
    "rules",
    [
        {"tick_size": Decimal(1)},
        {"tick_size": Decimal("0.01")},
        {"lot_size": Decimal("0.1"), "min_qty": Decimal("0.1")},
        {"lot_size": Decimal("0.00025"), "min_qty": Decimal("0.00025")},
        {"min_notional": Decimal(1000), "tradable": False},
        fee_rules("1", "9"),
    ],
    ids=str,
)
def test_a_change_alters_nothing_before_its_moment(rules: dict[str, Any]) -> None:
    known: dict[str, Any] = {"specs": [spec(**fee_rules("2", "5"))], "fee_bps": ("2", "5"), "snapshot_every": "1m"}
    known["slippage_bps"] = Decimal(3)
    without, with_change = small_run(BARS, Trades, **known), small_run(BARS, Trades, changes={"00:03": rules}, **known)
    assert known_before(with_change, ms("00:03")) == known_before(without, ms("00:03"))
    assert known_before(with_change, ms("00:09")) != known_before(without, ms("00:09"))


def test_by_interest_and_by_broadcast_the_same_happens() -> None:
    changes = {"00:02": {"tick_size": Decimal("0.25")}, "00:04": {"leverage_tiers": HIGH, "tradable": False}}
    known: dict[str, Any] = {"changes": changes, "specs": [spec(leverage_tiers=LOW)], "account": {"leverage": Decimal(10)}}
    by_interest, by_broadcast = (small_run(BARS, Trades, routing=routing, **known) for routing in ("interest", "broadcast"))
    assert by_interest.entries == by_broadcast.entries


def test_a_run_without_a_change_counts_in_its_own_ticks_and_lots() -> None:
    run = small_run(BARS, "00:01 a buy 1")
    assert [(fill.price_ticks, fill.qty_lots) for fill in run.fills] == [(1003, 1000)]
    assert not run.messages(RulesChanged)
