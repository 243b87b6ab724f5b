"""What drives executions: a base of all of them, and a decorator that passes a strategy's hooks on to those under way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from backtester.domain.candle import Candle
from backtester.domain.errors import StrategyError
from backtester.domain.intents import INTENT_TYPES, AnyIntent
from backtester.domain.orders import Fill, OrderCanceled, OrderRefused, OrderRejected
from backtester.domain.vocabulary import PositionSide
from backtester.strategy.base import Strategy
from backtester.strategy.context import StrategyContext
from backtester.strategy.execution.execution import Execution
from backtester.strategy.execution.exits import ExitPlan, ExitRules

_HOOKS = ("on_candle", "on_fill", "on_timer", "on_cancel", "on_reject")
StrategyType = TypeVar("StrategyType", bound=type[Strategy])


class Executions:
    """The executions of a strategy that are under way, each driven by every hook until it is done, and its plans of exit."""

    def __init__(self) -> None:
        self._running: list[Execution] = []
        self._plans: dict[str, list[ExitPlan]] = {}
        """By symbol; in hedge mode one for each side that is guarded."""
        self._ctx: StrategyContext | None = None
        self._count = 0

    def guard(self, ctx: StrategyContext, symbol: str, rules: ExitRules, *, position_side: PositionSide | None = None) -> ExitPlan:
        """Positions in `symbol` (in hedge mode on that side) are left by these rules from now on: call it in `on_start`.

        The plan is returned, for `turn`.
        """
        self._ctx = ctx
        plans = self._plans.setdefault(symbol, [])
        for plan in plans:
            if plan.position_side is position_side:
                return plan
        plans.append(ExitPlan(symbol, rules, position_side))
        return plans[-1]

    def start(self, ctx: StrategyContext, execution: Execution) -> list[AnyIntent]:
        """What the execution sends at once; it is driven from now on."""
        self._count += 1
        self._running.append(execution)
        return execution.start(ctx, key=f"{ctx.strategy_id}/x{self._count}")

    def running(self, symbol: str | None = None) -> tuple[Execution, ...]:
        """Those that are not done, in the order they were started (of `symbol`)."""
        return tuple(one for one in self._running if not one.is_done and symbol in {None, one.symbol})

    def stop(self, symbol: str | None = None) -> list[AnyIntent]:
        """Nothing more is sent for those of `symbol` (all); what works is cancelled."""
        return [intent for one in self.running(symbol) for intent in one.stop()]

    def on_candle(self, candle: Candle) -> list[AnyIntent]:
        """What they send at a close."""
        ctx, plans = self._ctx, self._plans.get(candle.symbol, ())
        leaving = [intent for plan in plans for intent in plan.on_candle(ctx, candle)] if ctx is not None else []
        return [*leaving, *self._pass_on("on_candle", candle)]

    def on_fill(self, fill: Fill) -> list[AnyIntent]:
        """What they send upon a fill."""
        leaving = [intent for plan in self._plans.get(fill.symbol, ()) for intent in plan.on_fill(fill)]
        return [*leaving, *self._pass_on("on_fill", fill)]

    def on_timer(self, name: str) -> list[AnyIntent]:
        """What they send when a timer is due."""
        return self._pass_on("on_timer", name)

    def on_cancel(self, canceled: OrderCanceled) -> list[AnyIntent]:
        """What they send when an order has ended."""
        leaving = [intent for plan in self._plans.get(canceled.symbol, ()) for intent in plan.on_cancel(canceled)]
        return [*leaving, *self._pass_on("on_cancel", canceled)]

    def on_reject(self, rejection: OrderRefused | OrderRejected) -> list[AnyIntent]:
        """What they send when an order was refused."""
        leaving = [intent for plan in self._plans.get(rejection.symbol, ()) for intent in plan.on_reject(rejection)]
        return [*leaving, *self._pass_on("on_reject", rejection)]

    def _pass_on(self, hook: str, message: Any) -> list[AnyIntent]:
        running = self._running
        if not running:
            return []
        intents = [intent for one in tuple(running) for intent in getattr(one, hook)(message)]
        running[:] = [one for one in running if not one.is_done]
        return intents


def executing(strategy: StrategyType) -> StrategyType:
    """The strategy class with `self.executions`, which every hook reaches before the strategy's own.

    In a hook: `return self.executions.start(self.ctx, TWAP(...))`. Timers of executions do not reach the strategy's `on_timer`.
    """
    for hook in _HOOKS:
        setattr(strategy, hook, _passing_on(hook, getattr(strategy, hook)))
    begin = strategy.__init__

    def begin_with_executions(self: Any, *args: Any, **kwargs: Any) -> None:
        self.executions = Executions()
        begin(self, *args, **kwargs)

    strategy.__init__ = begin_with_executions  # type: ignore[method-assign] # the class is this decorator's to finish
    return strategy


def _passing_on(hook: str, own: Callable[..., Any]) -> Callable[..., Any]:
    def passed_on(self: Any, message: Any) -> Any:
        executions: Executions = self.executions
        if hook == "on_timer" and message.startswith(f"{self.ctx.strategy_id}/x"):
            return executions.on_timer(message)
        sent = getattr(executions, hook)(message)
        returned = own(self, message)
        if not sent:
            return returned
        return [*sent, *_listed(returned)]

    passed_on.__doc__ = own.__doc__
    return passed_on


def _listed(returned: Any) -> Iterable[Any]:
    if returned is None:
        return ()
    if isinstance(returned, INTENT_TYPES):
        return (returned,)
    try:
        return tuple(returned)
    except TypeError:
        raise StrategyError(f"a hook returned {returned!r:.100}, which is no intent") from None
