"""Order ids are unique in a run, whatever the strategies are called."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

import backtester
from backtester import Candle, MarketOrderIntent, Side, Strategy
from tests.sim.small_run import A, columns, flat, ms, spec

FALL = f"{flat('00:00', 2)}\n00:02 100 100 97 97 1000\n{flat('00:03', 2, price=97)}"


class Buyer(Strategy):
    """Buys once."""

    def on_candle(self, candle: Candle) -> MarketOrderIntent | None:
        return MarketOrderIntent(symbol=A, side=Side.BUY, qty=10) if candle.end_ms == ms("00:01") else None


@pytest.mark.parametrize(
    ("name", "settings"),
    [("Risk", {"risk.daily_loss_limit": "0.01", "risk.daily_loss_action": "flatten"}), ("End", {"end.close": "true"})],
)
def test_a_strategy_named_like_an_owner_of_the_engines_orders_gets_another_id(name: str, settings: dict[str, Any]) -> None:
    table = columns(FALL)
    frame = pl.DataFrame({key: getattr(table, key) for key in ("start_ms", "open", "high", "low", "close", "volume")})
    made = type(name, (Buyer,), {})
    run = backtester.run(made, symbols=[A], data=frame, timeframe="1m", cash=2000, specs=[spec()], settings=settings)
    ids = [row["order_id"] for row in run.fills.to_dicts()]
    assert ids == [f"{name.lower()}_2-1", f"{name.lower()}-1"]
