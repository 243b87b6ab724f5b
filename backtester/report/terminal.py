"""What a run looks like on a terminal: a summary a trader can read at a glance.

Plain text unless the stream is a terminal; colours never when NO_COLOR is set.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from backtester.audit.run_store import Manifest
from backtester.config.run_config import RunConfig
from backtester.domain.money import amount_text
from backtester.domain.timeframe import DAY_MS, parse_time_ms
from backtester.report.ambiguous_bars import ambiguity_text
from backtester.report.listing import in_colour

_SHORT = 16
_WIDTH_MAX = 120


class RunFacts(NamedTuple):
    """Everything the summary shows. `summary` is that of `report.results`; amounts are in `quote`."""

    manifest: Manifest
    config: RunConfig
    summary: Mapping[str, Any]
    path: Path | None
    quote: str


class Row(NamedTuple):
    """A line of the summary; `tone` is good, bad, warn or empty."""

    label: str
    value: str
    tone: str = ""


class Section(NamedTuple):
    """A titled part of the summary."""

    title: str
    rows: tuple[Row, ...]


def run_sections(facts: RunFacts) -> tuple[Section, ...]:
    """What ran on which data, the result, what it cost, what was refused, and where it is."""
    refusals = tuple(Row(reason, f"{count:,}", "warn") for reason, count in facts.summary["refusals_by_reason"].items())
    parts = (_what(facts), _result(facts), _costs(facts), Section("Refused orders", refusals), _where(facts))
    return tuple(part for part in parts if part.rows)


def print_sections(sections: Sequence[Section], stream: TextIO) -> None:
    """The sections stand on `stream`: in colour on a terminal, as plain text elsewhere."""
    if in_colour(stream):
        _print_rich(sections, stream)
        return
    label_width = max(len(row.label) for section in sections for row in section.rows)
    width = _plain_width(stream)
    for section in sections:
        stream.write(f"{section.title}\n")
        for row in section.rows:
            first, *others = _wrapped(row.value, width - label_width - 4)
            stream.write(f"  {row.label:<{label_width}}  {first}\n")
            stream.writelines(f"  {'':<{label_width}}  {text}\n" for text in others)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], stream: TextIO) -> None:
    """A table with its header; the last columns are dropped where they are empty in every row."""
    kept = [index for index in range(len(header)) if any(row[index] for row in rows)]
    lines = [[line[index] for index in kept] for line in (header, *rows)]
    if in_colour(stream):
        from rich.console import Console
        from rich.table import Table

        table = Table(*lines[0], box=None, header_style="bold", padding=(0, 2, 0, 0))
        for line in lines[1:]:
            table.add_row(*(_escaped(cell) for cell in line))
        Console(file=stream).print(table)
        return
    widths = [max(len(line[index]) for line in lines) for index in range(len(kept))]
    for line in lines:
        stream.write("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() + "\n")


def _what(facts: RunFacts) -> Section:
    manifest, config = facts.manifest, facts.config
    run, counts = config.run, manifest.counts
    strategies = "; ".join(_strategy_text(section.name, section.params) for section in config.strategies)
    if config.data.source == "sample":
        data = Row("data", "SYNTHETIC SAMPLE, no real prices", "warn")
    else:
        data = Row("data", " ".join(part for part in (run.exchange, run.market) if part) or config.data.source)
    days = (parse_time_ms(run.end) - parse_time_ms(run.start)) / DAY_MS
    gaps = f"{counts.gaps:,} gaps in the data" if counts.gaps else "no gaps"
    gaps += f", {counts.outages:,} outages" if counts.outages else ""
    gaps += f", {counts.filled:,} bars put in" if counts.filled else ""
    return Section(
        f"Run {manifest.run_id}",
        (
            Row("strategy", strategies),
            data,
            Row("symbols", ", ".join(manifest.symbols)),
            Row("range", f"{run.start} to {run.end} UTC, {days:,.1f} days"),
            Row("timeframes", f"signals {run.timeframe}, execution {run.execution_timeframe}"),
            Row(
                "candles",
                f"{counts.candles:,} of {run.execution_timeframe}, {gaps}, fingerprint {manifest.data_fingerprint[:_SHORT]}",
            ),
            *([Row("code", f"{(manifest.git_sha or '')[:_SHORT]} WITH UNCOMMITTED CHANGES", "warn")] if manifest.git_dirty else []),
            *(
                Row("rules", one.rule, "" if _CHANGE in one.rule else "warn")
                for one in manifest.assumptions
                if "instrument rules" in one.rule
            ),
            *([Row("ended", _END_WORDS.get(manifest.end_reason, manifest.end_reason), "bad")] if _ended_early(manifest) else []),
        ),
    )


_CHANGE = "instrument rules change"
"""Rules that change, as they did, are no shortcoming of the run."""
_END_WORDS = {
    "bankrupt": "BANKRUPT: equity fell to zero",
    "interrupted": "INTERRUPTED: what was done until then is on disk",
}


def _ended_early(manifest: Manifest) -> bool:
    return manifest.end_reason != "end_of_data"


def _result(facts: RunFacts) -> Section:
    summary, quote = facts.summary, facts.quote
    tone = (
        "good"
        if summary["end_equity"] > summary["start_equity"]
        else "bad"
        if summary["end_equity"] < summary["start_equity"]
        else ""
    )
    trades = f"{summary['trades']:,} closed"
    if summary["open_trades"]:
        trades += f", {summary['open_trades']:,} still open (marked at the last close)"
    return Section(
        "Result",
        (
            Row("equity", f"{amount_text(summary['start_equity'], quote)} -> {amount_text(summary['end_equity'], quote)} {quote}"),
            Row("return", _percent(summary["total_return"], sign=True), tone),
            Row("max drawdown", _percent(summary["max_drawdown"])),
            Row("sharpe", _sharpe(summary)),
            Row("trades", trades),
            Row("win rate", f"{_percent(summary['win_rate'])} of closed trades"),
            Row("exposure", f"{_percent(summary['exposure'])} of the time in a position"),
            Row("orders", f"{summary['orders']:,} sent, {summary['fills']:,} fills"),
            *([Row("order inside bars", ambiguity_text(facts.manifest, quote))] if facts.manifest.ambiguous_bars else []),
        ),
    )


def _sharpe(summary: Mapping[str, Any]) -> str:
    """The ratio with what it rests on: so many daily returns, and its standard error."""
    text = f"{_number(summary['sharpe'])} a year"
    error, days = summary.get("sharpe_standard_error"), summary.get("daily_returns")
    return text if error is None else f"{text}, standard error {_number(error)} ({days} daily returns)"


def _has_options(manifest: Manifest) -> bool:
    return manifest.market == "option" or any(".option:" in symbol for symbol in manifest.symbols)


def _costs(facts: RunFacts) -> Section:
    sim, fees = facts.config.sim, facts.summary["fees"]
    options = f", of {_bps(sim.option_spread_bps)} bps of options" if _has_options(facts.manifest) else ""
    model = "" if sim.slippage_model == "fixed" else " and more with the share of volume"
    rows = [
        Row("fees", f"{amount_text(fees, facts.quote)} {facts.quote}{_share(fees, facts.summary['start_equity'])}"),
        Row(
            "in the prices",
            f"half of a {_bps(sim.spread_bps)} bps spread{options}, {_bps(sim.slippage_bps)} bps slippage{model} on taker fills",
        ),
    ]
    if facts.manifest.quoted_fills:
        counts = facts.manifest.quoted_fills
        told = f"{counts['fresh']:,} taker fills by the last quote, {counts['stale']:,} by a stale one or the model"
        rows.append(Row("spreads", f"{told}, {counts['none']:,} by the model for want of one", "warn" if counts["none"] else ""))
    priced = [one.rule.partition(": ")[2] for one in facts.manifest.assumptions if "liquidation on" in one.rule]
    if priced:
        count = facts.summary.get("liquidations", 0)
        rows.append(Row("liquidations", f"{count}; {', '.join(dict.fromkeys(priced))}", "warn" if count else ""))
    if interest := facts.summary.get("interest"):
        rows.append(Row("interest", f"{amount_text(interest, facts.quote)} {facts.quote} on what was borrowed"))
    if facts.config.account.borrow == "on" and facts.summary.get("liquidations"):
        level = facts.config.account.borrow_liquidation
        rows.append(Row("liquidations", f"1; equity had fallen to {level:f} of what was owed, entries are refused since", "warn"))
    charged = [one.rule for one in facts.manifest.assumptions if "funding settlements" in one.rule]
    if charged:
        assumed = any("assumed" in text for text in charged)
        paid = facts.summary["funding"]
        words = f"{amount_text(abs(paid), facts.quote)} {facts.quote} {'received' if paid < 0 else 'paid'}"
        rows.append(Row("funding", words + (", partly assumed" if assumed else ""), "warn" if assumed else ""))
    if any("funding not charged" in one.rule for one in facts.manifest.assumptions):
        rows.append(Row("funding", "not charged" + (" everywhere: see the assumptions in the manifest" if charged else ""), "warn"))
    return Section("Costs", tuple(rows))


def _where(facts: RunFacts) -> Section:
    timings = facts.manifest.timings
    took_s = timings.load_s + timings.run_s
    rate = f", {facts.manifest.counts.candles / took_s:,.0f} candles/s" if took_s > 0 else ""
    rows = [
        Row("digest", facts.manifest.digest[:_SHORT]),
        Row("took", f"{took_s + timings.report_s:.1f} s{rate}"),
    ]
    if facts.path is not None:
        rows.insert(0, Row("directory", str(facts.path)))
        if facts.manifest.status == "complete":
            rows.append(Row("check", f"bt verify {facts.path}"))
    return Section("Written", tuple(rows))


def _strategy_text(name: str, params: Mapping[str, Any]) -> str:
    """`file.py:Class(fast=10)`: a file is shown without its directory."""
    short = name.rpartition("/")[2] if ".py" in name else name
    return f"{short}({', '.join(f'{key}={_param(value)}' for key, value in params.items() if value != [])})"


def _param(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _percent(fraction: float | None, *, sign: bool = False) -> str:
    return "-" if fraction is None else f"{fraction:+.2%}" if sign else f"{fraction:.2%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _share(amount: float, start: float) -> str:
    return f", {amount / start:.2%} of the starting equity" if start > 0 else ""


def _bps(value: Decimal) -> str:
    return format(value, "f")


def _wrapped(text: str, width: int) -> list[str]:
    from textwrap import wrap

    return wrap(text, max(width, 20), break_on_hyphens=False, break_long_words=False) or [""]


def _plain_width(stream: TextIO) -> int:
    return min(shutil.get_terminal_size().columns, _WIDTH_MAX) if stream.isatty() else _WIDTH_MAX


_STYLES = {"good": "green", "bad": "red", "warn": "yellow", "": ""}


def _print_rich(sections: Sequence[Section], stream: TextIO) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(file=stream, width=min(shutil.get_terminal_size().columns, _WIDTH_MAX), highlight=False)
    label_width = max(len(row.label) for section in sections for row in section.rows)
    for section in sections:
        table = Table.grid(padding=(0, 2))
        table.add_column(min_width=label_width + 2, no_wrap=True, style="dim")
        table.add_column(overflow="fold")
        for row in section.rows:
            style = _STYLES[row.tone]
            table.add_row(f"  {_escaped(row.label)}", f"[{style}]{_escaped(row.value)}[/]" if style else _escaped(row.value))
        console.print(f"[bold]{_escaped(section.title)}[/]")
        console.print(table)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
