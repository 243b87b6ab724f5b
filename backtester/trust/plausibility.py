"""Whether a result can be what it seems: fills that no market gave, profit that rests on one trade, claims the sample cannot carry.

Thresholds are ours unless a source is named; each stands in docs/check.md.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from backtester.app.market_data import MarketData
from backtester.app.resolve import ResolvedRun
from backtester.app.result import RunResult
from backtester.config.fees import entry_tier_bps
from backtester.data.columns import CandleColumns, join_columns
from backtester.domain.timeframe import DAY_MS, iso_text
from backtester.metrics.probabilistic_sharpe import minimum_track_record
from backtester.report.csv_files import FILLS_NAME, TRADES_NAME
from backtester.report.equity import EQUITY_NAME
from backtester.report.fill_book import DELIVERY_TYPE
from backtester.trust.findings import Finding, Severity

_EXTREME_SHARE = 0.2
_EXTREME_FILLS = 5
_VOLUME_SHARE = 0.1
_ONE_SHARE = 0.5
_TRADES_LEAST = 30
_SHARPE_MOST = 3.0
_SMOOTH_DAYS = 20
_SMOOTH_FIT = 0.995
_CONFIDENCE = 0.95
_YEAR_DAYS = 365


class _PlacedFill(NamedTuple):
    """A fill and the bar it happened in."""

    time_ms: int
    symbol: str
    is_buy: bool
    price: float
    qty: float
    low: float
    high: float
    volume: float


def plausibility_findings(result: RunResult, market: MarketData, *, execution_ms: int) -> list[Finding]:
    """What is odd about a run's result."""
    fills = list(_placed(_rows(result, FILLS_NAME), market, result, execution_ms))
    return [
        *_fill_findings(fills),
        *_fee_findings(result.resolved),
        *_concentration_findings(result),
        *_ambiguity_findings(result),
        *_claim_findings(result.metrics),
        *_smoothness_findings(_daily(result)),
    ]


def _rows(result: RunResult, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(result.file_text(name))))


def _placed(rows: Sequence[Mapping[str, str]], market: MarketData, result: RunResult, execution_ms: int) -> Iterator[_PlacedFill]:
    """Each fill with its bar: the one that ends with it, or that contains its time. What meets no bar is left out."""
    symbols = dict.fromkeys(row["symbol"] for row in rows)
    first_ms, last_ms = result.resolved.start_ms - execution_ms, result.resolved.end_ms
    bars = {symbol: join_columns(*market.read(symbol, first_ms, last_ms)) for symbol in symbols}
    for row in rows:
        if row["order_type"] == DELIVERY_TYPE:  # settled, not traded in a bar
            continue
        columns: CandleColumns = bars[row["symbol"]]
        time_ms = int(row["time_ms"])
        inside_ms = time_ms - 1 if row["bar_fill"] == "true" else time_ms
        index = int(columns.start_ms.searchsorted(inside_ms, side="right")) - 1
        if index < 0 or int(columns.start_ms[index]) + execution_ms <= inside_ms:
            continue
        low, high, volume = (float(column[index]) for column in (columns.low, columns.high, columns.volume))
        yield _PlacedFill(time_ms, row["symbol"], row["side"] == "buy", float(row["price"]), float(row["qty"]), low, high, volume)


def _found(name: str, evidence: str, severity: Severity = "warning") -> Finding:
    return Finding(check="plausibility", severity=severity, name=name, evidence=evidence)


def _fill_findings(fills: Sequence[_PlacedFill]) -> Iterator[Finding]:
    better = [one for one in fills if (one.price < one.low if one.is_buy else one.price > one.high)]
    if better:
        first = better[0]
        yield _found(
            "impossible-fill",
            f"{len(better)} of {len(fills)} fills are better than any price of their bar; the first: {first.symbol} at "
            f"{first.price} {iso_text(first.time_ms)} UTC, its bar from {first.low} to {first.high}",
            "error",
        )
    extreme = [one for one in fills if one.high > one.low and one.price == (one.low if one.is_buy else one.high)]
    if len(extreme) >= _EXTREME_FILLS and len(extreme) > _EXTREME_SHARE * len(fills):
        yield _found(
            "fills-at-the-extreme",
            f"{len(extreme)} of {len(fills)} fills are at the best price of their bar ({len(extreme) / len(fills):.0%}): a market "
            "that turns just there, again and again, is rare",
        )
    silent = [one for one in fills if one.volume == 0]
    if silent:
        yield _found(
            "trades-without-volume",
            f"{len(silent)} of {len(fills)} fills are in bars in which nobody traded; the first: {silent[0].symbol} "
            f"{iso_text(silent[0].time_ms)} UTC",
        )
    large = [one for one in fills if one.volume > 0 and one.qty > _VOLUME_SHARE * one.volume]
    if large:
        most = max(large, key=lambda one: one.qty / one.volume)
        yield _found(
            "large-share-of-volume",
            f"{len(large)} of {len(fills)} fills take more than {_VOLUME_SHARE:.0%} of their bar's volume; the most: "
            f"{most.qty / most.volume:.0%} of {most.symbol} {iso_text(most.time_ms)} UTC. A real market would have moved",
        )


