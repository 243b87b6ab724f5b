"""The parts of a report that are words and tables."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from backtester.audit.run_store import CONFIG_NAME, Assumption, Manifest
from backtester.domain.timeframe import DAY_MS, iso_text
from backtester.report.html.tables import Cell, amount, facts, groups_table, listed, months_table, percent, regimes_table, table
from backtester.report.report_data import GapLine, ReportData

_GAPS_SHOWN = 20
_ASSUMPTIONS_SHOWN = 20
_SYMBOLS_SHOWN = 6
_FRACTIONS = frozenset(
    {
        "total_return",
        "cagr",
        "volatility",
        "max_drawdown",
        "win_rate",
        "exposure",
        "best_day",
        "worst_day",
        "value_at_risk",
        "expected_shortfall",
        "risk_of_ruin",
        "probabilistic_sharpe",
        "largest_win_share",
        "average_pnl_frac",
        "return_at_fixed_nominal",
        "fees_share",
        "funding_share",
        "interest_share",
        "slippage_share",
    }
)
_ENDS = {
    "bankrupt": "BANKRUPT: equity fell to zero. The run ended there.",
    "interrupted": "INTERRUPTED: the run was stopped before its end. What was done until then is shown.",
    "error": "FAILED: the run ended with an error. What there is of it is shown.",
}


def notices(data: ReportData) -> list[str]:
    """What must be known before anything else is read."""
    run = data.run
    manifest = run.manifest
    found = []
    if run.is_synthetic:
        found.append("Synthetic sample: the candles are generated, no market's prices. This result says nothing about a strategy.")
    if manifest.status == "running":
        found.append("This run did not come to its end: it is still running, or it was killed. What there is of it is shown.")
    elif manifest.end_reason in _ENDS:
        found.append(_ENDS[manifest.end_reason] + (f" {manifest.error}" if manifest.error else ""))
    if run.journal.problem:
        found.append(f"The journal is not as it was written: {run.journal.problem}")
    found += [f"{sentence}: the figures may not be those of the run." for sentence in run.changed]
    if manifest.git_dirty:
        found.append("The program had uncommitted changes when this run was made.")
    return found


def tiles(data: ReportData) -> str:
    """The figures that a result is judged by first."""
    metrics, quote, run = data.run.metrics, data.market.quote, data.run
    if metrics is None:
        return "<p>The run left no metrics.json: it did not come to its end.</p>"
    summary = run.summary(data.market.start_equity)
    error, days = metrics.get("sharpe_standard_error"), metrics.get("daily_returns", 0)
    sure = f"standard error {amount(error)}, {days} daily returns" if error is not None else f"{days} daily returns"
    benchmark = metrics.get("benchmark", {}).get("total_return")
    open_trades = summary["open_trades"]
    rows: list[tuple[str, Cell, str]] = [
        (
            "Total return",
            _toned(percent(metrics["total_return"], sign=True), metrics["total_return"]),
            f"{amount(summary['start_equity'], quote=quote)} to {amount(summary['end_equity'], quote=quote)} {quote}",
        ),
        ("Buy and hold", Cell(percent(benchmark, sign=True)), "equal weight of the symbols, without costs"),
        (
            "Maximum drawdown",
            Cell(percent(metrics["max_drawdown"])),
            f"{amount(metrics.get('max_drawdown_quote'), quote=quote)} {quote}",
        ),
        ("Sharpe ratio, a year", Cell(amount(metrics["sharpe"])), sure),
        (
            "Closed trades",
            Cell(f"{metrics['trades']:,}"),
            f"{open_trades:,} still open at the end" if open_trades else "none left open",
        ),
        ("Win rate", Cell(percent(metrics["win_rate"])), "of closed trades, after fees"),
        ("Fees", Cell(amount(metrics["fees"], quote=quote)), f"{quote}; {percent(metrics.get('fees_share'))} of gross profit"),
        ("Time in a position", Cell(percent(metrics["exposure"])), "of the closes of the signal timeframe"),
    ]
    return '<dl class="tiles">' + "".join(_tile(*row) for row in rows) + "</dl>"


def _tile(name: str, cell: Cell, more: str) -> str:
    tone = f' class="{cell.tone}"' if cell.tone else ""
    return f"<div><dt>{escape(name)}</dt><dd{tone}>{escape(cell.text)}<small>{escape(more)}</small></dd></div>"


def _toned(text: str, value: float | None) -> Cell:
    return Cell(text, "gain" if value and value > 0 else "loss" if value and value < 0 else "")


def costs_table(data: ReportData, steps: Sequence[tuple[str, float, bool]]) -> str:
    """The steps as a table, with shares of gross profit."""
    metrics, quote = data.run.metrics or {}, data.market.quote
    shares = {name: metrics.get(f"{name}_share") for name in ("slippage", "fees", "funding", "interest")}
    words = {
        "before costs": "profit at reference prices",
        "slippage": "slippage and spread of taker fills",
        "fees": "fees",
        "funding": "funding",
        "interest": "interest on what was borrowed",
        "net": "change of equity",
    }
    rows = [
        (words[name], _toned(amount(value, sign=True, quote=quote), value), percent(shares.get(name))) for name, value, _ in steps
    ]
    text = table("Components of the result", ("component", quote, "share of gross profit, %"), rows)
    unknown = metrics.get("fills_without_reference", 0)
    left_out = f"<p class='muted'>{unknown:,} fills have no reference price: their slippage is not in it.</p>"
    return text + (left_out if unknown else "")


def months(data: ReportData) -> str:
    """The monthly table, and the kinds of market where the run was long enough to tell."""
    metrics = data.run.metrics or {}
    by_month = metrics.get("by_month") or {}
    found = months_table(by_month, quote=data.market.quote) if by_month else "<p>No month has passed.</p>"
    return found + regimes_table(metrics.get("by_regime") or {})


def symbols(data: ReportData) -> str:
    """Symbols, sides and close reasons with the figures of their trades."""
    metrics, quote = data.run.metrics or {}, data.market.quote
    if not metrics.get("trades"):
        return "<p>No trade was closed.</p>"
    parts = [
        groups_table("By symbol", "symbol", metrics.get("by_symbol", {}), quote=quote),
        groups_table("By side of the entry", "side", metrics.get("by_side", {}), quote=quote),
        groups_table("By reason of the close", "reason", metrics.get("by_close_reason", {}), quote=quote),
    ]
    outliers = metrics.get("outlier_symbols") or []
    if outliers:
        parts.append(f"<p>Symbols whose result lies far from the others': {escape(', '.join(outliers))}.</p>")
    return "".join(parts)


def all_figures(metrics: Mapping[str, Any]) -> str:
    """Every single figure of metrics.json."""
    rows = [(name.replace("_", " "), _figure(name, value)) for name, value in metrics.items() if not isinstance(value, dict | list)]
    names = facts("As in metrics.json; docs/metrics.md defines each", rows)
    return f"<details><summary>All {len(rows)} figures</summary>{names}</details>"


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "undefined, or too small a sample"
    if name.endswith("_ms"):
        return f"{iso_text(int(value))} UTC"
    if name in _FRACTIONS:
        return f"{value:.4%}"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}" if abs(value) < 1 else f"{value:,.4f}"


def trust(data: ReportData) -> str:
    """What `bt check` found, where it was asked."""
    check = data.run.check
    if check is None:
        command = f"bt check {shlex.quote(str(data.run.path))}"
        return f"<p>Look-ahead, determinism, warm-up and plausibility were not checked: <code>{escape(command)}</code> does.</p>"
    verdicts = [(one["check"], one["outcome"], one["text"]) for one in check.get("verdicts", [])]
    text = table("What was checked", ("check", "outcome", "in a sentence"), verdicts, words=3)
    found = [
        (one["severity"], one["check"], one["evidence"], f"{one['file']}:{one['line']}" if one.get("file") else "-")
        for one in check.get("findings", [])
    ]
    return text + (table("Findings", ("severity", "check", "evidence", "place"), found, words=4) if found else "")


def assumptions(manifest: Manifest) -> str:
    """What the result rests on."""
    found = manifest.assumptions
    if not found:
        return "<p>The manifest names none.</p>"
    if len(found) <= _ASSUMPTIONS_SHOWN:
        return listed(_told(one) for one in found)
    general = [_told(one) for one in found if not _is_of_symbol(one, manifest)]
    of_symbols = [_told(one) for one in found if _is_of_symbol(one, manifest)]
    more = f"<details><summary>And {len(of_symbols)} of single symbols</summary>{listed(of_symbols)}</details>"
    return listed(general) + (more if of_symbols else "")


def _told(one: Assumption) -> str:
    said = one.rule if one.what == "this run" else f"{one.what}: {one.rule}"
    return said + (f" ({one.setting})" if one.setting else "")


def _is_of_symbol(one: Assumption, manifest: Manifest) -> bool:
    return one.rule.partition(":")[0] in manifest.symbols


def gaps(data: ReportData) -> str:
    """Gaps of the data in the range of the run, and whether a position was open."""
    counts, note = data.run.manifest.counts, data.market.note
    if data.run.metrics is None and data.market.bars_of is None:
        return f"<p>Not known: the run did not come to count them. {escape(note)}</p>"
    if not (counts.gaps or counts.outages or data.market.gaps):
        return "<p>No bar is missing between the first and the last candle of any symbol, and none is flat without volume.</p>"
    text = f"{counts.gaps:,} stretches of missing bars, {counts.outages:,} outages (flat bars without volume)"
    text += f"; {counts.filled:,} bars were put in for missing ones" if counts.filled else ""
    shown = data.market.gaps[:_GAPS_SHOWN]
    if not shown:
        return f"<p>{text}. {escape(note)}</p>"
    rows = [
        (gap.symbol, gap.what, iso_text(gap.from_ms), iso_text(gap.to_ms), f"{gap.bars:,}", "yes" if _met(data, gap) else "no")
        for gap in shown
    ]
    header = ("symbol", "what", "from (UTC)", "to (UTC)", "bars", "in a position")
    left = len(data.market.gaps) - len(shown)
    more = f"<p class='muted'>And {left:,} more: bt data check lists them.</p>" if left else ""
    said = f"<p>{text}.</p>" if data.run.metrics is not None else ""
    return said + table("Gaps in the data of the run", header, rows, words=4) + more


def _met(data: ReportData, gap: GapLine) -> bool:
    """Whether a position was open in the symbol while the bars were missing."""
    held = data.held.get(gap.symbol)
    if held is None:
        return False
    before = int(held.time_ms.searchsorted(gap.from_ms, side="right")) - 1
    inside = int(held.time_ms.searchsorted(gap.to_ms, side="right")) - 1
    return (before >= 0 and bool(held.size[before])) or inside > before


def refusals(data: ReportData) -> str:
    """Refused orders by reason."""
    found = data.run.journal.refusals
    if not found:
        return "<p>No order was refused, by Risk or by the venue.</p>"
    rows = [(one.reason, one.who, f"{one.count:,}", _few(one.symbols), one.example) for one in found]
    header = ("reason", "refused by", "orders", "symbols", "what was said of the first")
    return table("Refused orders, most frequent reason first", header, rows, words=2).replace("<td>", '<td class="word">')


def _few(names: Sequence[str]) -> str:
    more = len(names) - _SYMBOLS_SHOWN
    return ", ".join(names[:_SYMBOLS_SHOWN]) + (f" and {more} more" if more > 0 else "")


def identity(data: ReportData) -> str:
    """What ran, so that it can be found again."""
    manifest, journal = data.run.manifest, data.run.journal
    days = (data.end_ms - data.start_ms) / DAY_MS
    rows = [
        ("run", manifest.run_id),
        ("status", manifest.status + (f" ({manifest.end_reason.replace('_', ' ')})" if manifest.end_reason else "")),
        *(("strategy", _strategy(one.name, one.params)) for one in manifest.strategies),
        ("symbols", ", ".join(manifest.symbols)),
        ("market", f"{manifest.exchange} {manifest.market}".strip() or "several"),
        ("range", f"{manifest.start} to {manifest.end} UTC, {days:,.1f} days"),
        ("timeframes", f"signals {manifest.timeframe}, execution {manifest.execution_timeframe}"),
        ("data", manifest.data_source + (": generated, no market's prices" if data.run.is_synthetic else "")),
        ("seed", str(manifest.seed)),
        ("git SHA", _git(manifest)),
        ("digest of the event stream", manifest.digest or "none: the run did not end"),
        ("data fingerprint", manifest.data_fingerprint or "none: the run did not end"),
        ("configuration SHA-256", manifest.config_sha256),
        ("ledger SHA-256", manifest.ledger_hash or "none: the run did not end"),
        *((f"source of {short_name(one.name)}, SHA-256", one.source_sha256 or "not a file") for one in manifest.strategies),
        ("counts", f"{manifest.counts.candles:,} candles, {journal.events:,} events, {journal.fills:,} fills in the journal"),
        ("versions", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())),
        ("made", _created(manifest.created)),
    ]
    return facts("Identity of the run", rows)


def commands(data: ReportData) -> list[tuple[str, str]]:
    """(what it does, command) to repeat and to check the run; empty where its directory does not hold all of it."""
    run = data.run
    if run.manifest.handed_over:
        return []
    path, config = shlex.quote(str(run.path)), shlex.quote(str(run.path / CONFIG_NAME))
    again = shlex.quote(f"{run.manifest.run_id}-again")
    found = [("Repeat the run", f"bt --config {config} --run-id {again}")]
    if run.manifest.status == "complete":
        found.append(("Prove that it repeats", f"bt verify {path}"))
    return found


def _git(manifest: Manifest) -> str:
    if manifest.git_sha is None:
        return "not run from a repository"
    return manifest.git_sha + (" and uncommitted changes" if manifest.git_dirty else "")


def _created(text: str) -> str:
    try:
        return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except ValueError:
        return text or "unknown"


def _strategy(name: str, params: Mapping[str, Any]) -> str:
    return f"{short_name(name)}({', '.join(f'{key}={value}' for key, value in params.items() if value != [])})"


def short_name(name: str) -> str:
    """A strategy's name without the directory of its file."""
    return name.rpartition("/")[2] if ".py" in name else name
