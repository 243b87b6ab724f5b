"""The spread that a taker pays, from the last quote there was, and from the model where there was none."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from backtester.domain.money import CALCULATION
from backtester.engine.clock import Clock
from backtester.engine.ports import QuoteReader

STALE_MS = 60_000
"""A quote older than this may only make a fill dearer than the model does."""

_TWO, _BPS = Decimal(2), Decimal(10_000)


class QuotedSpreads:
    """Half spreads by the quotes of a run, as they stand now, and how many taker fills paid what.

    A fresh quote says it alone: half of ask - bid, of the middle between them. A stale one is compared with the model, and the
    larger is paid. Without a quote, and where bid and ask are crossed, it is the model. Stale is policy: `STALE_MS`.
    """

    def __init__(self, *, reader: QuoteReader, clock: Clock, factor: Decimal) -> None:
        """`factor` multiplies what quotes say, as it does the model."""
        self._reader = reader
        self._clock = clock
        self._factor = factor
        self._paid: dict[str, str] = {}
        self._counts = {"fresh": 0, "stale": 0, "none": 0}

    @property
    def counts(self) -> Mapping[str, int]:
        """Taker fills by what their spread went by: a fresh quote, the larger of a stale one and the model, no quote."""
        return self._counts

    def half_bps(self, symbol: str, model_bps: Decimal) -> Decimal:
        """What a taker pays now, in bps of the price; `model_bps` is the model's half spread."""
        now_ms = self._clock.now_ms
        quote = self._reader.quote_at(symbol, now_ms)
        if quote is None or not 0 < quote.bid <= quote.ask:
            self._paid[symbol] = "none"
            return model_bps
        bid, ask = Decimal(repr(quote.bid)), Decimal(repr(quote.ask))
        middle = CALCULATION.divide(CALCULATION.add(ask, bid), _TWO)
        half = CALCULATION.divide(CALCULATION.divide(CALCULATION.subtract(ask, bid), _TWO), middle)
        half_bps = CALCULATION.multiply(CALCULATION.multiply(half, _BPS), self._factor)
        is_stale = now_ms - quote.time_ms > STALE_MS
        self._paid[symbol] = "stale" if is_stale else "fresh"
        return max(half_bps, model_bps) if is_stale else half_bps

    def count(self, symbol: str) -> None:
        """A taker fill of this symbol has been made, at what was asked last; one that asked nothing is not counted."""
        paid = self._paid.pop(symbol, None)
        if paid is not None:
            self._counts[paid] += 1
