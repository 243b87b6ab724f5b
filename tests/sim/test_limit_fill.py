"""A limit that a bar touches and does not trade through: by chance, or by its place in the queue."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtester.config.run_config import SimSection
from backtester.domain.errors import ConfigError
from tests.sim.small_run import SmallRun, expect, flat, small_run

TOUCHES = """
    00:00  100 100 100 100  100
    00:01  100 101  99 100  100   # a quarter of it at the limit of 99
    00:02  100 101  99 100  200
    00:03   99  99  99  99  80    # all of it
    00:04  100 101  99 100  100
    00:05  100 100 100 100  100
"""
THROUGH = TOUCHES.replace("00:01  100 101  99", "00:01  100 101  98.9")
ORDER = "00:01 a buy 30 at 99"


def fills(run: SmallRun) -> list[str]:
    return [line for line in run.told() if "maker" in line]


@pytest.mark.parametrize("sim", [{"limit_fill": "probabilistic", "touch_fill_frac": 0}, {"limit_fill": "queue"}])
def test_what_is_traded_through_is_filled_whatever_the_rule(sim: dict[str, object]) -> None:
    assert fills(small_run(THROUGH, ORDER, **sim)) == ["00:02 a buy 30 @ 99 maker bar"]


@pytest.mark.parametrize(
    ("sim", "told"),
    [
        pytest.param({"limit_fill": "through"}, "", id="through: not at all"),
        pytest.param({"limit_fill": "touch"}, "00:02 a buy 30 @ 99 maker bar", id="touch: at the first"),
        pytest.param({"limit_fill": "probabilistic", "touch_fill_frac": 1}, "00:02 a buy 30 @ 99 maker bar", id="a chance of 1 is touch"),
        pytest.param({"limit_fill": "probabilistic", "touch_fill_frac": 0}, "", id="a chance of 0 is through"),
        pytest.param({"limit_fill": "queue"}, "00:04 a buy 30 @ 99 maker bar", id="queue: 100 ahead, 25 and 50 take of it, 80 fill 30 of the 55 beyond"),
        pytest.param({"limit_fill": "queue", "queue_ahead_frac": "0.65"}, "00:03 a buy 10 @ 99 maker bar\n00:04 a buy 20 @ 99 maker bar", id="queue: 65 ahead, in parts"),
        pytest.param({"limit_fill": "queue", "queue_ahead_frac": 0}, "00:02 a buy 25 @ 99 maker bar\n00:03 a buy 5 @ 99 maker bar", id="nobody ahead: what was traded there"),
        pytest.param({"limit_fill": "queue", "queue_ahead_frac": 10}, "", id="too many ahead"),
        pytest.param({"limit_fill": "queue", "queue_ahead_frac": 0, "participation_bps": 1000}, "00:02 a buy 10 @ 99 maker bar\n00:03 a buy 20 @ 99 maker bar", id="never more than the share of the bar"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("routing", ["interest", "broadcast"])
def test_what_a_touch_gives(sim: dict[str, object], told: str, routing: str) -> None:
    assert fills(small_run(TOUCHES, ORDER, routing=routing, **sim)) == expect(told)


def test_a_sale_stands_in_the_queue_above() -> None:
    bars = TOUCHES.replace("101  99 100  100", "101 100 100  100")
    told = fills(small_run(bars, "00:01 a sell 30 at 101", limit_fill="queue", queue_ahead_frac="0.2"))
    assert told == ["00:02 a sell 5 @ 101 maker bar", "00:03 a sell 25 @ 101 maker bar"]


def test_chance_is_a_function_of_seed_order_and_bar() -> None:
    def told(seed: int, orders: str = ORDER) -> list[str]:
        return fills(small_run(TOUCHES, orders, seed=seed, limit_fill="probabilistic"))

    assert [told(seed) for seed in range(8)] == [told(seed) for seed in range(8)]
    assert len({tuple(told(seed)) for seed in range(8)}) > 2
    beside = told(3, f"{ORDER}\n00:01 b buy 1 at 99")
    assert [line for line in beside if " a " in line] == told(3), "another order draws for itself"


def test_a_stop_limit_is_confirmed_only_by_a_close_through_it() -> None:
    bars = f"{flat('00:00', 2)}\n00:02 100 104 100 103 100\n{flat('00:03', 2, price=103)}"
    order = "00:02 a buy 1 stop 102 at 103"
    assert "00:03 a buy 1 @ 103 taker bar" in small_run(bars, order, limit_fill="touch").told()
    assert "taker" not in "".join(small_run(bars, order, limit_fill="probabilistic", touch_fill_frac=0).told())


def test_a_cancel_is_too_late_only_where_the_fill_is_sure() -> None:
    bars = f"{flat('00:00', 2)}\n00:02 99 100 99 100 100\n{flat('00:03', 2)}"
    orders = "00:01 a buy 1 at 99\n00:02 cancel a"
    assert small_run(bars, orders, limit_fill="touch").told()[-1] == "00:03 a buy 1 @ 99 maker bar"
    assert small_run(bars, orders, limit_fill="queue").told() == ["00:02 a ends USER 1"]


@settings(max_examples=60, deadline=None)
@given(
    lows=st.lists(st.integers(985, 1000), min_size=2, max_size=6),
    frac=st.decimals(0, 1, places=2),
    seed=st.integers(0, 99),
    rule=st.sampled_from(["probabilistic", "queue"]),
)
def test_every_rule_lies_between_through_and_touch(lows: list[int], frac: Decimal, seed: int, rule: str) -> None:
    bars = flat("00:00", 2) + "".join(f"\n00:{minute + 2:02d} 100 100 {low / 10} 100 50" for minute, low in enumerate(lows))

    def filled(**sim: object) -> Decimal:
        return sum((fill.qty for fill in small_run(bars, "00:01 a buy 20 at 99", seed=seed, **sim).fills), Decimal(0))

    least, most = filled(limit_fill="through"), filled(limit_fill="touch")
    assert least <= filled(limit_fill=rule, touch_fill_frac=frac, queue_ahead_frac=frac) <= most


@pytest.mark.parametrize("keys", [{"touch_fill_frac": 2}, {"touch_fill_frac": -1}, {"queue_ahead_frac": 101}])
def test_fractions_that_cannot_be_are_refused(keys: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="must be between 0 and"):
        SimSection(**keys)  # type: ignore[arg-type] # numbers as a user writes them
