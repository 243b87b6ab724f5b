"""Orders that wait for the mark price or the index: when they are triggered, and what they trade at."""

from __future__ import annotations

import pytest

from backtester.config.venue_rules import venue_rules
from backtester.domain.errors import RunAbortedError
from backtester.domain.vocabulary import TriggerBy
from tests.sim.small_run import SmallRun, expect, flat, small_run

MARK, INDEX = TriggerBy.MARK, TriggerBy.INDEX
STILL = """
    00:00  100 100 100 100  100
    00:01  100 101  99 100  100
    00:02  100 102  97 100  100
    00:03   98 103  96 100  100
    00:04  100 100 100 100  100
"""
DIP = "00:00 100 100 100 100 0\n00:01 100 100 100 100 0\n00:02 100 100 89 95 0\n00:03 95 95 95 95 0\n00:04 95 95 95 95 0"
LEAP = "00:00 100 100 100 100 0\n00:01 100 100 100 100 0\n00:02 100 100 95 95 0\n00:03 89 89 89 89 0\n00:04 89 89 89 89 0"
RISE = "00:00 100 100 100 100 0\n00:01 100 104 100 104 0\n00:02 106 110 106 110 0\n00:03 110 110 103 103 0\n00:04 103 103 103 103 0"
PAUSE = """
    00:00  100 100 100 100  100
    00:01  100 100 100 100  100
    00:03   98 103  96 100  100
    00:04  100 100 100 100  100
"""


def run(orders: str, mark: str, bars: str = STILL) -> SmallRun:
    return small_run(bars, orders, prices={MARK: mark})


@pytest.mark.parametrize(
    ("orders", "mark", "told"),
    [
        pytest.param("00:01 s sell 1 stop 90 by mark", DIP, "00:03 s sell 1 @ 97 taker bar mark", id="a stop by the mark trades at the worst of the traded bar"),
        pytest.param("00:01 s buy 1 target 90 by mark", DIP, "00:03 s buy 1 @ 102 taker bar mark", id="a take-profit too: what traded at that moment is unknown"),
        pytest.param("00:01 s sell 1 stop 90 by mark", LEAP, "00:04 s sell 1 @ 98 taker bar mark", id="a mark that begins beyond the trigger: at the traded open"),
        pytest.param("00:01 s sell 1 stop 90", DIP, "00:05 s ends END_OF_RUN 1", id="the last price never was there"),
        pytest.param("00:01 s sell 1 stop 97 by mark", RISE, "00:05 s ends END_OF_RUN 1", id="and where only the last price is there, the mark is not"),
        pytest.param("00:01 s sell 1 trail 5 by mark", RISE, "00:04 s sell 1 @ 96 taker bar mark", id="a trailing stop follows the mark"),
        pytest.param("00:01 s sell 1 trail 5 from 108 by mark", RISE, "00:04 s sell 1 @ 96 taker bar mark", id="from its activation by the mark"),
        pytest.param("00:01 s sell 1 trail 5 from 111 by mark", RISE, "00:05 s ends END_OF_RUN 1", id="which may never be reached"),
        pytest.param("00:01 s sell 1 stop 90 at 98 by mark", DIP, "00:03 s sell 1 @ 98 taker bar mark", id="a stop-limit: the traded close confirms its limit"),
        pytest.param("00:03 s sell 1 stop 96 by mark", DIP, "00:03 s rejected TRIGGER_SIDE", id="the side of the market is that of the mark"),
        pytest.param("00:01 s buy 1 stop 101 by mark", DIP, "00:05 s ends END_OF_RUN 1", id="a buy stop waits for the mark to rise"),
        pytest.param("00:01 e buy 1 sl 90 by mark", DIP, "00:01 e buy 1 @ 100 taker\n00:03 e-sl1 sell 1 @ 97 taker bar mark", id="exits of an entry"),
        pytest.param("00:01 e buy 1 tp 107 sl 90 whole by mark", RISE, "00:01 e buy 1 @ 100 taker\n00:03 e-sl1 ends OCO 1\n00:03 e-tp1 sell 1 @ 97 taker bar mark", id="of a position"),
        pytest.param("00:01 e buy 1\n00:02 exits p sl 90 by mark", DIP, "00:01 e buy 1 @ 100 taker\n00:03 p-sl sell 1 @ 97 taker bar mark", id="a position's own"),
        pytest.param("00:02 e buy 1\n00:03 exits p sl 96 by mark", DIP, "00:02 e buy 1 @ 100 taker\n00:03 p rejected TRIGGER_SIDE", id="which must lie beyond the mark"),
        pytest.param("00:01 s sell 1 stop 80 by mark\n00:02 amend s stop 90", DIP, "00:02 s amended 1 @ 90\n00:03 s sell 1 @ 97 taker bar mark", id="an amended trigger is one of the mark"),
        pytest.param("00:01 s sell 1 stop 80 by mark\n00:04 amend s stop 96", DIP, "00:04 s rejected TRIGGER_SIDE\n00:05 s ends END_OF_RUN 1", id="and must lie before it"),
        pytest.param("00:01 s sell 1 stop 90 by mark\n00:03 cancel s", LEAP, "00:03 s rejected TOO_LATE\n00:04 s sell 1 @ 98 taker bar mark", id="a cancel loses to a mark that begins beyond the trigger") ,
    ],
)  # fmt: skip
def test_an_order_that_waits_for_the_mark(orders: str, mark: str, told: str) -> None:
    assert sorted(run(orders, mark).told()) == sorted(expect(told))


