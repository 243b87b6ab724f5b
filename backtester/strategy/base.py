"""The strategy: hooks that receive what happened and return intents."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from backtester.domain.candle import Candle
from backtester.domain.errors import ConfigError
from backtester.domain.intents import AnyIntent
from backtester.domain.orders import Fill, OrderCanceled, OrderRefused, OrderRejected

if TYPE_CHECKING:
    from backtester.strategy.context import StrategyContext

Intents = Iterable[AnyIntent] | AnyIntent | None
"""What a hook may return: intents, one intent, or nothing."""


class StrategyParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of a strategy's `Params`: typed fields with defaults. Subclass with `frozen=True`."""


class Strategy:
    """Base class of strategies. Override the hooks you need; all but `on_end` may return intents.

    Class attributes:
        warmup_bars        signal candles delivered before the run's start (`ctx.warming`), where the data has them
        history_bars       how many closed candles per symbol and timeframe `ctx.history` keeps
        extra_timeframes   further timeframes whose candles `on_candle` receives
        reads              files or patterns that it reads by itself, beside its own file; `bt check` refuses what is not declared
    """

    Params: ClassVar[type[StrategyParams]] = StrategyParams
    warmup_bars: int = 0
    history_bars: int = 500
    extra_timeframes: tuple[str, ...] = ()
    reads: Sequence[str] = ()

    params: Any
    ctx: StrategyContext

    def __init__(self, params: StrategyParams | Mapping[str, Any] | None = None) -> None:
        self.params = params if isinstance(params, StrategyParams) else build_params(type(self), params or {})

    def on_start(self) -> Intents:
        """Called once, before the first candle (warm-up included)."""
        return None

    def on_candle(self, candle: Candle) -> Intents:
        """Called when a candle of a subscribed timeframe has closed."""
        return None

    def on_fill(self, fill: Fill) -> Intents:
        """Called when the venue's report of a fill arrives."""
        return None

    def on_reject(self, rejection: OrderRefused | OrderRejected) -> Intents:
        """Called when Risk refused or the venue rejected an order or a cancel."""
        return None

    def on_cancel(self, canceled: OrderCanceled) -> Intents:
        """Called when an order ended before it was filled whole."""
        return None

    def on_timer(self, name: str) -> Intents:
        """Called when a timer set with `ctx.timer` is due."""
        return None

    def on_tick_end(self) -> Intents:
        """Called after the last candle of an instant."""
        return None

    def on_end(self) -> None:
        """Called once after the last candle; nothing can be ordered any more."""
        return None


def build_params(strategy: type[Strategy], values: Mapping[str, Any]) -> StrategyParams:
    """`strategy.Params` from plain values, strictly typed (whole numbers and text pass for Decimal).

    Raises ConfigError naming the parameter: unknown (with the nearest right name), or of the wrong type.
    """
    fields = {field.name: field for field in msgspec.structs.fields(strategy.Params)}
    for name in values:
        if name not in fields:
            near = difflib.get_close_matches(str(name), list(fields), n=1, cutoff=0.4)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            known = ", ".join(fields) or "none"
            raise ConfigError(f"{strategy.__name__} has no parameter {name!r}{hint} (parameters: {known})")
    try:
        return msgspec.convert(dict(values), strategy.Params)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{strategy.__name__}: parameter {error}") from None
