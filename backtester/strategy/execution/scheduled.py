"""Large orders in parts: by time (TWAP), by the usual volume of the day (VWAP), by the volume that trades (POV)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import accumulate

from backtester.domain.candle import Candle
from backtester.domain.errors import DomainError
from backtester.domain.intents import AnyIntent, Number
from backtester.domain.rounding import exact_decimal
from backtester.domain.timeframe import DAY_MS
from backtester.domain.vocabulary import PositionSide, Side
from backtester.strategy.context import StrategyContext
from backtester.strategy.execution.execution import Execution


class TWAP(Execution):
    """`parts` market orders of equal size, one every `duration_ms / parts`, the first at once.

    After part n at least what n equal parts come to is filled or working, rounded down to whole lots; the last part is all that
    is left. What is too small for the venue waits for the next part. What is still left after the last is sent again at each
    following interval.
    """

    def __init__(
        self,
        symbol: str,
        side: Side,
        qty: Number,
        *,
        duration_ms: int,
        parts: int,
        reduce_only: bool = False,
        reason: str = "SIGNAL",
        position_side: PositionSide | None = None,
    ) -> None:
        super().__init__(symbol, side, qty, reduce_only=reduce_only, reason=reason, position_side=position_side)
        if parts < 1 or duration_ms < parts:
            raise DomainError(f"parts must be 1 or more, and at least 1 ms apart; they were {parts} in {duration_ms} ms")
        self.duration_ms = duration_ms
        self.parts = parts
        self._shares: tuple[Fraction, ...] = ()
        self._start_ms = 0
        self._next = 0

    def _weights(self, ctx: StrategyContext) -> Sequence[Fraction]:
        return [Fraction(1)] * self.parts

    def _begin(self, ctx: StrategyContext) -> list[AnyIntent]:
        weights = self._weights(ctx)
        total = sum(weights)
        self._shares = tuple(part / total for part in accumulate(weights))
        self._start_ms = ctx.now_ms
        return self._on_due()

    def _on_due(self) -> list[AnyIntent]:
        part = self._next
        self._next += 1
        self.ctx.timer(self._key, at_ms=self._start_ms + self.duration_ms * self._next // self.parts)
        due = self.quota.lots if part + 1 >= self.parts else int(self.quota.lots * self._shares[part])
        return self._market(self._fitting(due - self.quota.filled_lots - self.quota.working_lots))


class VWAP(TWAP):
    """As TWAP, with parts in proportion to `weights`: by default the volume that earlier days had in the same hours.

    That is the `volume_profile` of the closed candles in `ctx.history`; where it knows nothing, parts are equal.
    """

    def __init__(
        self,
        symbol: str,
        side: Side,
        qty: Number,
        *,
        duration_ms: int,
        parts: int,
        weights: Sequence[float] | None = None,
        reduce_only: bool = False,
        reason: str = "SIGNAL",
        position_side: PositionSide | None = None,
    ) -> None:
        super().__init__(
            symbol,
            side,
            qty,
            duration_ms=duration_ms,
            parts=parts,
            reduce_only=reduce_only,
            reason=reason,
            position_side=position_side,
        )
        if weights is not None and (len(weights) != parts or min(weights) < 0 or not sum(weights) > 0):
            raise DomainError(f"weights must be {parts} numbers of 0 or more, not all 0; they were {list(weights)}")
        self.weights = weights

    def _weights(self, ctx: StrategyContext) -> Sequence[Fraction]:
        if self.weights is not None:
            return [Fraction(weight) for weight in self.weights]
        found = volume_profile(ctx.history(self.symbol), start_ms=ctx.now_ms, duration_ms=self.duration_ms, parts=self.parts)
        return found if any(found) else super()._weights(ctx)


def volume_profile(candles: Iterable[Candle], *, start_ms: int, duration_ms: int, parts: int) -> tuple[Fraction, ...]:
    """Volume of `candles` by the part of `[start_ms, start_ms + duration_ms)` in whose time of day it traded; exact.

    A candle that covers several parts counts in each by the time it covers. Raises DomainError for a duration of more than a day.
    """
    if not 0 < duration_ms <= DAY_MS:
        raise DomainError(f"a profile by the time of day covers a day at most; duration_ms was {duration_ms}")
    found = [Fraction(0)] * parts
    for candle in candles:
        length_ms = candle.end_ms - candle.start_ms
        begin_ms = (candle.start_ms - start_ms) % DAY_MS
        for shift_ms in (0, -DAY_MS):
            low_ms, high_ms = max(0, begin_ms + shift_ms), min(duration_ms, begin_ms + shift_ms + length_ms)
            part = low_ms * parts // duration_ms
            while low_ms < high_ms:
                until = min(Fraction(high_ms), Fraction(duration_ms * (part + 1), parts))
                found[part] += Fraction(candle.volume) * (until - low_ms) / length_ms
                low_ms, part = until, part + 1  # type: ignore[assignment] # a part may end between two milliseconds
    return tuple(found)


class POV(Execution):
    """Market orders for `rate_bps` of the volume that has traded since the start, looked at when a candle closes.

    Candles are those of the strategy's own timeframe. What was sent is never above the rate but for the last part; with
    `deadline_ms` what is left then is sent at once (`finish`), or given up.
    """

    def __init__(
        self,
        symbol: str,
        side: Side,
        qty: Number,
        *,
        rate_bps: Number,
        deadline_ms: int | None = None,
        finish: bool = False,
        reduce_only: bool = False,
        reason: str = "SIGNAL",
        position_side: PositionSide | None = None,
    ) -> None:
        super().__init__(symbol, side, qty, reduce_only=reduce_only, reason=reason, position_side=position_side)
        self._rate = Fraction(exact_decimal(rate_bps, what="rate_bps")) / 10_000
        if not 0 < self._rate <= 1:
            raise DomainError(f"rate_bps must be above 0 and at most 10000, was {rate_bps}")
        self.deadline_ms = deadline_ms
        self.finish = finish
        self._volume = Fraction(0)
        self._is_late = False

    def _begin(self, ctx: StrategyContext) -> list[AnyIntent]:
        if self.deadline_ms is not None:
            ctx.timer(self._key, at_ms=self.deadline_ms)
        return []

    def _on_close(self, candle: Candle) -> list[AnyIntent]:
        if candle.timeframe != self.ctx.timeframe:
            return []
        self._volume += Fraction(candle.volume)
        return self._due()

    def _on_due(self) -> list[AnyIntent]:
        if not self.finish:
            return self.stop()
        self._is_late = True
        return self._due()

    def _due(self) -> list[AnyIntent]:
        quota = self.quota
        due = quota.lots if self._is_late else quota.lots_in(self._volume * self._rate)
        return self._market(self._fitting(due - quota.filled_lots - quota.working_lots))