def _fee_findings(resolved: ResolvedRun) -> Iterator[Finding]:
    sim = resolved.config.sim
    for ref in resolved.refs:
        maker, taker, _ = entry_tier_bps(ref.exchange, ref.market)
        low = [
            f"{name} {ours} bps instead of {theirs}"
            for name, ours, theirs in (
                ("maker", sim.maker_bps, maker),
                ("taker", sim.taker_bps, taker),
                ("all", sim.fee_bps, maker),
            )
            if ours is not None and ours < theirs
        ]
        if low:
            yield _found("fees-below-the-table", f"{ref.key} is charged {', '.join(low)}, the venue's entry tier")


def _concentration_findings(result: RunResult) -> Iterator[Finding]:
    closed = [row for row in _rows(result, TRADES_NAME) if row["is_open"] == "false"]
    nets = [float(row["net_pnl"]) for row in closed]
    total = math.fsum(nets)
    if len(nets) >= 5 and total > 0 and max(nets) > _ONE_SHARE * total:
        best = closed[nets.index(max(nets))]
        yield _found(
            "profit-rests-on-one-trade",
            f"one of {len(nets)} trades made {max(nets) / total:.0%} of the profit: {best['symbol']}, closed "
            f"{iso_text(int(best['exit_time_ms']))} UTC",
        )
    daily = _daily(result)
    gains = [(after[1] - before[1], after[0]) for before, after in zip(daily, daily[1:], strict=False)]
    profit = daily[-1][1] - daily[0][1] if daily else 0.0
    if len(gains) >= 5 and profit > 0 and max(gains)[0] > _ONE_SHARE * profit:
        gain, day_ms = max(gains)
        yield _found(
            "profit-rests-on-one-day",
            f"one of {len(gains)} days made {gain / profit:.0%} of the profit: {iso_text(day_ms - DAY_MS)[:10]}",
        )


def _ambiguity_findings(result: RunResult) -> Iterator[Finding]:
    """Profit that hangs on the order of events inside bars, of which no bar tells."""
    profit = result.summary["end_equity"] - result.summary["start_equity"]
    at_stake = float(result.manifest.ambiguous_quote)
    if profit > 0 and at_stake > _ONE_SHARE * profit:
        manifest = result.manifest
        resolved = manifest.resolved_by_candles + manifest.resolved_by_trades
        of_them = f" ({resolved} of them resolved on finer data)" if resolved else ""
        yield _found(
            "profit-rests-on-ambiguous-bars",
            f"in {manifest.ambiguous_bars} bars{of_them} the order of events decided an outcome, and {at_stake / profit:.0%} of "
            "the profit hang on what is open: compare `--scenarios`, run on shorter bars, or store finer data (sim.resolve)",
        )


def _claim_findings(metrics: Mapping[str, Any]) -> Iterator[Finding]:
    """What the sample cannot carry: a Sharpe ratio that is too high, or too little to tell it from luck."""
    sharpe, probability = metrics["sharpe"], metrics["probabilistic_sharpe"]
    if sharpe is None or sharpe <= 0:
        return
    if sharpe > _SHARPE_MOST:
        yield _found(
            "sharpe-too-good",
            f"the Sharpe ratio is {sharpe:.2f} a year; above {_SHARPE_MOST:.0f} after costs an error is likelier than a discovery",
        )
    days = metrics["daily_returns"]
    if probability is not None and probability < _CONFIDENCE:
        skew, kurt = metrics["skew"], metrics["kurtosis"]
        needed = (
            None
            if skew is None or kurt is None
            else minimum_track_record(sharpe / math.sqrt(_YEAR_DAYS), skew=skew, kurt=kurt, confidence=_CONFIDENCE)
        )
        least = f"; at this pace it takes {math.ceil(needed):,} days to be sure of it at {_CONFIDENCE:.0%}" if needed else ""
        yield _found(
            "too-short-for-the-claim",
            f"a Sharpe ratio of {sharpe:.2f} over {days} daily returns is above 0 with a probability of {probability:.0%}{least}",
        )
    if 0 < metrics["trades"] < _TRADES_LEAST:
        yield _found("too-few-trades", f"{metrics['trades']} closed trades; below {_TRADES_LEAST} no average says much")


def _smoothness_findings(daily: Sequence[tuple[int, float]]) -> Iterator[Finding]:
    if len(daily) <= _SMOOTH_DAYS or min(equity for _, equity in daily) <= 0 or daily[-1][1] <= daily[0][1]:
        return
    logs = np.log([equity for _, equity in daily])
    days = np.arange(len(logs))
    fit = float(np.corrcoef(days, logs)[0, 1]) ** 2
    losing = int((np.diff(logs) < 0).sum())
    if fit > _SMOOTH_FIT or losing == 0:
        yield _found(
            "equity-too-smooth",
            f"equity rises in a line (R2 {fit:.3f} over {len(daily)} days, {losing} down): costs, gaps or losses are missing",
        )


def _daily(result: RunResult) -> list[tuple[int, float]]:
    """(midnight, equity) of each UTC day that the run reached."""
    rows = csv.reader(io.StringIO(result.file_text(EQUITY_NAME)))
    header = next(rows)
    time_at, equity_at = header.index("time_ms"), header.index("equity")
    return [(int(row[time_at]), float(row[equity_at])) for row in rows if int(row[time_at]) % DAY_MS == 0]
