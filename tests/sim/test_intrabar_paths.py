"""What came first in a bar that reaches stop and target: the assumed path decides, and the bar is counted."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtester.domain.vocabulary import Side
from tests.sim.small_run import SmallRun, expect, flat, small_run

BOTH = """
    00:00  100 100 100 100  100
    00:01  100 100 100 100  100
    00:02  100 103  96 100  100   # reaches 97 and 102; the high is nearer to the open
    00:03  100 100 100 100  100
"""
GAP_THROUGH_STOP = BOTH.replace("00:02  100 103", "00:02  96.5 103")
GAP_THROUGH_TARGET = BOTH.replace("00:02  100 103", "00:02  102.5 103")
EVEN = BOTH.replace("00:02  100 103", "00:02  100 104")
LONG = "00:01 in buy 1 tp 102 sl 97"
SHORT = "00:01 in sell 1 tp 97 sl 102"
PATHS = ("worst", "ohlc", "olhc", "adaptive", "seeded", "best")
STOP, TARGET = "in-sl1 sell 1 @ 97 taker bar", "in-tp1 sell 1 @ 102 taker bar"
SHORT_STOP, SHORT_TARGET = "in-sl1 buy 1 @ 102 taker bar", "in-tp1 buy 1 @ 97 taker bar"


def exit_of(run: SmallRun) -> str:
    (told,) = [line for line in run.told() if "-sl1 " in line or "-tp1 " in line if "ends" not in line]
    return told.removeprefix("00:03 ")


@pytest.mark.parametrize(
    ("bars", "orders", "path", "told"),
    [
        pytest.param(BOTH, LONG, "worst", STOP, id="worst: the stop first"),
        pytest.param(BOTH, LONG, "best", TARGET, id="best: the target first"),
        pytest.param(BOTH, LONG, "ohlc", TARGET, id="to the high first"),
        pytest.param(BOTH, LONG, "olhc", STOP, id="to the low first"),
        pytest.param(BOTH, LONG, "adaptive", TARGET, id="to the nearer extreme first"),
        pytest.param(EVEN, LONG, "adaptive", STOP, id="both as near: the worse"),
        pytest.param(BOTH, SHORT, "worst", SHORT_STOP, id="a short's stop is above"),
        pytest.param(BOTH, SHORT, "best", SHORT_TARGET, id="a short's target is below"),
        pytest.param(BOTH, SHORT, "ohlc", SHORT_STOP, id="the high first stops a short"),
        pytest.param(BOTH, SHORT, "olhc", SHORT_TARGET, id="the low first pays it"),
        *(pytest.param(GAP_THROUGH_STOP, LONG, path, "in-sl1 sell 1 @ 96.5 taker bar", id=f"{path}: an open through the stop leaves nothing to decide") for path in PATHS),
        *(pytest.param(GAP_THROUGH_TARGET, LONG, path, STOP if path == "worst" else TARGET, id=f"{path}: an open through the target") for path in PATHS),
    ],
)  # fmt: skip
@pytest.mark.parametrize("routing", ["interest", "broadcast"])
def test_the_path_decides_between_stop_and_target(bars: str, orders: str, path: str, told: str, routing: str) -> None:
    assert exit_of(small_run(bars, orders, path=path, routing=routing)) == told


@pytest.mark.parametrize("path", PATHS)
def test_the_bar_is_counted_once_with_what_hangs_on_it(path: str) -> None:
    intrabar = small_run(BOTH, "00:01 in buy 2 tp 102 sl 97", path=path).engine.venue.intrabar
    assert (intrabar.bars, intrabar.amount_quote) == (1, Decimal(10))


@pytest.mark.parametrize(
    ("bars", "orders"),
    [
        (GAP_THROUGH_STOP, LONG),
        (BOTH.replace("103", "101"), LONG),
        (BOTH, "00:01 in buy 1 sl 97"),
        (BOTH, "00:01 in buy 1\n00:02 a buy 1 at 98\n00:02 b sell 1 at 102"),
    ],
    ids=["the open decided", "only the stop", "no target", "both sides of a quote: both fill"],
)
def test_a_bar_in_which_nothing_depends_on_the_order_is_not_counted(bars: str, orders: str) -> None:
    runs = [small_run(bars, orders, path=path) for path in PATHS]
    assert {run.engine.venue.intrabar.bars for run in runs} == {0}
    assert len({tuple(run.told()) for run in runs}) == 1


def test_a_resting_limit_that_may_only_close_is_a_target_too() -> None:
    orders = "00:01 in buy 1\n00:02 out sell 1 at 102 reduce\n00:02 stop sell 1 stop 97 reduce"
    assert "00:03 stop sell 1 @ 97 taker bar" in small_run(BOTH, orders).told()
    best = small_run(BOTH, orders, path="best")
    assert best.told()[-2:] == ["00:03 out sell 1 @ 102 maker bar", "00:03 stop ends REDUCE_ONLY 1"]
    assert best.engine.venue.intrabar.bars == 1


TRAIL = """
    00:00  100 100 100 100  100
    00:01  100 100 100 100  100
    00:02  100 110 {low} 109 100
    00:03  109 109 109 109  100
