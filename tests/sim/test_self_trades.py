"""Self-trade prevention: what happens where an order would trade with another of the same account."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from backtester.config.venue_rules import venue_rules
from backtester.domain.intents import LimitOrderIntent, MarketOrderIntent
from backtester.domain.orders import OrderCanceled
from backtester.domain.venue_rules import GENERIC
from backtester.domain.vocabulary import Market, OrderStatus, SelfTrade
from tests.sim.small_run import A, expect, flat, intent_of, small_run

CALM = flat("00:00", 5, price=100, volume=10)
STILL = flat("00:00", 1, price=1.3) + "\n" + flat("00:01", 4, price=1.3, volume=0)
WIDE = {"spread_bps": 400}  # a buy pays 102, a sale receives 98
CUT = {"participation_bps": 1000}
MAKER = "00:01 m sell 1 at 101\n"
REST = "00:05 m ends END_OF_RUN 1"
NONE, KEEP, LAST, BOTH = SelfTrade.NONE, SelfTrade.CANCEL_MAKER, SelfTrade.CANCEL_TAKER, SelfTrade.CANCEL_BOTH


@pytest.mark.parametrize(
    ("orders", "sim", "stp", "told"),
    [
        pytest.param(MAKER + "00:02 t buy 1", WIDE, LAST, f"00:02 t ends SELF_TRADE 1\n{REST}", id="cancel taker: a market order that would reach ours ends"),
        pytest.param(MAKER + "00:02 t buy 1", WIDE, KEEP, "00:02 m ends SELF_TRADE 1\n00:02 t buy 1 @ 102 taker", id="cancel maker: ours ends and it trades"),
        pytest.param(MAKER + "00:02 t buy 1", WIDE, BOTH, "00:02 m ends SELF_TRADE 1\n00:02 t ends SELF_TRADE 1", id="cancel both"),
        pytest.param(MAKER + "00:02 t buy 1", WIDE, NONE, f"00:02 t buy 1 @ 102 taker\n{REST}", id="none: it trades with others"),
        pytest.param(MAKER + "00:02 t buy 1", {}, LAST, f"00:02 t buy 1 @ 100 taker\n{REST}", id="what others offer below ours is no self-trade"),
        pytest.param(MAKER + "00:02 t buy 3 at 101", CUT, LAST, f"00:02 t buy 1 @ 100 taker\n00:02 t ends SELF_TRADE 2\n{REST}", id="what is left of a limit may not rest beyond ours"),
        pytest.param(MAKER + "00:02 t buy 3 at 100.9", CUT, LAST, f"00:02 t buy 1 @ 100 taker\n00:04 t buy 1 @ 100.9 maker bar\n00:05 t buy 1 @ 100.9 maker bar\n{REST}", id="short of ours it rests"),
        pytest.param(MAKER + "00:02 t buy 3 at 101", CUT, KEEP, "00:02 t buy 1 @ 100 taker\n00:02 m ends SELF_TRADE 1\n00:04 t buy 1 @ 101 maker bar\n00:05 t buy 1 @ 101 maker bar", id="or ours makes way"),
        pytest.param("00:01 m buy 1 at 99\n00:02 t sell 1", WIDE, LAST, f"00:02 t ends SELF_TRADE 1\n{REST}", id="the other way round"),
        pytest.param("00:01 m sell 1 at 102.1\n00:02 t buy 1", WIDE, LAST, f"00:02 t buy 1 @ 102 taker\n{REST}", id="beyond its price ours is not met"),
        pytest.param("00:01 m buy 1 at 99\n00:02 t buy 1", WIDE, LAST, f"00:02 t buy 1 @ 102 taker\n{REST}", id="nor on its own side"),
        pytest.param("00:01 in sell 1\n" + "00:02 m sell 1 at 101\n00:03 t buy 1 reduce", WIDE, LAST, "00:01 in sell 1 @ 98 taker\n00:03 m ends SELF_TRADE 1\n00:03 t buy 1 @ 102 taker", id="an order that closes is never the one that goes"),
        pytest.param("00:01 m sell 1 at 101\n00:02 t buy 1 at 90\n00:03 amend t at 101", CUT, LAST, f"00:03 t amended 1 @ 101\n00:03 t buy 1 @ 100 taker\n{REST}", id="an amended order is met as one that comes"),
    ],
)  # fmt: skip
def test_an_order_that_reaches_ours(orders: str, sim: dict[str, Any], stp: SelfTrade, told: str) -> None:
    run = small_run(CALM, orders, venue=structs.replace(GENERIC, stp=stp), **sim)
    assert run.told() == expect(told)
    assert not run.engine.risk.reservations.total


def test_golden_g15_all_makers_that_are_crossed_end_and_the_taker_rests() -> None:
    makers = "00:01 a buy 1.2 at 1.2\n00:01 b buy 1.3 at 1.1\n00:01 c buy 8.1 at 1\n"
    run = small_run(STILL, makers + "00:02 t sell 3 at 1", venue=structs.replace(GENERIC, stp=KEEP))
    assert run.told() == expect(
        "00:02 a ends SELF_TRADE 1.2\n00:02 b ends SELF_TRADE 1.3\n00:02 c ends SELF_TRADE 8.1\n00:05 t ends END_OF_RUN 3"
    )


@pytest.mark.parametrize(
    ("exchange", "market", "ends", "code"),
    [
        ("binance", "spot", "m", "EXPIRED_IN_MATCH"),
        ("binance", "linear", "t", "EXPIRED_IN_MATCH"),
        ("bybit", "linear", "t", "CancelBySmp"),
        ("nowhere", "linear", "t", ""),
    ],
)
def test_the_venue_decides_where_the_order_does_not_say(exchange: str, market: str, ends: str, code: str) -> None:
    bars, orders = CALM, "00:01 in buy 5\n00:02 m sell 1 at 101\n00:03 t buy 1"
    run = small_run(bars, orders, venue=venue_rules(exchange, market), market=Market(market), **WIDE)
    (ended,) = [message for message in run.messages(OrderCanceled) if message.reason.value == "SELF_TRADE"]
    assert (ended.order_id, ended.code, ended.status) == (ends, code, OrderStatus.EXPIRED)


@pytest.mark.parametrize("line", ["t buy 1", "t buy 1 at 103"])
def test_an_order_says_for_itself_what_is_to_happen(line: str) -> None:
    asked = intent_of(line.split())
    assert isinstance(asked, (MarketOrderIntent, LimitOrderIntent))

    def strategy(stp: Any) -> type:
        from backtester import Strategy

        class Says(Strategy):
            def on_start(self) -> None:
                self.seen = 0

            def on_candle(self, candle: Any) -> Any:
                self.seen += 1
                if self.seen == 1:
                    return intent_of(["m", "sell", "1", "at", "101"])
                return structs.replace(asked, stp=stp) if self.seen == 2 else None

        return Says

    ends = {
        stp: {m.order_id for m in small_run(CALM, strategy(stp), **WIDE).messages(OrderCanceled) if m.reason.value == "SELF_TRADE"}
        for stp in SelfTrade
    }
    assert ends == {NONE: set(), KEEP: {"m"}, LAST: {"t"}, BOTH: {"m", "t"}}
    assert small_run(CALM, strategy("none"), **WIDE).told()[0] == "00:02 t refused INVALID"
    assert asked.symbol == A
