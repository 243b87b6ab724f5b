"""The page: one file with its style, its data, plotly's script and our own; it asks the network for nothing."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import Any

from backtester.domain.money import amount_text
from backtester.report.candle_series import SYMBOLS_MAX
from backtester.report.curves import rolling_sharpe, thinning
from backtester.report.html import sections
from backtester.report.html.candle_chart import FILLS_MAX, symbol_data
from backtester.report.html.charts import (
    Chart,
    costs_chart,
    distribution_chart,
    equity_chart,
    excursion_chart,
    nominal_chart,
    position_chart,
    sharpe_chart,
)
from backtester.report.html.packing import as_script
from backtester.report.html.tables import percent
from backtester.report.report_data import ReportData, cost_steps

_SPANS = (("1 day", 86_400_000), ("1 week", 604_800_000), ("1 month", 2_592_000_000), ("All", 0))
_SYMBOLS_NAMED = 4
_LEGEND = (
    ("\u25b2", "gain", "long entry"),
    ("\u25bd", "gain", "long exit"),
    ("\u25bc", "loss", "short entry"),
    ("\u25b3", "loss", "short exit"),
    ("\u22ef", "", "trade, from entry to exit"),
    ("\u2500", "loss", "stop"),
    ("\u2500", "gain", "take-profit"),
)


def render(data: ReportData) -> str:
    """The report of a run as one HTML document, a function of the run's directory and its candles."""
    from plotly.offline import get_plotlyjs

    charts: list[Chart] = []
    body = "".join(_section(name, title, text) for name, title, text in _sections(data, charts) if text)
    market = _market(data)
    drawn = [{"name": one.name, "traces": one.traces, "layout": one.layout, "height": one.height} for one in charts]
    own = files("backtester.report.html")
    manifest = data.run.manifest
    more = " and more" if len(manifest.symbols) > _SYMBOLS_NAMED else ""
    names = ", ".join(sections.short_name(one.name) for one in manifest.strategies) or manifest.strategy
    what = f"{names} on {', '.join(manifest.symbols[:_SYMBOLS_NAMED])}{more}"
    notices = "".join(f'<p class="notice" role="note">{escape(text)}</p>' for text in sections.notices(data))
    links = "".join(f'<a href="#{name}">{escape(title)}</a>' for name, title, text in _sections(data, []) if text)
    title = escape(f"Run {manifest.run_id}: {what}" + (" (synthetic sample)" if data.run.is_synthetic else ""))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f'<meta name="generator" content="backtester"><link rel="icon" href="data:,"><title>{title}</title>\n'
        f"<style>\n{own.joinpath('style.css').read_text(encoding='utf-8')}</style></head>\n<body>"
        f"<header><h1>Run {escape(manifest.run_id)}</h1>"
        f"<p>{escape(what)}, {escape(manifest.start[:10])} to {escape(manifest.end[:10])} UTC, {escape(_place(data))}</p>{notices}"
        f'<nav aria-label="Sections">{links}</nav></header>\n<main>{sections.tiles(data)}{body}</main>\n'
        f"<footer><p>All times are UTC. Amounts are in {escape(data.market.quote)} unless a unit says otherwise. Every value "
        "comes from the run's directory; candles come from its catalog as it is now.</p></footer>\n"
        f'<script type="application/json" id="charts-data">{as_script(drawn)}</script>\n'
        f'<script type="application/json" id="market-data">{as_script(market)}</script>\n'
        f"<script>{get_plotlyjs()}</script>\n"
        f"<script>\n{own.joinpath('page.js').read_text(encoding='utf-8')}</script>\n</body></html>\n"
    )


def _place(data: ReportData) -> str:
    manifest = data.run.manifest
    return "synthetic sample" if data.run.is_synthetic else f"{manifest.exchange} {manifest.market}".strip() or "several markets"


def _sections(data: ReportData, charts: list[Chart]) -> list[tuple[str, str, str]]:
    """(name, title, content) in order; charts are added to `charts` as they are placed."""
    run = data.run
    refused = sections.refusals(data)
    return [
        ("result", "Equity", _equity(data, charts)),
        ("market", "Candles and trades", _market_figure(data)),
        ("position", "Positions", _position(data, charts)),
        ("costs", "Profit and costs", _costs(data, charts)),
        ("months", "Months", sections.months(data) if run.metrics is not None else ""),
        ("trades", "Trades", _trades(data, charts)),
        ("symbols", "Symbols", sections.symbols(data) if run.metrics is not None else ""),
        ("trust", "Trust", sections.trust(data)),
        ("assumptions", "Assumptions", sections.assumptions(run.manifest)),
        ("data", "Data gaps", sections.gaps(data)),
        ("refusals", "Refused orders", refused),
        ("identity", "Identity", _identity(data)),
    ]


def _section(name: str, title: str, content: str) -> str:
    return f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{escape(title)}</h2>{content}</section>\n'


def _figure(chart: Chart, charts: list[Chart]) -> str:
    charts.append(chart)
    return (
        f"<figure><figcaption>{escape(chart.title)}</figcaption><p>{escape(chart.note)}</p>"
        f'<div class="chart" id="chart-{chart.name}" role="img" aria-label="{escape(chart.label)}" '
        f'style="min-height:{min(chart.height, 360)}px"></div></figure>'
    )


