"""What each trade carries: its stop, its target, and why it was closed. One scenario for each reason and each kind of stop."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from backtester import Candle, MarketOrderIntent, Side, Strategy
from backtester.audit.journal import MemoryJournal
from backtester.domain.money import MONEY_ONE, e8_from_decimal
from backtester.domain.orders import Fill
from backtester.domain.tiers import LeverageTier
from backtester.domain.vocabulary import CloseReason
from backtester.proof.accounting import Accounting
from backtester.proof.levels import Levels
from backtester.report.fill_book import FillBook
from backtester.report.metrics_file import trade_result
from backtester.report.trades import Trade, trades_of
from backtester.report.waiting_orders import WaitingOrders, with_levels
from backtester.strategy.execution import ExitRules
from tests.sim.small_run import MINUTE, A, SmallRun, clock_text, ms, small_run, spec
from tests.strategy.execution.test_exits import follows as leaves_by

UP = """
    00:00 100 100 100 100 1000
    00:01 100 101 100 101 1000
    00:02 101 106 101 105 1000
    00:03 105 112 105 110 1000
    00:04 110 110 109 109 1000
    00:05 109 109 109 109 1000
"""
DOWN = """
    00:00 100 100 100 100 1000
    00:01 100 100  99  99 1000
    00:02  99  99  93  94 1000
    00:03  94  94  88  90 1000
    00:04  90  91  90  91 1000
    00:05  91  91  91  91 1000
"""
PEAK = """
    00:00 100 100 100 100 1000
    00:01 100 103 100 103 1000
    00:02 103 107 103 107 1000
    00:03 107 110 106 110 1000
    00:04 110 110 103 104 1000
    00:05 104 104 104 104 1000
