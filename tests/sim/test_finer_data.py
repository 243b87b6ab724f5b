"""Bars whose order of events decides an outcome, gone through in finer data: shorter candles, and trades below them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtester.domain.vocabulary import Side
from tests.sim.small_run import SmallRun, flat, small_run

BARS = """
    00:00  100 100 100 100  100
    00:01  100 100 100 100  100
    00:02  100 103  96 100  100   # reaches 97 and 102
    00:03  100 100 100 100  100
"""
LONG = "00:01 in buy 1 tp 102 sl 97"
SHORT = "00:01 in sell 1 tp 97 sl 102"
UP_FIRST = """
    00:02:00  100 103 100 101  25
    00:02:15  101 101 101 101  25
    00:02:30  101 101  96  98  25
    00:02:45   98 100  98 100  25
"""
DOWN_FIRST = """
    00:02:00  100 101  96  98  25
    00:02:15   98 103  98 101  25
    00:02:30  101 101 100 100  25
    00:02:45  100 100 100 100  25
"""
BOTH_IN_ONE_ROW = """
    00:02:00  100 101 100 101  25
    00:02:15  101 103  96  98  25
    00:02:30   98 100  98 100  25
    00:02:45  100 100 100 100  25
"""
A_GAP = UP_FIRST.replace("00:02:15  101 101 101 101  25\n", "")
ANOTHER_HIGH = UP_FIRST.replace("103", "102.5")
UP_TRADES = """
    00:02:00      100  10
    00:02:16.005  103  10
    00:02:17.100   98  10
    00:02:17.101   96  10
    00:02:59      100  10
"""
DOWN_TRADES = """
    00:02:00       100  10
    00:02:16.500    96  10
    00:02:17.100   103  10
    00:02:29        98  10
    00:02:59.999   100  10
