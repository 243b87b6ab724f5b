"""A strategy in a run: its id, its hooks and its context, as the loop needs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from backtester.domain.candle import Candle
from backtester.strategy.base import Strategy
from backtester.strategy.context import Note, StrategyContext, TimerRequest
from backtester.strategy.history import CandleHistory

HOOKS = ("on_start", "on_candle", "on_fill", "on_reject", "on_cancel", "on_timer", "on_tick_end", "on_end")


class StrategyHost:
    """Binds a strategy to its context; satisfies `engine.ports.Decider`."""

    def __init__(self, *, strategy: Strategy, context: StrategyContext, history: CandleHistory, timeframes: frozenset[str]) -> None:
        strategy.ctx = context
        self.strategy_id = context.strategy_id
        self.timeframes = timeframes
        self.outbox: list[TimerRequest | Note] = context.outbox
        self.hooks: Mapping[str, Callable[..., Any]] = {name: getattr(strategy, name) for name in HOOKS}
        self.on_candle: Callable[[Candle], Any] = strategy.on_candle
        self.has_tick_end = type(strategy).on_tick_end is not Strategy.on_tick_end
        self.keep = history.keep
        self.fold_history = history.fold
        self._context = context

    def set_warming(self, warming: bool) -> None:
        """Whether candles delivered now are warm-up."""
        self._context.warming = warming