def _equity(data: ReportData, charts: list[Chart]) -> str:
    if not len(data.drawn.time_ms):
        return "<p>The run left no equity curve: it did not come to its first signal, or not to its end.</p>"
    metrics = data.run.metrics or {}
    first, last, quote = data.market.start_equity, float(data.drawn.equity[-1]), data.market.quote
    label = f"Equity from {amount_text(first, quote)} to {amount_text(last, quote)} {quote}; "
    label += f"maximum drawdown {percent(metrics.get('max_drawdown'))}."
    text = _figure(equity_chart(data.drawn, quote=data.market.quote, label=label), charts)
    rolling = rolling_sharpe(*data.daily) if len(data.daily[0]) else None
    if rolling is not None:
        text += _figure(sharpe_chart(rolling), charts)
    else:
        text += '<p class="muted">A rolling Sharpe ratio needs 28 daily returns and positive equity; this run has fewer.</p>'
    return text + (sections.all_figures(metrics) if metrics else "")


def _market_figure(data: ReportData) -> str:
    if not data.held and not data.candles:
        return f"<p>Nothing was traded. {escape(data.market.note)}</p>"
    symbols = _drawn_symbols(data)
    options = "".join(f"<option>{escape(symbol)}</option>" for symbol in symbols)
    choice = f'<label for="market-symbol">Symbol</label><select id="market-symbol">{options}</select>' if len(symbols) > 1 else ""
    span_ms = data.end_ms - data.start_ms
    spans = "".join(
        f'<button type="button" data-span="{length}" aria-pressed="{str(not length).lower()}">{text}</button>'
        for text, length in _SPANS
        if length < span_ms
    )
    moves = "".join(
        f'<button type="button" data-step="{step}" aria-label="{label}">{sign}</button>'
        for step, label, sign in ((-1, "Earlier", "\u25c0"), (1, "Later", "\u25b6"))
    )
    legend = "".join(
        f'<li><span class="{tone}" aria-hidden="true">{sign}</span> {escape(text)}</li>' for sign, tone, text in _LEGEND
    )
    left = len(data.held) - sum(symbol in data.held for symbol in symbols)
    notes = [data.market.note] if data.market.note else []
    notes += [f"The {len(symbols)} symbols that traded most are drawn; {left} others are in the tables."] if left > 0 else []
    said = "".join(f"<p>{escape(note)}</p>" for note in notes)
    label = f"Candles of {', '.join(symbols[:4])} with the run's entries, exits and stops; the tables below give the figures."
    return (
        f'{said}<figure><figcaption>Prices, entries, exits and stops</figcaption><p id="market-said" aria-live="polite"></p>'
        f'<div class="controls">{choice}{spans}{moves}</div>'
        f'<ul class="legend">{legend}</ul><div class="chart" id="chart-market" role="img" aria-label="{escape(label)}" '
        'style="min-height:360px"></div></figure>'
    )


def _drawn_symbols(data: ReportData) -> list[str]:
    return list(data.candles) or list(data.held)[:SYMBOLS_MAX]


def _market(data: ReportData) -> dict[str, Any]:
    """The data of the candle chart."""
    run = data.run
    empty: dict[str, Any] = {"symbols": [], "data": {}}
    if not (data.held or data.candles):
        return empty
    import polars as pl

    symbols = _drawn_symbols(data)
    every = thinning(len(run.fills), FILLS_MAX)
    found = {
        symbol: symbol_data(
            data.candles.get(symbol),
            fills=run.fills.filter(pl.col("symbol") == symbol),
            held=data.held.get(symbol),
            trades=run.trades.filter(pl.col("symbol") == symbol),
            stops=[*(stop for stop in run.journal.stops if stop.symbol == symbol), *data.trails.get(symbol, ())],
            every=every,
            start_ms=data.start_ms,
            end_ms=data.end_ms,
        )
        for symbol in symbols
    }
    times = {"start_ms": data.start_ms, "end_ms": max(data.end_ms, data.start_ms + 60_000)}
    return {"symbols": symbols, "quote": data.market.quote, **times, "data": found}


def _position(data: ReportData, charts: list[Chart]) -> str:
    if not data.held:
        return "<p>Nothing was held.</p>"
    if not len(data.drawn.time_ms):
        return "<p>The run left no equity curve, so its exposure is not known.</p>"
    chart = position_chart(data.held, data.drawn, data.exposure_percent, quote=data.market.quote, end_ms=data.end_ms)
    return _figure(chart, charts)


def _costs(data: ReportData, charts: list[Chart]) -> str:
    steps = cost_steps(data)
    if not steps:
        return ""
    if not any(value for _, value, _ in steps):
        return "<p>Nothing was earned, and nothing paid.</p>"
    figure = _figure(costs_chart(steps, quote=data.market.quote), charts)
    return f'<div class="pair">{figure}<div>{sections.costs_table(data, steps)}</div></div>'


def _trades(data: ReportData, charts: list[Chart]) -> str:
    closed = data.closed
    if closed is None:
        return "<p>No trade was closed.</p>"
    nominal = _figure(nominal_chart(closed.ended_ms, closed.percents), charts)
    figures = [_figure(distribution_chart(closed.percents), charts)]
    if closed.mae is not None and closed.mfe is not None:
        figures.append(_figure(excursion_chart(closed.mae, closed.mfe, closed.percents, closed.symbols), charts))
        return f'{nominal}<div class="pair">{"".join(figures)}</div>'
    return f'{nominal}{figures[0]}<p class="muted">Excursions need the candles of the run. {escape(data.market.note)}</p>'


def _identity(data: ReportData) -> str:
    parts = [
        f'<h3>{escape(what)}</h3><div class="command"><pre id="command-{index}">{escape(command)}</pre>'
        f'<button type="button" data-copy="command-{index}">Copy</button></div>'
        for index, (what, command) in enumerate(sections.commands(data))
    ]
    if not parts:
        given = escape(", ".join(data.run.manifest.handed_over))
        parts.append(f"<p>This run cannot be repeated from its directory: {given} came from Python and are not stored.</p>")
    return "".join(parts) + sections.identity(data)