"""
STOP, TARGET = "00:03 in-sl1 sell 1 @ 97 taker bar", "00:03 in-tp1 sell 1 @ 102 taker bar"
QUARTER = 15_000


def exit_of(run: SmallRun) -> str:
    (told,) = [line for line in run.told() if "-sl1 " in line or "-tp1 " in line if "ends" not in line]
    return told


def counted(run: SmallRun) -> tuple[int, int, int, Decimal]:
    intrabar = run.engine.venue.intrabar
    return intrabar.bars, intrabar.by_candles, intrabar.by_trades, intrabar.amount_quote


@pytest.mark.parametrize("path", ["worst", "best"])
@pytest.mark.parametrize(
    ("orders", "finer", "told", "counts"),
    [
        pytest.param(LONG, {QUARTER: UP_FIRST}, f"{TARGET} resolved", (1, 1, 0, 0), id="candles: the target came first"),
        pytest.param(LONG, {QUARTER: DOWN_FIRST}, "00:03 in-sl1 sell 1 @ 97 taker bar resolved", (1, 1, 0, 0), id="candles: the stop came first"),
        pytest.param(SHORT, {QUARTER: UP_FIRST}, "00:03 in-sl1 buy 1 @ 102 taker bar resolved", (1, 1, 0, 0), id="a short is stopped on the way up"),
        pytest.param(SHORT, {QUARTER: DOWN_FIRST}, "00:03 in-tp1 buy 1 @ 97 taker bar resolved", (1, 1, 0, 0), id="a short is paid on the way down"),
        pytest.param(LONG, {0: UP_TRADES}, f"{TARGET} resolved", (1, 0, 1, 0), id="trades: the target came first"),
        pytest.param(LONG, {0: DOWN_TRADES}, "00:03 in-sl1 sell 1 @ 96 taker bar resolved", (1, 0, 1, 0), id="trades: the stop is traded at the trade that reaches it"),
        pytest.param(LONG, {QUARTER: UP_FIRST, 0: DOWN_TRADES}, f"{TARGET} resolved", (1, 1, 0, 0), id="trades are not asked where candles tell"),
        pytest.param(LONG, {QUARTER: A_GAP, 0: UP_TRADES}, f"{TARGET} resolved", (1, 0, 1, 0), id="trades where candles are missing"),
        pytest.param(LONG, {20_000: A_GAP, QUARTER: DOWN_FIRST}, "00:03 in-sl1 sell 1 @ 97 taker bar resolved", (1, 1, 0, 0), id="other candles where some are missing"),
    ],
)  # fmt: skip
def test_finer_data_tells_what_came_first_whatever_path_is_assumed(
    path: str, orders: str, finer: dict[int, str], told: str, counts: tuple[int, int, int, int]
) -> None:
    run = small_run(BARS, orders, path=path, finer=finer)
    assert exit_of(run) == told
    assert counted(run) == counts


@pytest.mark.parametrize(
    "finer",
    [
        pytest.param({}, id="none"),
        pytest.param({QUARTER: A_GAP}, id="a gap"),
        pytest.param({QUARTER: ANOTHER_HIGH}, id="another high than the bar's"),
        pytest.param({25_000: UP_FIRST}, id="a length that does not divide the bar's"),
        pytest.param({0: "00:02:00 100 1\n00:02:59 100 1"}, id="trades that do not reach what the bar does"),
        pytest.param({0: "00:01:59 100 1\n00:03 100 1"}, id="trades of another minute"),
    ],
)
def test_without_whole_finer_data_the_worse_side_is_taken_and_counted(finer: dict[int, str]) -> None:
    run = small_run(BARS, LONG, finer=finer)
    assert exit_of(run) == STOP
    assert counted(run) == (1, 0, 0, 5)


@pytest.mark.parametrize(("trades", "told"), [(UP_TRADES, TARGET), (DOWN_TRADES, "00:03 in-sl1 sell 1 @ 96 taker bar")])
def test_a_row_that_hides_its_order_is_gone_through_in_its_trades(trades: str, told: str) -> None:
    inside = trades.replace("00:02:00 ", "#").replace("00:02:16", "00:02:15").replace("00:02:59", "#")
    inside = "00:02:15 101 1\n" + inside
    run = small_run(BARS, LONG, finer={QUARTER: BOTH_IN_ONE_ROW, 0: f"{inside}\n00:02:29.9 98 1"})
    assert exit_of(run) == f"{told} resolved"
    assert counted(run) == (1, 0, 1, 0)


def test_what_the_finest_data_hides_is_the_worse_side_and_stays_counted() -> None:
    run = small_run(BARS, LONG, finer={QUARTER: BOTH_IN_ONE_ROW})
    assert exit_of(run) == f"{STOP} resolved"
    assert counted(run) == (1, 0, 0, 5)
    best = small_run(BARS, LONG, finer={QUARTER: BOTH_IN_ONE_ROW}, path="best")
    assert exit_of(best) == f"{TARGET} resolved"


def test_a_bar_that_hides_nothing_is_not_asked_about() -> None:
    run = small_run(BARS.replace("103", "101"), LONG, finer={QUARTER: UP_FIRST})
    assert exit_of(run) == STOP
    assert counted(run) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("orders", "finer", "coarse", "fine", "stake"),
    [
        pytest.param("00:02 in buy 1 at 99 tp 102 sl 90", DOWN_FIRST, [], ["00:03 in-tp1 sell 1 @ 102 taker bar resolved"], 0, id="the target came after the entry"),
        pytest.param("00:02 in buy 1 at 99 tp 102 sl 90", UP_FIRST, [], [], 0, id="the target came before it"),
        pytest.param("00:02 in buy 1 tp 102 sl 97", UP_FIRST, ["00:03 in-sl1 sell 1 @ 97 taker bar"], ["00:03 in-sl1 sell 1 @ 97 taker bar resolved"], 1, id="entered at the open: its row does not pay"),
        pytest.param("00:02 in buy 1 tp 102 sl 95", DOWN_FIRST, [], ["00:03 in-tp1 sell 1 @ 102 taker bar resolved"], 0, id="entered at the open: a later row pays"),
    ],
)  # fmt: skip
def test_the_bar_of_an_entry_knows_what_came_after_it(
    orders: str, finer: str, coarse: list[str], fine: list[str], stake: int
) -> None:
    def exits(run: SmallRun) -> list[str]:
        return [line for line in run.told() if " in-" in line and "ends" not in line]

    without, within = small_run(BARS, orders), small_run(BARS, orders, finer={QUARTER: finer})
    assert exits(without) == coarse
    assert exits(within) == fine
    assert counted(without)[:3] == (1, 0, 0)
    assert counted(within) == (1, stake == 0, 0, stake)


def test_an_order_that_arrives_in_a_bar_meets_the_rows_from_its_arrival_on() -> None:
    orders = "00:01 in buy 1\n00:02 s sell 1 stop 97 reduce"
    assert "00:03 s sell 1 @ 97 taker bar" in small_run(BARS, orders, order_latency_ms=20_000).told()
    late = small_run(BARS, orders, order_latency_ms=20_000, finer={QUARTER: DOWN_FIRST})
    assert not [line for line in late.told() if " s sell" in line]
    early = small_run(BARS, orders, order_latency_ms=20_000, finer={QUARTER: UP_FIRST})
    assert "00:03 s sell 1 @ 97 taker bar resolved" in early.told()


TRAIL = """
    00:00  100 100 100 100  100
    00:01  100 100 100 100  100
    00:02  100 110  98 109 100
    00:03  109 109 109 109  100
