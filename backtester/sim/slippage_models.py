"""Slippage that depends on the bar, the day and what we traded before: by name, as `sim.slippage_model` knows them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from backtester.domain.calculation import decimal_of
from backtester.domain.candle import Candle
from backtester.domain.impact import (
    NO_HISTORY_BPS,
    VOLUME_SHARE_IMPACT,
    almgren_2005,
    conservative_impact,
    decayed_impact,
    volatility_volume_share_bps,
)
from backtester.domain.money import CALCULATION, size_from_e8
from backtester.domain.timeframe import DAY_MS
from backtester.domain.vocabulary import Side
from backtester.engine.rng import keyed_fraction
from backtester.sim.liquidity import volume_e8
from backtester.sim.sim_models import SlippageModel, checked_bps

_BPS = Decimal(10_000)
_DAYS_PER_YEAR = Decimal(365)
_STEPS = 1_000_000


class DailyMarket(NamedTuple):
    """What was known of a symbol when a UTC day began: mean daily volume [base], daily volatility as a fraction."""

    volume: Decimal
    volatility_frac: Decimal


class DailyStatistics:
    """`DailyMarket` by symbol and UTC day; `fixed` values stand for every day. A day without a history has none."""

    def __init__(self, days: Mapping[str, Mapping[int, DailyMarket]], fixed: Mapping[str, DailyMarket] | None = None) -> None:
        self._days = days
        self._fixed = fixed or {}

    def at(self, symbol: str, time_ms: int) -> DailyMarket | None:
        """Of the days before the one that holds `time_ms`."""
        fixed = self._fixed.get(symbol)
        return fixed if fixed is not None else self._days.get(symbol, {}).get(time_ms // DAY_MS)


class BarSlippage(ABC):
    """A slippage that looks at more than `SlippageModel.cost` is told. Answers depend on `traded` only where `remembers` is set."""

    remembers = False
    ticks = 0
    """Added on top, after rounding."""

    @abstractmethod
    def bps(self, *, symbol: str, side: Side, qty: Decimal, bar: Candle) -> Decimal:
        """Basis points, exact and not negative, of a taker fill of `qty` [base] in `bar`."""

    def traded(self, *, symbol: str, side: Side, qty: Decimal, bar: Candle) -> None:  # noqa: B027 - most models forget
        """Such a fill has happened."""


class TickSlippage:
    """So many ticks on top of the half spread. Source: NautilusTrader OneTickSlippage (exchange_semantics.md, section 5.1)."""

    def __init__(self, ticks: int) -> None:
        self.ticks = ticks

    def cost(self, *, symbol: str, side: Side, qty: Decimal, price: float, bar_volume: float) -> Decimal:
        """No basis points: the ticks are added after rounding."""
        return Decimal(0)


class SymbolSlippage:
    """A model for each symbol of a run."""

    def __init__(self, models: Mapping[str, SlippageModel | BarSlippage]) -> None:
        self.models = dict(models)


class ZiplineVolumeShare(BarSlippage):
    """base + 10,000 x 0.1 x share^2, share = all we took of the bar with this fill / its volume, at most 1.

    Source: exchange_semantics.md, section 5.3; golden I01. With `sim.participation_bps = 250` it is zipline's rule whole.
    """

    remembers = True

    def __init__(self, *, base_bps: Decimal = Decimal(0), impact: Decimal = VOLUME_SHARE_IMPACT) -> None:
        self._base_bps = checked_bps(base_bps)
        self._impact_bps = CALCULATION.multiply(checked_bps(impact), _BPS)
        self._taken: dict[str, tuple[int, Decimal]] = {}

    def bps(self, *, symbol: str, side: Side, qty: Decimal, bar: Candle) -> Decimal:
        """Of the share that the bar's fills have with this one."""
        taken = CALCULATION.add(self._taken_of(symbol, bar), qty)
        volume = _volume(bar)
        share = min(Decimal(1), CALCULATION.divide(taken, volume)) if volume else Decimal(1)
        return CALCULATION.add(self._base_bps, CALCULATION.multiply(self._impact_bps, CALCULATION.multiply(share, share)))

    def traded(self, *, symbol: str, side: Side, qty: Decimal, bar: Candle) -> None:
        """The size counts for later fills of the same bar."""
        self._taken[symbol] = (bar.start_ms, CALCULATION.add(self._taken_of(symbol, bar), qty))

    def _taken_of(self, symbol: str, bar: Candle) -> Decimal:
        start_ms, taken = self._taken.get(symbol, (-1, Decimal(0)))
        return taken if start_ms == bar.start_ms else Decimal(0)


