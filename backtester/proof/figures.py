"""The main figures of metrics.json, from equity.csv and trades.csv, by the definitions of docs/metrics.md."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

DAY_MS = 86_400_000
Row = dict[str, str]


def figures(rows: Sequence[Row], trades: Sequence[Row], *, start_ms: int, starting_cash: Fraction) -> dict[str, float | None]:
    """Figures that the two files determine; one that they do not is left out.

    Those of daily returns are left out where a UTC midnight within the run has no row of its own.
    """
    found: dict[str, float | None] = {}
    if rows:
        found.update(_of_days(rows, start_ms, starting_cash))
    closed = [Fraction(row["net_pnl"]) for row in trades if row["is_open"] == "false"]
    gross = [Fraction(row["gross_pnl"]) for row in trades if row["is_open"] == "false"]
    wins, losses = [net for net in closed if net > 0], [net for net in closed if net < 0]
    found["trades"] = float(len(closed))
    found["gross_pnl"], found["net_pnl"] = float(sum(gross)), float(sum(closed))
    found["win_rate"] = len(wins) / len(closed) if closed else None
    found["expectancy"] = float(sum(closed) / len(closed)) if closed else None
    found["profit_factor"] = float(sum(wins) / -sum(losses)) if losses else None
    found["largest_win"] = float(max(wins)) if wins else None
    found["largest_loss"] = float(min(losses)) if losses else None
    return found


def drawdown_bounds(rows: Sequence[Row], starting_cash: Fraction, end: Fraction) -> tuple[float, float]:
    """(least, most) that the deepest fall can have been: within a row it is open whether the lowest or the highest came first.

    `end` is equity when the run ended, which may have been after the last row.
    """
    peak, least, most = starting_cash, Fraction(0), Fraction(0)
    for low, high in (*((Fraction(row["equity_min"]), Fraction(row["equity_max"])) for row in rows), (end, end)):
        if peak > 0:
            least = max(least, (peak - low) / peak)
        top = max(peak, high)
        if top > 0:
            most = max(most, (top - low) / top)
        peak = top
    return float(least), float(most)


def _of_days(rows: Sequence[Row], start_ms: int, starting_cash: Fraction) -> dict[str, float | None]:
    by_time = {int(row["time_ms"]): Fraction(row["equity"]) for row in rows}
    first, last = -(-start_ms // DAY_MS) * DAY_MS, max(by_time)
    midnights = [by_time.get(time_ms) for time_ms in range(first, last + 1, DAY_MS)]
    if first == start_ms and midnights:
        midnights[0] = starting_cash
    equities = [value for value in midnights if value is not None]
    if len(equities) < len(midnights) or any(value <= 0 for value in equities):
        return {}
    returns = [float(after / before - 1) for before, after in zip(equities, equities[1:], strict=False)]
    if len(returns) < 2:
        return {}
    mean = math.fsum(returns) / len(returns)
    deviation = math.sqrt(math.fsum((one - mean) ** 2 for one in returns) / (len(returns) - 1))
    below = math.sqrt(math.fsum(min(one, 0.0) ** 2 for one in returns) / len(returns))
    year = math.sqrt(365)
    return {
        "volatility": deviation * year,
        "sharpe": mean / deviation * year if deviation else None,
        "sortino": mean / below * year if below else None,
    }