"""


def in_rows(*closes: int) -> str:
    """Six rows of ten seconds from 100 on."""
    legs = enumerate(zip((100, *closes), closes, strict=False))
    return "\n".join(f"00:02:{number}0 {a} {max(a, b)} {min(a, b)} {b} 10" for number, (a, b) in legs)


@pytest.mark.parametrize(
    ("closes", "told"),
    [
        pytest.param((104, 107, 110, 106, 98, 109), "00:03 t sell 1 @ 105 taker bar resolved", id="raised, then hit"),
        pytest.param((98, 102, 106, 110, 109, 109), "00:04 t ends END_OF_RUN 1", id="the low came before it was raised"),
        pytest.param((104, 98, 101, 105, 110, 109), "00:03 t sell 1 @ 99 taker bar resolved", id="raised half of the way"),
    ],
)
def test_a_trailing_stop_follows_the_rows(closes: tuple[int, ...], told: str) -> None:
    run = small_run(TRAIL, "00:01 in buy 1\n00:02 t sell 1 trail 5 reduce", finer={10_000: in_rows(*closes)})
    assert told in run.told()
    assert counted(run) == (1, 1, 0, 0)


def test_costs_and_volume_are_those_of_the_whole_bar() -> None:
    orders = "00:01 in buy 8 tp 102 sl 97"
    run = small_run(BARS, orders, finer={QUARTER: UP_FIRST}, participation_bps=1000)
    best = small_run(BARS, orders, path="best", participation_bps=1000)
    assert exit_of(run) == f"{exit_of(best)} resolved"  # 8 are more than a tenth of a row, and less than a tenth of the bar


def walk(*steps: int) -> list[int]:
    prices = [1000]
    for step in steps:
        prices.append(max(900, prices[-1] + step))
    return prices


@settings(max_examples=60, deadline=None)
@given(
    turns=st.lists(st.integers(-70, 70), min_size=4, max_size=4),
    side=st.sampled_from(Side),
    levels=st.tuples(st.integers(5, 40), st.integers(5, 40)),
    trail=st.booleans(),
    by_trades=st.booleans(),
)
def test_what_finer_data_tells_lies_between_the_worst_and_the_best(
    turns: list[int], side: Side, levels: tuple[int, int], trail: bool, by_trades: bool
) -> None:
    prices = walk(*turns)
    ticks = [prices[0]]
    for goal in prices[1:]:
        ticks += range(ticks[-1], goal, 1 if goal > ticks[-1] else -1)[1:]
        ticks.append(goal)
    bar = f"00:02 {ticks[0] / 10} {max(ticks) / 10} {min(ticks) / 10} {ticks[-1] / 10} 100"
    bars = f"{flat('00:00', 2)}\n{bar}\n{flat('00:03', 2, price=ticks[-1] / 10)}"
    target, stop = (1000 + levels[0], 1000 - levels[1]) if side is Side.BUY else (1000 - levels[0], 1000 + levels[1])
    orders = f"00:01 in {side.value} 1 tp {target / 10} sl {stop / 10}"
    if trail:
        orders = f"00:01 in {side.value} 1\n00:02 t {side.opposite.value} 1 trail {levels[0] / 10} reduce"
    if by_trades:
        finer = {0: "\n".join(f"00:02:{number * 0.05:06.3f} {tick / 10} 1" for number, tick in enumerate(ticks))}
    else:
        legs = zip(prices, prices[1:], strict=False)
        finer = {
            QUARTER: "\n".join(
                f"00:02:{number * 15:02d} {a / 10} {max(a, b) / 10} {min(a, b) / 10} {b / 10} 25"
                for number, (a, b) in enumerate(legs)
            )
        }
    worst, best = (small_run(bars, orders, path=path).snapshots[-1].equity for path in ("worst", "best"))
    run = small_run(bars, orders, finer=finer)
    resolved = run.snapshots[-1].equity
    assert worst <= resolved <= best
    if run.engine.venue.intrabar.amount_quote == 0:
        assert resolved == small_run(bars, orders, finer=finer, path="best").snapshots[-1].equity