def test_the_mark_goes_on_while_nothing_trades_and_the_order_trades_at_the_next_open() -> None:
    assert run("00:01 s sell 1 stop 90 by mark", DIP, PAUSE).told() == expect("00:04 s sell 1 @ 98 taker bar mark")
    no_volume = PAUSE + "00:02 100 100 100 100 0"
    bars = "\n".join(sorted(line.strip() for line in no_volume.splitlines()))
    assert run("00:01 s sell 1 stop 90 by mark", DIP, bars).told() == expect("00:04 s sell 1 @ 98 taker bar mark")


@pytest.mark.parametrize(
    ("order", "latency_s", "told"),
    [
        pytest.param("s sell 1 stop 90", 70, "00:05 s ends END_OF_RUN 1", id="what was before its minute triggers nothing"),
        pytest.param(
            "s sell 1 stop 90", 30, "00:05 s sell 1 @ 100 taker bar mark", id="a stop meets the whole minute of its arrival"
        ),
        pytest.param("s buy 1 target 90", 30, "00:05 s ends END_OF_RUN 1", id="a take-profit the next ones"),
    ],
)
def test_an_order_that_arrives_in_a_pause(order: str, latency_s: int, told: str) -> None:
    bars = "\n".join(line for line in PAUSE.splitlines() if "00:03" not in line)
    mark = DIP.replace("95 95 95 95", "100 100 100 100")
    late = small_run(bars, f"00:02 {order} by mark", prices={MARK: mark}, order_latency_ms=latency_s * 1000)
    assert late.told() == expect(told)


def test_the_stop_of_a_pair_comes_first_whatever_the_path() -> None:
    wide = (
        "00:00 100 100 100 100 0\n00:01 100 100 100 100 0\n00:02 100 111 89 100 0\n00:03 100 100 100 100 0\n00:04 100 100 100 100 0"
    )
    for path in ("worst", "best", "ohlc", "olhc", "adaptive", "seeded"):
        told = small_run(STILL, "00:01 e buy 1 tp 110 sl 90 by mark", prices={MARK: wide}, path=path).told()
        assert told[-1] == "00:03 e-sl1 sell 1 @ 97 taker bar mark"


def test_index_and_mark_are_prices_of_their_own() -> None:
    orders = "00:01 m sell 1 stop 90 by mark\n00:01 i sell 1 stop 90 by index"
    told = small_run(STILL, orders, prices={MARK: DIP, INDEX: LEAP}).told()
    assert told == expect("00:03 m sell 1 @ 97 taker bar mark\n00:04 i sell 1 @ 98 taker bar index")


