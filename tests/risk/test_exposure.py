"""Exposure and leverage: what would come of an order with all that works, told as orders in and refusals out."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from backtester.domain.errors import ConfigError
from backtester.domain.intents import AnyIntent
from backtester.domain.orders import Fill, OrderRefused
from backtester.domain.run_events import ControlEvent
from backtester.domain.vocabulary import Market
from backtester.risk.limits import ExposureLimits
from tests.risk.desk import Desk, spot
from tests.sim.small_run import A, B, expect, flat, intent_of, ms, rows, small_run

D = Decimal


@pytest.mark.parametrize(
    ("caps", "desk", "orders", "outcomes"),
    [
        # one symbol: equity 1000, mark 100
        ({"max_symbol": D("0.5")}, {}, "buy 5 | buy 0.001", "ok MAX_SYMBOL_EXPOSURE"),
        ({"max_symbol": D("0.5")}, {}, "buy 5.001", "MAX_SYMBOL_EXPOSURE"),
        ({"max_symbol": D("0.5")}, {}, "buy 2 at 90 | buy 3 at 100 | buy 1 at 90", "ok ok MAX_SYMBOL_EXPOSURE"),
        ({"max_symbol": D("0.5")}, {}, "sell 4 at 120 | sell 1 at 120", "ok MAX_SYMBOL_EXPOSURE"),
        ({"max_symbol": D("0.5")}, {}, "buy 5 at 100 | sell 5 at 100", "ok ok"),  # only one side can be the larger
        ({"max_symbol": D("0.5")}, {"held": "4"}, "buy 1 | buy 1 at 50", "ok MAX_SYMBOL_EXPOSURE"),
        ({"max_symbol": D("0.5")}, {"held": "9"}, "sell 9 | buy 0.001", "ok MAX_SYMBOL_EXPOSURE"),
        ({"max_symbol": D("0.5")}, {"held": "4"}, "sell 9 | sell 4.001", "ok MAX_SYMBOL_EXPOSURE"),
        ({"max_symbol": D("0.5")}, {"held": "2"}, "sell 2 stop 90 reduce | buy 3", "ok ok"),
        ({"max_symbol": D("0.5")}, {}, "buy 4 stop 120 | buy 0.5", "ok MAX_SYMBOL_EXPOSURE"),  # a waiting entry counts at its trigger
        ({"max_symbol": D(1)}, {"rules": spot()}, "buy 9.99 | buy 0.02 at 90", "ok MAX_SYMBOL_EXPOSURE"),
        # equity falls with the mark: 1000 - 4 x 50
        ({"max_symbol": D("0.5")}, {"held": "4", "entry": "150"}, "buy 0.001", "MAX_SYMBOL_EXPOSURE"),
        ({"max_symbol": D("0.5")}, {"held": "4", "entry": "50"}, "buy 2", "ok"),
        # all symbols, either side
        ({"max_total": D("0.5")}, {}, "buy 5 at 100 | sell 5 at 100 | sell 0.001", "ok ok MAX_TOTAL_EXPOSURE"),
        # leverage: derivatives only, over equity without open profits
        ({"max_leverage": D("0.5")}, {"held": "4", "entry": "50"}, "buy 1 | buy 0.001", "ok MAX_LEVERAGE"),
        ({"max_leverage": D("0.5")}, {"held": "4", "entry": "150"}, "buy 0.001", "MAX_LEVERAGE"),
        ({"max_leverage": D("0.5")}, {"rules": spot()}, "buy 9", "ok"),
    ],
)  # fmt: skip
def test_a_cap(caps: dict[str, Any], desk: dict[str, Any], orders: str, outcomes: str) -> None:
    desk_ = Desk(cash="1000", exposure=ExposureLimits(**caps), **desk)
    assert " ".join(desk_.send(order) for order in map(str.strip, orders.split("|"))) == outcomes


def test_nothing_opens_without_equity() -> None:
    desk = Desk(cash="100", held="1", entry="300", exposure=ExposureLimits(max_total=D(100)))
    assert desk.books.equity() < 0
    assert desk.send("buy 0.001") == "MAX_TOTAL_EXPOSURE"
    assert desk.send("sell 1") == "ok"


class TwoMarkets:
    """Runs on two symbols at 100; an order line is `HH:MM id:SYMBOL ...`."""

    def __init__(self, **risk: Any) -> None:
        self.risk = risk

    def told(self, orders: str, **facts: Any) -> list[str]:
        from backtester import Candle, Strategy

        script: dict[int, list[AnyIntent]] = {}
        for time, *words in rows(orders):
            script.setdefault(ms(time), []).append(intent_of(words))

        class Follower(Strategy):
            def on_candle(self, candle: Candle) -> list[AnyIntent] | None:
                return script.pop(candle.end_ms, None)

        run = small_run({A: flat("00:00", 6), B: flat("00:00", 6)}, Follower, cash="1000", risk=self.risk, **facts)
        run.engine.account.check()
        return run.told(Fill, OrderRefused, ControlEvent)


def test_a_rail_of_the_whole_account_counts_every_symbol_and_tells_the_journal_when_it_begins() -> None:
    orders = f"""
        00:01 a:{A} buy 3
        00:01 b:{B} sell 2
        00:02 c:{A} buy 1
        00:02 d:{A} buy 1
        00:03 e:{B} buy 2
        00:04 f:{A} buy 2
        00:05 g:{A} buy 1
    """
    assert TwoMarkets(max_total_exposure=D("0.5")).told(orders) == expect(
        """
        00:01 a buy 3 @ 100 taker
        00:01 b sell 2 @ 100 taker
        00:02 max_total_exposure
        00:02 c refused MAX_TOTAL_EXPOSURE
        00:02 d refused MAX_TOTAL_EXPOSURE
        00:03 e buy 2 @ 100 taker
        00:04 f buy 2 @ 100 taker
        00:05 max_total_exposure
        00:05 g refused MAX_TOTAL_EXPOSURE
        """
    )


def test_symbols_of_a_group_share_a_cap_on_each_side() -> None:
    orders = f"""
        00:01 a:{A} buy 3
        00:02 b:{B} buy 2.001
        00:02 c:{B} buy 2
        00:03 d:{A} buy 0.001
        00:04 e:{B} sell 7
    """
    risk = {"max_correlated_exposure": D("0.5"), "correlated_groups": ((A, B),)}
    assert TwoMarkets(**risk).told(orders) == expect(
        """
        00:01 a buy 3 @ 100 taker
        00:02 max_correlated_exposure
        00:02 b refused MAX_CORRELATED_EXPOSURE
        00:02 c buy 2 @ 100 taker
        00:03 max_correlated_exposure
        00:03 d refused MAX_CORRELATED_EXPOSURE
        00:04 e sell 7 @ 100 taker
        """
    )


def test_leverage_of_an_account_is_that_of_all_its_derivatives() -> None:
    orders = f"00:01 a:{A} buy 3\n00:02 b:{B} sell 4\n00:02 c:{B} sell 3"
    assert TwoMarkets(max_leverage=D("0.6")).told(orders) == expect(
        """
        00:01 a buy 3 @ 100 taker
        00:02 max_leverage
        00:02 b refused MAX_LEVERAGE
        00:02 c sell 3 @ 100 taker
        """
    )
    assert "max_leverage" not in " ".join(TwoMarkets(max_leverage=D("0.6")).told(f"00:01 a:{A} buy 9", market=Market.SPOT))


@pytest.mark.parametrize(
    ("risk", "named"),
    [
        ({"max_correlated_exposure": D(1), "correlated_groups": ((A, "NONE"),)}, "NONE"),
        ({"max_correlated_exposure": D(1)}, "correlated_groups"),
        ({"correlated_groups": ((A, B),)}, "max_correlated_exposure"),
        ({"max_correlated_exposure": D(1), "correlated_groups": ((A,),)}, "two or more"),
        ({"max_correlated_exposure": D(1), "correlated_groups": ((A, A),)}, "each once"),
        ({"max_leverage": D(0)}, "max_leverage"),
        ({"max_drawdown": D(2)}, "max_drawdown"),
        ({"kill_at": "noon"}, "kill_at"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_before_the_run(risk: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        TwoMarkets(**risk).told("")


def test_an_amendment_is_judged_by_what_it_adds() -> None:
    orders = f"""
        00:01 a:{A} buy 4 at 90
        00:02 amend a qty 6
        00:02 amend a at 99
        00:03 amend a qty 5
    """
    assert TwoMarkets(max_symbol_exposure=D("0.5")).told(orders) == expect(
        """
        00:02 max_symbol_exposure
        00:02 a refused MAX_SYMBOL_EXPOSURE
        """
    )
    orders = f"00:01 a:{A} buy 5 at 90\n00:02 amend a at 99\n00:03 amend a at 101"
    assert TwoMarkets(max_symbol_exposure=D("0.5")).told(orders) == expect(
        """
        00:03 max_symbol_exposure
        00:03 a refused MAX_SYMBOL_EXPOSURE
        """
    )
