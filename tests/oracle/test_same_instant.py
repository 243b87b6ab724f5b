"""What happens at one instant happens in the order of class, then of sending."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from tests.oracle.driver import compare, engine_fills
from tests.oracle.scenario import Action, Bar, Rules, Script

SYMBOL = "AAAUSDT"
START_MS = 1_746_403_200_000
FREE = {name: Decimal(0) for name in ("spread_bps", "slippage_bps", "maker_bps", "taker_bps")}


def flat_bars(count: int, volume: int = 10) -> dict[str, list[Bar]]:
    """Minutes at 100; a tenth of the volume is one piece."""
    price = Fraction(100)
    starts = [START_MS + index * 60_000 for index in range(count)]
    return {SYMBOL: [Bar(start, start + 60_000, price, price, price, price, Fraction(volume)) for start in starts]}


def filled(script: Script, rules: Rules, bars: dict[str, list[Bar]]) -> list[tuple[int, str, Fraction]]:
    """(minutes after the start, order, quantity) of each fill, once engine and oracle agree."""
    result, _ = compare(bars, script, rules)
    return [((row[0] - START_MS) // 60_000, row[7], row[3]) for row in engine_fills(result)]


def test_a_working_order_meets_an_open_before_one_that_arrives_then() -> None:
    script = Script(
        {(SYMBOL, 0): [Action("market", "first", True, 1_500)], (SYMBOL, 1): [Action("market", "second", True, 1_000)]}, {}
    )
    rules = Rules(order_latency_ms=0, cancel_latency_ms=0, response_latency_ms=0, **FREE)
    half = Fraction(1, 2)
    assert filled(script, rules, flat_bars(6)) == [
        (1, "first", Fraction(1)),
        (2, "first", half),
        (2, "second", half),
        (3, "second", half),
    ]


def test_a_latency_of_a_whole_bar_does_not_change_that() -> None:
    script = Script(
        {(SYMBOL, 0): [Action("market", "first", True, 1_500)], (SYMBOL, 1): [Action("market", "second", True, 1_000)]}, {}
    )
    rules = Rules(order_latency_ms=60_000, cancel_latency_ms=60_000, **FREE)
    half = Fraction(1, 2)
    assert filled(script, rules, flat_bars(7)) == [
        (2, "first", Fraction(1)),
        (3, "first", half),
        (3, "second", half),
        (4, "second", half),
    ]


def test_market_orders_come_before_limits_sent_earlier() -> None:
    script = Script({(SYMBOL, 0): [Action("limit", "limit", True, 800, 5), Action("market", "market", True, 800)]}, {})
    rules = Rules(order_latency_ms=125, **FREE)
    fills = filled(script, rules, flat_bars(5))
    assert fills[:2] == [(1, "market", Fraction("0.8")), (1, "limit", Fraction("0.2"))]
