"""Risk of ruin: by resampling the returns of a run, and by the two formulas that books give."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from backtester.domain.errors import DomainError
from backtester.domain.money import CALCULATION
from backtester.engine.rng import RandomStream
from backtester.metrics.returns import DAYS_PER_YEAR

RUIN_FRAC = 0.5
"""Ruined is who has lost this share of what he began with."""
RUIN_PATHS = 1000
RUIN_DAYS_MIN = 30
"""Below this many daily returns there is too little to draw from: metrics.json has no risk of ruin."""


def risk_of_ruin(
    returns: Sequence[float],
    *,
    stream: RandomStream,
    ruin_frac: float = RUIN_FRAC,
    periods: int = DAYS_PER_YEAR,
    paths: int = RUIN_PATHS,
) -> float | None:
    """Share of paths on which `ruin_frac` of the start is lost at the end of any of `periods`; None without a return.

    A path is `periods` returns drawn with replacement and compounded. `stream` decides the draws: equal seeds, equal figures.
    Raises DomainError unless 0 < ruin_frac <= 1 and there is something to draw.
    """
    if not 0.0 < ruin_frac <= 1.0 or periods < 1 or paths < 1:
        raise DomainError(f"ruin needs a share in (0, 1], periods and paths; were {ruin_frac}, {periods}, {paths}")
    if not returns:
        return None
    factors, count, floor, draw = [1.0 + value for value in returns], len(returns), 1.0 - ruin_frac, stream.random
    ruined = 0
    for _ in range(paths):
        wealth = 1.0
        for _ in range(periods):
            wealth *= factors[int(draw() * count)]
            if wealth <= floor:
                ruined += 1
                break
    return ruined / paths


def even_bets_ruin(*, win_probability: float, units: int) -> float:
    """Probability, 0 to 1, of ever losing all `units` when each even bet wins or loses one: ((1 - p) / p)^units.

    1 without an edge. Raises DomainError unless 0 <= win_probability <= 1 and units >= 0. Source: gambler's ruin, endless play.
    """
    if not 0.0 <= win_probability <= 1.0 or units < 0:
        raise DomainError(f"needed are a probability and units of 0 or more, were {win_probability} and {units}")
    if win_probability <= 0.5:
        return 1.0
    odds = CALCULATION.divide(CALCULATION.subtract(Decimal(1), Decimal(win_probability)), Decimal(win_probability))
    return float(CALCULATION.power(odds, Decimal(units))) if units else 1.0


def brownian_ruin(*, drift: float, deviation: float, loss: float) -> float | None:
    """Probability, 0 to 1, of ever being down by `loss`, with drift and deviation per period: exp(-2 x drift x loss / deviation^2).

    1 without a positive drift; None when nothing moves.
    """
    if deviation <= 0.0:
        return None
    if drift <= 0.0 or loss <= 0.0:
        return 1.0
    numerator = CALCULATION.multiply(CALCULATION.multiply(Decimal(-2), Decimal(drift)), Decimal(loss))
    square = CALCULATION.multiply(Decimal(deviation), Decimal(deviation))
    return float(CALCULATION.exp(CALCULATION.divide(numerator, square)))