class VolatilitySlippage(BarSlippage):
    """base + eta x annual volatility x square root of (size / mean daily volume), in bps; base + 7.5 without a history.

    Source: zipline VolatilityVolumeShare (exchange_semantics.md, section 5.3).
    """

    def __init__(self, *, statistics: DailyStatistics, base_bps: Decimal = Decimal(0)) -> None:
        self._statistics = statistics
        self._base_bps = checked_bps(base_bps)

    def bps(self, *, symbol: str, side: Side, qty: Decimal, bar: Candle) -> Decimal:
        """Of the days before."""
        day = self._statistics.at(symbol, bar.start_ms)
        if day is None:
            return CALCULATION.add(self._base_bps, NO_HISTORY_BPS)
        annual = CALCULATION.multiply(day.volatility_frac, CALCULATION.sqrt(_DAYS_PER_YEAR))
        impact = volatility_volume_share_bps(qty=qty, mean_daily_volume=day.volume, annual_volatility=annual)
        return CALCULATION.add(self._base_bps, impact)


class SquareRootSlippage(BarSlippage):
    """base + the larger of 0.1 x share^2 of the bar and daily volatility x square root of (size / daily volume).

    Without a history the law is 7.5 bps. Source: exchange_semantics.md, sections 5.9 and 5.11 (impact); golden I05.
    """

    def __init__(self, *, statistics: DailyStatistics, base_bps: Decimal = Decimal(0)) -> None:
        self._statistics = statistics
        self._base_bps = checked_bps(base_bps)

    def bps(self, *, symbol: str, side: Side, qty: Decimal, bar: Candle) -> Decimal:
        """The whole move that the law names, not the mean of it."""
        day = self._statistics.at(symbol, bar.start_ms)
        known = day if day is not None and day.volume else DailyMarket(Decimal(1), Decimal(0))
        impact = conservative_impact(
            qty=qty, bar_volume=_volume(bar), daily_volume=known.volume, daily_volatility_frac=known.volatility_frac
        )
        bps = CALCULATION.multiply(impact, _BPS)
        return CALCULATION.add(self._base_bps, bps if known is day else max(bps, NO_HISTORY_BPS))


