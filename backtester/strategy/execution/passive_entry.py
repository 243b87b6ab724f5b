"""A limit order that gives way step by step, and in the end takes what the market offers."""

from __future__ import annotations

from fractions import Fraction

from backtester.domain.calculation import decimal_of
from backtester.domain.errors import DomainError
from backtester.domain.intents import AnyIntent, Number
from backtester.domain.rounding import exact_decimal
from backtester.domain.vocabulary import PositionSide, Side
from backtester.strategy.context import StrategyContext
from backtester.strategy.execution.execution import Execution


class PassiveEntry(Execution):
    """First a limit `improvement_bps` better than the last close; at each step one share of that less; then a market order.

    The `steps` limits stand for `fallback_ms / steps` each, priced anew from the close known then: of three, at the whole, two
    thirds and one third of the improvement. At `fallback_ms` after the start, what is left goes to the market. An order is only
    sent when the one before it has ended, so that never more is bought than asked for, whatever a cancel finds.
    """

    def __init__(
        self,
        symbol: str,
        side: Side,
        qty: Number,
        *,
        fallback_ms: int,
        improvement_bps: Number = 0,
        steps: int = 1,
        post_only: bool = True,
        reduce_only: bool = False,
        reason: str = "SIGNAL",
        position_side: PositionSide | None = None,
    ) -> None:
        super().__init__(symbol, side, qty, reduce_only=reduce_only, reason=reason, position_side=position_side)
        if steps < 1 or fallback_ms < steps:
            raise DomainError(f"steps must be 1 or more, and at least 1 ms apart; they were {steps} in {fallback_ms} ms")
        self.fallback_ms = fallback_ms
        self.steps = steps
        self._improvement = Fraction(exact_decimal(improvement_bps, what="improvement_bps")) / 10_000
        if not 0 <= self._improvement < 1:
            raise DomainError(f"improvement_bps must be 0 or more and below 10000, was {improvement_bps}")
        self._post_only = post_only
        self._start_ms = 0
        self._step = 0

    def _begin(self, ctx: StrategyContext) -> list[AnyIntent]:
        self._start_ms = ctx.now_ms
        self._step = -1
        return self._on_due()

    def _on_due(self) -> list[AnyIntent]:
        """The next step begins: what works is cancelled first."""
        self._step += 1
        self.ctx.timer(self._key, at_ms=self._start_ms + self.fallback_ms * (self._step + 1) // self.steps)
        if not self.quota.working_lots:
            return self._place()
        return self._cancels() if self._step <= self.steps else []  # the market order works, which the venue has yet to fill

    def _on_part_ended(self, *, was_asked: bool) -> list[AnyIntent]:
        return self._place() if was_asked else []  # what the venue ended is tried again at the next step

    def _place(self) -> list[AnyIntent]:
        close = self._close()
        if close is None:
            return []
        lots = self._fitting(self.quota.left_lots)
        if self._step >= self.steps:
            return self._market(lots)
        share = Fraction(self.steps - self._step, self.steps)
        better = -self._improvement if self.side is Side.BUY else self._improvement
        return self._limit(lots, decimal_of(Fraction(close) * (1 + better * share)), post_only=self._post_only)