"""


@pytest.mark.parametrize(
    ("low", "path", "told"),
    [
        pytest.param("98", "worst", "00:03 t sell 1 @ 98 taker bar", id="raised and hit, in whichever order: the adverse extreme"),
        pytest.param("98", "ohlc", "00:03 t sell 1 @ 105 taker bar", id="raised, then hit: the raised trigger"),
        pytest.param("98", "olhc", "00:04 t ends END_OF_RUN 1", id="the low came before it was raised, the close is above"),
        pytest.param("98", "best", "00:04 t ends END_OF_RUN 1", id="best: it stays"),
        pytest.param("94", "worst", "00:03 t sell 1 @ 95 taker bar", id="the old trigger was hit"),
        pytest.param("94", "ohlc", "00:03 t sell 1 @ 105 taker bar", id="it had been raised before"),
        pytest.param("94", "olhc", "00:03 t sell 1 @ 95 taker bar", id="it had not"),
        pytest.param("94", "best", "00:03 t sell 1 @ 105 taker bar", id="best: the raised trigger"),
    ],
)  # fmt: skip
def test_the_path_decides_what_a_trailing_stop_had_seen(low: str, path: str, told: str) -> None:
    run = small_run(TRAIL.format(low=low), "00:01 in buy 1\n00:02 t sell 1 trail 5 reduce", path=path)
    assert told in run.told()
    assert run.engine.venue.intrabar.bars == 1


def test_a_trailing_stop_that_comes_to_its_end_by_the_close_leaves_at_the_raised_trigger() -> None:
    bars = TRAIL.format(low="98").replace("98 109 100", "98 104 100")
    assert "00:03 t sell 1 @ 105 taker bar" in small_run(bars, "00:01 in buy 1\n00:02 t sell 1 trail 5 reduce", path="olhc").told()


def test_the_seeded_path_is_a_function_of_seed_and_bar_and_takes_both_ways() -> None:
    told = [exit_of(small_run(BOTH, LONG, path="seeded", seed=seed)) for seed in range(12)]
    assert told == [exit_of(small_run(BOTH, LONG, path="seeded", seed=seed, routing="broadcast")) for seed in range(12)]
    assert set(told) == {STOP, TARGET}


@settings(max_examples=40, deadline=None)
@given(
    opened=st.integers(970, 1030),
    high=st.integers(0, 60),
    low=st.integers(0, 60),
    side=st.sampled_from(Side),
    levels=st.tuples(st.integers(5, 40), st.integers(5, 40)),
)
def test_no_path_ends_below_the_worst_or_above_the_best(
    opened: int, high: int, low: int, side: Side, levels: tuple[int, int]
) -> None:
    top, bottom = max(opened, 1000) + high, min(opened, 1000) - low
    bars = f"{flat('00:00', 2)}\n00:02 {opened / 10} {top / 10} {bottom / 10} 100 100\n{flat('00:03', 2)}"
    target, stop = (1000 + levels[0], 1000 - levels[1]) if side is Side.BUY else (1000 - levels[0], 1000 + levels[1])
    orders = f"00:01 in {side.value} 1 tp {target / 10} sl {stop / 10}"
    ended = {path: small_run(bars, orders, path=path).snapshots[-1].equity for path in PATHS}
    assert min(ended.values()) == ended["worst"]
    assert max(ended.values()) == ended["best"]


def test_the_default_is_the_worst_path() -> None:
    assert small_run(BOTH, LONG).told() == expect(
        f"""
        00:01 in buy 1 @ 100 taker
        00:03 in-tp1 ends OCO 1
        00:03 {STOP}
        """
    )