class AlmgrenChrissSlippage(BarSlippage):
    """base + eta sigma (X / VT)^0.6, passing, + half of gamma sigma X/V, lasting, + what is left of what we moved before.

    T is the length of the bar in days. What lasts halves with each half-life, adds up over fills of one side, and is charged to
    a later fill of that side whole; a fill of the other side uses it up and gains nothing from it. Base + 7.5 without a history.
    Source: exchange_semantics.md, section 5.9 (Almgren et al. 2005, with 1 for shares outstanding / volume); golden I06; the
    decay is policy.
    """

    remembers = True

    def __init__(self, *, statistics: DailyStatistics, base_bps: Decimal = Decimal(0), half_life_ms: int = 3_600_000) -> None:
        self._statistics = statistics
        self._base_bps = checked_bps(base_bps)
        self._half_life_ms = half_life_ms
        self._moved: dict[str, tuple[int, Decimal]] = {}

    def bps(self, *, symbol: str, side: Side, qty: Decimal, bar: Candle) -> Decimal:
        """With what is left of earlier fills of this side."""
        before = max(Decimal(0), CALCULATION.multiply(Decimal(side.sign), self._left(symbol, bar)))
        impacts = self._impacts(symbol, qty, bar)
        own = NO_HISTORY_BPS if impacts is None else CALCULATION.multiply(impacts[1], _BPS)
        return CALCULATION.add(CALCULATION.add(self._base_bps, own), CALCULATION.multiply(before, _BPS))

    def traded(self, *, symbol: str, side: Side, qty: Decimal, bar: Candle) -> None:
        """The price has moved by the lasting part."""
        impacts = self._impacts(symbol, qty, bar)
        if impacts is not None:
            moved = CALCULATION.multiply(Decimal(side.sign), impacts[0])
            self._moved[symbol] = (bar.start_ms, CALCULATION.add(self._left(symbol, bar), moved))

    def _left(self, symbol: str, bar: Candle) -> Decimal:
        since_ms, moved = self._moved.get(symbol, (bar.start_ms, Decimal(0)))
        elapsed_ms = max(0, bar.start_ms - since_ms)
        return decayed_impact(impact_frac=moved, elapsed_ms=elapsed_ms, half_life_ms=self._half_life_ms)

    def _impacts(self, symbol: str, qty: Decimal, bar: Candle) -> tuple[Decimal, Decimal] | None:
        """(lasting move, mean cost) of a fill as fractions."""
        day = self._statistics.at(symbol, bar.start_ms)
        if day is None or not day.volume:
            return None
        cost = almgren_2005(
            volume_share=CALCULATION.divide(qty, day.volume),
            daily_volatility_frac=day.volatility_frac,
            shares_outstanding_days=Decimal(1),
            duration_days=decimal_of(Fraction(max(1, bar.end_ms - bar.start_ms), DAY_MS)),
        )
        return cost.permanent_frac, cost.cost_frac


class JitteredSlippage(BarSlippage):
    """Another model's slippage and 0 up to `jitter_bps` more, drawn from the run's seed, the symbol, the bar and the side."""

    def __init__(self, inner: SlippageModel | BarSlippage, *, jitter_bps: Decimal, seed: int) -> None:
        self._inner = inner
        self._jitter_bps = checked_bps(jitter_bps)
        self._seed = seed
        self.remembers = isinstance(inner, BarSlippage) and inner.remembers
        self.ticks = inner.ticks if isinstance(inner, TickSlippage) else 0

    def bps(self, *, symbol: str, side: Side, qty: Decimal, bar: Candle) -> Decimal:
        """The same for every fill of that side in that bar."""
        drawn = int(keyed_fraction(self._seed, "slippage", symbol, str(bar.start_ms), side.value) * _STEPS)
        extra = CALCULATION.divide(CALCULATION.multiply(self._jitter_bps, Decimal(drawn)), Decimal(_STEPS))
        return CALCULATION.add(slippage_bps(self._inner, symbol=symbol, side=side, qty=qty, bar=bar, price=bar.open), extra)

    def traded(self, *, symbol: str, side: Side, qty: Decimal, bar: Candle) -> None:
        """The other model is told."""
        if isinstance(self._inner, BarSlippage):
            self._inner.traded(symbol=symbol, side=side, qty=qty, bar=bar)


def slippage_bps(
    model: SlippageModel | BarSlippage, *, symbol: str, side: Side, qty: Decimal, bar: Candle, price: float
) -> Decimal:
    """What either kind of model says of a fill; raises DomainError where that is no slippage."""
    if isinstance(model, BarSlippage):
        return checked_bps(model.bps(symbol=symbol, side=side, qty=qty, bar=bar))
    return checked_bps(model.cost(symbol=symbol, side=side, qty=qty, price=price, bar_volume=bar.volume))


def _volume(bar: Candle) -> Decimal:
    return size_from_e8(volume_e8(bar.volume))
