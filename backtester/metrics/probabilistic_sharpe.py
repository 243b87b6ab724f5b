"""How sure a Sharpe ratio is: the probability that the true one is above a benchmark, also after many trials.

Ratios are per period, never yearly. Kurtosis is Pearson's (normal: 3); with the excess the published example does not come out.
Sources: Bailey and Lopez de Prado 2012 (PSR) and 2014 (DSR); exchange semantics, section 7.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from backtester.domain.errors import DomainError
from backtester.metrics.moments import kurtosis, skewness
from backtester.metrics.normal import normal_cdf, normal_quantile
from backtester.metrics.ratios import period_sharpe, sharpe_variance

EULER_MASCHERONI = 0.5772156649015329
_E = 2.718281828459045


def probabilistic_sharpe(ratio: float, *, n: int, skew: float, kurt: float, benchmark: float = 0.0) -> float | None:
    """Probability, 0 to 1, that the true period Sharpe ratio exceeds `benchmark`, when `ratio` was found in `n` returns.

    None below two returns or when the moments are of no distribution.
    """
    variance = sharpe_variance(ratio, skew=skew, kurt=kurt)
    if n < 2 or variance is None:
        return None
    return normal_cdf((ratio - benchmark) * math.sqrt(n - 1) / math.sqrt(variance))


def probabilistic_sharpe_of(returns: Sequence[float], *, benchmark: float = 0.0) -> float | None:
    """`probabilistic_sharpe` of a series of returns, with its own moments; None where its Sharpe ratio is."""
    ratio, skew, kurt = period_sharpe(returns), skewness(returns), kurtosis(returns)
    if ratio is None or skew is None or kurt is None:
        return None
    return probabilistic_sharpe(ratio, n=len(returns), skew=skew, kurt=kurt, benchmark=benchmark)


def minimum_track_record(
    ratio: float, *, skew: float, kurt: float, benchmark: float = 0.0, confidence: float = 0.95
) -> float | None:
    """How many returns it takes until `probabilistic_sharpe` reaches `confidence`, should the period ratio stay as it is.

    None where it never does (the ratio is not above `benchmark`) or the moments are of no distribution.
    Source: Bailey and Lopez de Prado 2012, minimum track record length.
    """
    variance = sharpe_variance(ratio, skew=skew, kurt=kurt)
    if variance is None or ratio <= benchmark:
        return None
    return 1.0 + variance * (normal_quantile(confidence) / (ratio - benchmark)) ** 2


def expected_best_sharpe(*, trials: int, variance: float) -> float:
    """The period Sharpe ratio that the best of `trials` independent strategies without merit is expected to show.

    `variance` is that of the period Sharpe ratios of all trials. One trial has nothing to choose from: 0.
    Raises DomainError below one trial or for a negative variance.
    """
    if trials < 1 or variance < 0.0:
        raise DomainError(f"there must be at least one trial and a variance of 0 or more, were {trials} and {variance}")
    if trials == 1:
        return 0.0
    usual = normal_quantile(1.0 - 1.0 / trials)
    rare = normal_quantile(1.0 - 1.0 / (trials * _E))
    return math.sqrt(variance) * ((1.0 - EULER_MASCHERONI) * usual + EULER_MASCHERONI * rare)


def deflated_sharpe(ratio: float, *, n: int, skew: float, kurt: float, trials: int, variance: float) -> float | None:
    """`probabilistic_sharpe` against what the best of `trials` would show by luck, 0 to 1; None where that is."""
    best = expected_best_sharpe(trials=trials, variance=variance)
    return probabilistic_sharpe(ratio, n=n, skew=skew, kurt=kurt, benchmark=best)