def test_results_are_the_same_whoever_is_called_with_the_bars() -> None:
    orders = "00:01 m sell 1 stop 90 by mark\n00:01 t sell 1 trail 5 by mark"
    told = [small_run(STILL, orders, prices={MARK: DIP}, routing=routing).told() for routing in ("interest", "broadcast")]
    assert told[0] == told[1]


def test_prices_that_the_run_does_not_have_end_it_with_the_exit_code_of_data() -> None:
    for orders in ("00:01 s sell 1 stop 90 by mark", "00:01 e buy 1 sl 90 by mark", "00:01 e buy 1\n00:02 exits p sl 90 by mark"):
        with pytest.raises(RunAbortedError, match=r"no mark prices of AAAUSDT") as caught:
            small_run(STILL, orders)
        assert caught.value.exit_code == 3
    hole = "\n".join(line for line in DIP.splitlines() if not line.startswith("00:02"))
    with pytest.raises(RunAbortedError, match="no mark prices"):
        run("00:01 s sell 1 stop 90 by mark", hole)


def test_a_market_order_without_exits_asks_for_none() -> None:
    assert small_run(STILL, "00:01 a buy 1").told() == expect("00:01 a buy 1 @ 100 taker")


@pytest.mark.parametrize(
    ("exchange", "market", "line", "told"),
    [
        ("binance", "linear", "s sell 1 stop 90 by index", "00:01 s refused INVALID"),
        ("binance", "linear", "s sell 1 stop 90 by mark", "00:03 s sell 1 @ 97 taker bar mark"),
        ("bybit", "linear", "s sell 1 stop 90 by index", "00:03 s sell 1 @ 97 taker bar index"),
        ("bybit", "inverse", "s sell 1 stop 90 by index", "00:03 s sell 1 @ 97 taker bar index"),
        ("bybit", "option", "s sell 1 stop 90", "00:01 s refused INVALID"),
        ("bybit", "option", "s buy 1 sl 90", "00:01 s refused INVALID"),
        ("bybit", "option", "s buy 1", "00:01 s buy 1 @ 100 taker"),
        ("binance", "spot", "s buy 1 stop 105 by mark", "00:01 s refused INVALID"),
        ("bybit", "spot", "s buy 1 stop 105 by mark", "00:01 s refused INVALID"),
        ("bybit", "linear", "s sell 1 stop 97", "00:03 s sell 1 @ 97 taker bar"),
        ("binance", "linear", "s sell 1 stop 97", "00:03 s sell 1 @ 97 taker bar"),
    ],
)
def test_a_venue_has_the_triggers_that_it_has_and_the_last_price_where_nothing_is_said(
    exchange: str, market: str, line: str, told: str
) -> None:
    done = small_run(STILL, f"00:01 {line}", venue=venue_rules(exchange, market), prices={MARK: DIP, INDEX: DIP})
    assert done.told() == expect(told)


@pytest.mark.parametrize(
    ("stop", "told"),
    [
        pytest.param("92 by mark", "00:03 p-sl sell 10 @ 84 taker bar mark", id="where the mark reaches its trigger before the liquidation price"),
        pytest.param("85 by mark", "00:03 p-sl ends LIQUIDATION 10\n00:03 liq-1 sell 10 @ 89.6 taker bar", id="not after it"),
        pytest.param("92 by index", "00:03 p-sl ends LIQUIDATION 10\n00:03 liq-1 sell 10 @ 89.6 taker bar", id="nor by the index: nobody knows what came first"),
    ],
)  # fmt: skip
def test_a_stop_trades_before_a_liquidation(stop: str, told: str) -> None:
    bars = flat("00:00", 2) + "\n00:02 100 100 84 95 100\n" + flat("00:03", 2, price=95)
    script = f"00:01 e buy 10\n00:02 exits p sl {stop}"
    done = small_run(bars, script, prices={MARK: bars, INDEX: bars}, cash="105", account={"leverage": 10})
    assert done.told()[1:] == expect(told)