"""
TICK_E8 = 10**7


def journaled(run: SmallRun) -> MemoryJournal:
    journal = MemoryJournal()
    for seq, cause, topic, message in run.entries:
        journal.append(seq, cause, topic, message)
    return journal


def trades(run: SmallRun) -> list[Trade]:
    waiting, book = WaitingOrders(), FillBook(run.fills)
    for line in journaled(run).lines():
        waiting.see(line)
    return list(with_levels(trades_of(book, last_closes={A: 100.0}), waiting, tick_e8=lambda _: TICK_E8))


def told(run: SmallRun) -> list[str]:
    """`side reason until stop S target T` of each trade."""
    return [" ".join(_words(trade)) for trade in trades(run)]


def _words(trade: Trade) -> Sequence[str]:
    levels = {"stop": trade.stop_price, "target": trade.target_price}
    until = "open" if trade.is_open else clock_text(trade.exit_time_ms)
    return (trade.side.value, trade.close_reason, until, *(f"{k} {v / MONEY_ONE:g}" for k, v in levels.items() if v is not None))


@pytest.mark.parametrize(
    ("bars", "orders", "expected"),
    [
        (UP, "00:01 in buy 1 tp 105 sl 95", ["buy TP_HIT 00:03 stop 95 target 105"]),
        (DOWN, "00:01 in buy 1 tp 105 sl 95", ["buy SL_HIT 00:03 stop 95 target 105"]),
        (DOWN, "00:01 in sell 1 tp 95 sl 105", ["sell TP_HIT 00:03 stop 105 target 95"]),
        (PEAK, "00:01 in buy 1 \n 00:01 t sell 1 trail 5 reduce", ["buy TRAIL 00:05 stop 95"]),
        (PEAK, "00:01 in buy 1 \n 00:01 t sell 1 trail 400bps reduce", ["buy TRAIL 00:05 stop 96"]),
        (PEAK, "00:01 in buy 1 \n 00:01 t sell 1 trail 5 from 108 reduce", ["buy TRAIL 00:05"]),
        (UP, "00:01 in buy 1 \n 00:03 out sell 3", ["buy REVERSE 00:03", "sell END open"]),
        (UP, "00:01 in buy 1 \n 00:03 out sell 1", ["buy SIGNAL 00:03"]),
        (UP, "00:01 in buy 1 sl 90", ["buy END open stop 90"]),
        (UP, "00:01 in buy 1 \n 00:01 p sell 1 oco 108 97 -", ["buy TP_HIT 00:04 stop 97 target 108"]),
        (UP, "00:01 in buy 1 \n 00:02 exits e tp 108 sl 96", ["buy TP_HIT 00:04 stop 96 target 108"]),
        # placed before the entry, or later, or moved: the first that stood while it was open, at its price of then
        (DOWN, "00:01 s sell 1 stop 94 reduce \n 00:02 in buy 1", ["buy SL_HIT 00:03 stop 94"]),
        (DOWN, "00:01 in buy 1 \n 00:02 s sell 1 stop 94 reduce", ["buy SL_HIT 00:03 stop 94"]),
        (DOWN, "00:01 in buy 1 \n 00:01 s sell 1 stop 90 reduce \n 00:02 amend s stop 97", ["buy SL_HIT 00:03 stop 90"]),
        (DOWN, "00:01 s sell 1 stop 90 reduce \n 00:02 amend s stop 92 \n 00:03 in buy 1", ["buy SL_HIT 00:04 stop 92"]),
        # not those of the trade before, nor cancelled, rejected or refused ones, nor those on the side of the entry
        (UP, "00:01 a buy 1 sl 90 \n 00:02 b sell 1 \n 00:03 c buy 1 \n 00:04 d sell 1", ["buy SIGNAL 00:02 stop 90", "buy SIGNAL 00:04"]),
        (UP, "00:01 s sell 1 stop 90 \n 00:02 cancel s \n 00:03 in buy 1 \n 00:04 out sell 1", ["buy SIGNAL 00:04"]),
        (UP, "00:01 in buy 1 \n 00:02 s sell 1 stop 500 reduce \n 00:04 out sell 1", ["buy SIGNAL 00:04"]),
        (UP, "00:01 in buy 1 stop 105 \n 00:05 out sell 1", ["buy SIGNAL 00:05"]),
    ],
)  # fmt: skip
def test_a_trade_carries_its_stop_its_target_and_why_it_ended(bars: str, orders: str, expected: list[str]) -> None:
    assert told(small_run(bars, orders)) == expected


def test_a_trade_that_took_too_long_says_so() -> None:
    assert told(small_run(UP, leaves_by(ExitRules(max_hold_ms=2 * MINUTE)))) == ["buy TIME_EXIT 00:03"]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (ExitRules(tp_frac=0.05, sl_frac=0.02), "buy TP_HIT 00:03 stop 98 target 105"),
        (ExitRules(tp_frac=0.05, sl_frac=0.02, trail_frac=0.01), "buy TP_HIT 00:03 stop 99 target 105"),
        (ExitRules(trail_frac=0.005), "buy TRAIL 00:05 stop 99.5"),
    ],
)
def test_rules_that_a_strategy_watches_itself_stand_with_the_trade_that_they_end(rules: ExitRules, expected: str) -> None:
    assert told(small_run(UP, leaves_by(rules))) == [expected]


@pytest.mark.parametrize(
    ("watched", "shown"),
    [("95.5", "stop 95.5"), (95, "stop 95"), (0, ""), (-1, ""), ("1/3", ""), ("nan", ""), ([1], ""), (True, "")],
)
def test_what_was_watched_counts_where_it_is_a_positive_number(watched: Any, shown: str) -> None:
    class Watches(Strategy):
        def on_candle(self, candle: Candle) -> MarketOrderIntent | None:
            if candle.end_ms == ms("00:01"):
                return MarketOrderIntent(symbol=A, side=Side.BUY, qty=1)
            leaves = MarketOrderIntent(symbol=A, side=Side.SELL, qty=1, reduce_only=True, watched_stop=watched)
            return leaves if candle.end_ms == ms("00:03") else None

    run = small_run(UP, Watches)
    assert told(run) == [f"buy SIGNAL 00:03 {shown}".strip()]
    levels, account = Levels(), Accounting(Fraction(1), outright=frozenset())
    for line in journaled(run).lines():
        fields = json.loads(line.raw, parse_float=str)
        levels.see(line.topic, fields)
        if line.topic == "fills":
            account.fill(fields)
    ((stop, _),) = levels.of(account.all_trades(), entry_price=lambda one: one.entry_value / one.qty)
    assert (stop is None) is (not shown) and (stop is None or f"stop {float(stop):g}" == shown)


def test_a_trade_that_was_liquidated_says_so_and_keeps_its_stop() -> None:
    tiers = (LeverageTier(floor=Decimal(0), maintenance_frac=Decimal("0.005"), leverage_max=Decimal(100)),)
    run = small_run(
        DOWN,
        "00:01 in buy 10 sl 85",
        specs=[spec(leverage_tiers=tiers)],
        cash="150",
        account={"leverage": 10, "margin": "isolated"},
    )
    assert told(run) == ["buy LIQUIDATION 00:04 stop 85"]


def test_every_reason_of_the_vocabulary_is_one_of_these_scenarios() -> None:
    shown = " ".join(
        case
        for mark in test_a_trade_carries_its_stop_its_target_and_why_it_ended.pytestmark
        for *_, cases in mark.args[1]
        for case in cases
    )
    missing = {reason.value for reason in CloseReason} - set(shown.split()) - {"TIME_EXIT", "LIQUIDATION", "DELIVERY"}
    assert not missing


def test_profit_is_counted_in_units_of_what_the_stop_puts_at_risk() -> None:
    long, short = (
        small_run(UP, f"00:01 in {side} 1 {exits} \n 00:03 out {other} 1")
        for side, other, exits in (("buy", "sell", "tp 120 sl 98"), ("sell", "buy", "tp 80 sl 110"))
    )
    won, lost = (trade_result(trade) for run in (long, short) for trade in trades(run))
    assert (won.stop_away, won.target_away, won.r_multiple, won.target_r) == pytest.approx((0.02, 0.2, 2.5, 10))
    assert (lost.stop_away, lost.target_away, lost.r_multiple) == pytest.approx((0.1, 0.2, -0.5))


def random_orders(seed: int) -> str:
    """Entries, exits, stops of all kinds, amendments and cancels, minute by minute."""
    draw = random.Random(seed)
    lines, names = [], []
    for minute in range(1, 40):
        for _ in range(draw.choice((0, 1, 1, 2))):
            name, side = f"o{len(names)}", draw.choice(("buy", "sell"))
            below = (side == "sell") == (draw.random() < 0.7)
            level = 100 + draw.randint(1, 6) * (-1 if below else 1)
            words = draw.choice(
                (
                    f"{name} {side} {draw.randint(1, 3)}",
                    f"{name} {side} {draw.randint(1, 3)}" + (" tp 106 sl 94" if side == "buy" else " tp 94 sl 106"),
                    f"{name} {side} 1 stop {level}",
                    f"{name} {side} 1 target {level} reduce",
                    f"{name} {side} 1 trail {draw.choice(('3', '200bps'))} reduce",
                    f"{name} {side} 1 oco {104 if side == 'sell' else 96} {95 if side == 'sell' else 105} -",
                    f"exits {name} sl {level}",
                    f"amend {draw.choice(names)} stop {level}" if names else f"{name} {side} 1",
                    f"cancel {draw.choice(names)}" if names else f"{name} {side} 1",
                )
            )
            names.append(name)
            lines.append(f"00:{minute:02d} {words}")
    return "\n".join(lines)


def random_bars(seed: int) -> str:
    draw, price, lines = random.Random(seed), 100, []
    for minute in range(42):
        closed = min(110, max(90, price + draw.randint(-3, 3)))
        high, low = max(price, closed) + draw.randint(0, 2), min(price, closed) - draw.randint(0, 2)
        lines.append(f"00:{minute:02d} {price} {high} {low} {closed} 1000")
        price = closed
    return "\n".join(lines)


@pytest.mark.parametrize("seed", range(25))
def test_the_program_that_verifies_finds_the_same_by_itself(seed: int) -> None:
    run = small_run(random_bars(seed), random_orders(seed))
    account, levels = Accounting(Fraction(1), outright=frozenset()), Levels()
    for line in journaled(run).lines():
        fields: dict[str, Any] = json.loads(line.raw, parse_float=str)
        levels.see(line.topic, fields)
        if line.topic == "fills":
            account.fill(fields)
    proven = account.all_trades()
    found = trades(run)
    assert len(found) == len(proven)
    for ours, theirs, (stop, target) in zip(
        found, proven, levels.of(proven, entry_price=lambda one: one.entry_value / one.qty), strict=True
    ):
        assert (ours.close_reason, ours.order_type, ours.first_fill, ours.last_fill) == (
            theirs.close_reason, theirs.order_type, theirs.first_fill, theirs.last_fill,
        )  # fmt: skip
        for price, level in ((ours.stop_price, stop), (ours.target_price, target)):
            assert (price is None) is (level is None)
            assert price is None or level is None or abs(price - level * MONEY_ONE) <= 1


def test_random_flow_is_no_desert() -> None:
    found = [trade for seed in range(25) for trade in trades(small_run(random_bars(seed), random_orders(seed)))]
    assert sum(trade.stop_price is not None for trade in found) > 30 and sum(trade.target_price is not None for trade in found) > 20
    assert sum(isinstance(one, Fill) for one in small_run(random_bars(1), random_orders(1)).fills) > 5
    assert e8_from_decimal(Decimal("0.1")) == TICK_E8
