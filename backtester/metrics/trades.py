"""What trades earned: closed ones, after fees. Amounts come in as money units (1e-16 quote) and go out as quote.

Definitions: exchange semantics, section 7. What is undefined is None, never 0 or infinity.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from backtester.domain.money import MONEY_ONE
from backtester.domain.timeframe import DAY_MS, HOUR_MS
from backtester.domain.vocabulary import Side
from backtester.metrics.moments import mean, median, sample_deviation

BPS = 10_000


class TradeResult(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A closed trade. Values in money units; `side` is that of its entry.

    `stop_away` and `target_away` are the distances of the first stop and the first target from the entry price, as fractions of
    it, positive on the side where they belong; None where there was none.
    """

    symbol: str
    side: Side
    entry_time_ms: int
    exit_time_ms: int
    entry_value: int
    gross: int
    fees: int
    close_reason: str
    stop_away: float | None = None
    target_away: float | None = None

    @property
    def net(self) -> int:
        """Profit after fees."""
        return self.gross - self.fees

    @property
    def pnl_frac(self) -> float:
        """Net profit as a fraction of the value entered, whatever the size."""
        return self.net / self.entry_value

    @property
    def r_multiple(self) -> float | None:
        """Net profit in units of what the first stop put at risk; None without a stop on the losing side."""
        away = self.stop_away
        return self.pnl_frac / away if away is not None and away > 0.0 else None

    @property
    def target_r(self) -> float | None:
        """Distance of the target in units of that of the stop; None where one is not known or the stop is no loss."""
        stop, target = self.stop_away, self.target_away
        return target / stop if stop is not None and target is not None and stop > 0.0 else None


class TradeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a set of closed trades; amounts in quote, fractions of the value entered."""

    trades: int
    net_pnl: float
    gross_pnl: float
    fees: float
    win_rate: float | None
    profit_factor: float | None
    expectancy: float | None
    average_win: float | None
    average_loss: float | None
    largest_win: float | None
    largest_loss: float | None
    average_pnl_frac: float | None
    average_holding_hours: float | None


def trade_figures(trades: Sequence[TradeResult]) -> TradeFigures:
    """The figures of `trades`, whatever they have in common."""
    nets = [trade.net for trade in trades]
    return TradeFigures(
        trades=len(trades),
        net_pnl=sum(nets) / MONEY_ONE,
        gross_pnl=sum(trade.gross for trade in trades) / MONEY_ONE,
        fees=sum(trade.fees for trade in trades) / MONEY_ONE,
        win_rate=win_rate(won=sum(net > 0 for net in nets), closed=len(nets)),
        profit_factor=profit_factor(nets),
        expectancy=_in_quote(expectancy(nets)),
        average_win=_in_quote(average_win(nets)),
        average_loss=_in_quote(average_loss(nets)),
        largest_win=_in_quote(largest_win(nets)),
        largest_loss=_in_quote(largest_loss(nets)),
        average_pnl_frac=mean([trade.pnl_frac for trade in trades]) if trades else None,
        average_holding_hours=average_holding_hours(trades),
    )


def win_rate(*, won: int, closed: int) -> float | None:
    """Share of closed trades with a net profit above 0; None without a closed trade."""
    return won / closed if closed else None


def profit_factor(nets: Iterable[int]) -> float | None:
    """Sum of net profits over sum of net losses, both positive; None without a loss."""
    won, lost = _won_and_lost(nets)
    return sum(won) / -sum(lost) if lost else None


def expectancy(nets: Sequence[int]) -> float | None:
    """Mean net profit of a trade, in the unit of `nets`; None without a trade."""
    return sum(nets) / len(nets) if nets else None


def average_win(nets: Iterable[int]) -> float | None:
    """Mean of the net profits above 0, in the unit of `nets`; None without one."""
    return expectancy(_won_and_lost(nets)[0])


def average_loss(nets: Iterable[int]) -> float | None:
    """Mean of the net results below 0, in the unit of `nets`, negative; None without one."""
    return expectancy(_won_and_lost(nets)[1])


def largest_win(nets: Iterable[int]) -> int | None:
    """The largest net profit above 0; None without one."""
    return max(_won_and_lost(nets)[0], default=None)


def largest_loss(nets: Iterable[int]) -> int | None:
    """The lowest net result below 0, negative; None without one."""
    return min(_won_and_lost(nets)[1], default=None)


def largest_win_share(nets: Iterable[int]) -> float | None:
    """The largest net profit over the sum of all net profits, 0 to 1; None without one."""
    won, _ = _won_and_lost(nets)
    return max(won) / sum(won) if won else None


def system_quality(results: Sequence[float], *, count_max: int | None = None) -> float | None:
    """SQN: sqrt(n) x mean / sample deviation of R multiples, or of any other size-independent result.

    `count_max` caps n (100 in Tharp's version). None below two results or when all are equal. Source: Tharp.
    """
    deviation = sample_deviation(results)
    if not deviation:
        return None
    count = len(results) if count_max is None else min(len(results), count_max)
    return math.sqrt(count) * mean(results) / deviation


def r_multiples(trades: Iterable[TradeResult]) -> list[float]:
    """The R multiples of the trades whose stop is known, in order."""
    return [multiple for trade in trades if (multiple := trade.r_multiple) is not None]


def average_target_r(trades: Iterable[TradeResult]) -> float | None:
    """Mean distance of the targets in R, of the trades whose stop and target are known; None without one."""
    known = [distance for trade in trades if (distance := trade.target_r) is not None]
    return mean(known) if known else None


def fixed_nominal_curve(trades: Iterable[TradeResult]) -> list[float]:
    """Sum of `pnl_frac` after each trade: what one unit of money in every trade, none of it reinvested, has earned."""
    summed: list[float] = []
    fractions: list[float] = []
    for trade in trades:
        fractions.append(trade.pnl_frac)
        summed.append(math.fsum((summed[-1] if summed else 0.0, fractions[-1])))
    return summed


def average_holding_hours(trades: Sequence[TradeResult]) -> float | None:
    """Mean time from the first entry to the last exit, in hours; None without a trade."""
    return sum(trade.exit_time_ms - trade.entry_time_ms for trade in trades) / (len(trades) * HOUR_MS) if trades else None


def median_holding_hours(trades: Sequence[TradeResult]) -> float | None:
    """Median time from the first entry to the last exit, in hours; None without a trade."""
    middle = median([float(trade.exit_time_ms - trade.entry_time_ms) for trade in trades])
    return None if middle is None else middle / HOUR_MS


def trades_a_day(closed: int, *, span_ms: int) -> float | None:
    """Closed trades over days; None when no time has passed."""
    return closed * DAY_MS / span_ms if span_ms > 0 else None


def average_distance_bps(away: Iterable[float | None]) -> float | None:
    """Mean of the known distances, fractions of the entry price, in basis points; None without one."""
    known = [one for one in away if one is not None]
    return mean(known) * BPS if known else None


def _won_and_lost(nets: Iterable[int]) -> tuple[list[int], list[int]]:
    found = list(nets)
    return [net for net in found if net > 0], [net for net in found if net < 0]


def _in_quote(units: float | None) -> float | None:
    return None if units is None else units / MONEY_ONE
