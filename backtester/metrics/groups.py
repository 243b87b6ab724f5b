"""Closed trades told apart: by symbol, side, month, hour and reason; symbols ranked, outliers named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from backtester.domain.money import MONEY_ONE
from backtester.domain.timeframe import HOUR_MS
from backtester.metrics.moments import median
from backtester.metrics.trades import TradeFigures, TradeResult, trade_figures

OUTLIER_SCORE = 3.5
OUTLIER_SYMBOLS_MIN = 5
_MAD_TO_DEVIATION = 0.6745
"""The median absolute deviation of a normal distribution, in standard deviations."""


def month_text(time_ms: int) -> str:
    """The UTC month of an instant: `2025-05`."""
    return datetime.fromtimestamp(time_ms // 1000, tz=UTC).strftime("%Y-%m")


def by_symbol(trades: Iterable[TradeResult]) -> dict[str, TradeFigures]:
    """Figures of every symbol, the one with the largest net profit first; equal ones in alphabetical order."""
    found = _grouped(trades, lambda trade: trade.symbol)
    return dict(sorted(found.items(), key=lambda item: (-item[1].net_pnl, item[0])))


def by_side(trades: Iterable[TradeResult]) -> dict[str, TradeFigures]:
    """Figures of longs (`buy`) and shorts (`sell`); a side without a trade is left out."""
    return _grouped(trades, lambda trade: trade.side.value)


def by_month(trades: Iterable[TradeResult]) -> dict[str, TradeFigures]:
    """Figures of every UTC month in which a trade ended."""
    return _grouped(trades, lambda trade: month_text(trade.exit_time_ms))


def by_hour(trades: Iterable[TradeResult]) -> dict[str, TradeFigures]:
    """Figures of every UTC hour of the day, `00` to `23`, in which a trade began."""
    return _grouped(trades, lambda trade: f"{trade.entry_time_ms // HOUR_MS % 24:02d}")


def by_close_reason(trades: Iterable[TradeResult]) -> dict[str, TradeFigures]:
    """Figures of every reason for which a trade ended."""
    return _grouped(trades, lambda trade: trade.close_reason)


def monthly_returns(equity: Sequence[tuple[int, int]]) -> dict[str, float | None]:
    """Return of every UTC month from (time, equity) points in rising time, a fraction.

    The value at 00:00 of the first of a month closes the month before. The first and last month are those of the points alone.
    None where a month begins without positive equity.
    """
    found: dict[str, float | None] = {}
    begun = equity[0][1] if equity else 0
    for (before_ms, before), (after_ms, after) in zip(equity, equity[1:], strict=False):
        if (before_ms, before) == (after_ms, after):
            continue
        month = month_text(before_ms if before_ms < after_ms else before_ms - 1)
        if month not in found:
            begun = before
        found[month] = (after - begun) / begun if begun > 0 else None
    return found


def outlier_symbols(net_by_symbol: Mapping[str, float]) -> list[str]:
    """Symbols whose net profit lies apart from the others', in alphabetical order; none below five symbols.

    Apart is more than 3.5 robust deviations (0.6745 x distance from the median / median absolute deviation) from the median;
    where more than half are equal, every other one is apart. Source: Iglewicz and Hoaglin 1993.
    """
    middle = median(list(net_by_symbol.values()))
    if middle is None or len(net_by_symbol) < OUTLIER_SYMBOLS_MIN:
        return []
    away = {symbol: abs(net - middle) for symbol, net in net_by_symbol.items()}
    usual = median(list(away.values())) or 0.0
    return sorted(symbol for symbol, distance in away.items() if _MAD_TO_DEVIATION * distance > OUTLIER_SCORE * usual)


def net_by_symbol(trades: Iterable[TradeResult]) -> dict[str, float]:
    """Net profit of every symbol, in quote."""
    summed: dict[str, int] = {}
    for trade in trades:
        summed[trade.symbol] = summed.get(trade.symbol, 0) + trade.net
    return {symbol: units / MONEY_ONE for symbol, units in summed.items()}


def _grouped(trades: Iterable[TradeResult], key: Callable[[TradeResult], str]) -> dict[str, TradeFigures]:
    groups: dict[str, list[TradeResult]] = {}
    for trade in trades:
        groups.setdefault(key(trade), []).append(trade)
    return {name: trade_figures(groups[name]) for name in sorted(groups)}
