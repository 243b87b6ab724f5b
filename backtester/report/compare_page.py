"""The comparison of runs as one html file that opens offline: plotly's script, style and data stand in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from backtester.report.comparison import Comparison

_STYLE = """
:root { color-scheme: light dark; --text: #1c2126; --dim: #66707a; --line: #d9dee3; --back: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e8ec; --dim: #98a2ac; --line: #343b42; --back: #14181c; } }
body { margin: 0 auto; max-width: 1100px; padding: 1.2rem; font: 15px/1.5 system-ui, sans-serif; color: var(--text);
  background: var(--back); }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.wide { overflow-x: auto; } #chart { height: 420px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; color: var(--dim); font-weight: normal; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; } .dim { color: var(--dim); }
"""
_SCRIPT = """
const curves = JSON.parse(document.getElementById("curves").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
function draw() {
  const style = getComputedStyle(document.documentElement), text = style.getPropertyValue("--text"),
    line = style.getPropertyValue("--line");
  const colours = dark.matches ? ["#6cb2ff", "#ffb454", "#7ee0a1", "#ff8fa3", "#c9a6ff", "#e6e07a"]
    : ["#1763b5", "#c2620a", "#19824a", "#b8254a", "#6d3fc0", "#7a7300"];
  const traces = curves.map((curve, index) => ({type: "scatter", mode: "lines", name: curve.name,
    x: curve.time_ms.map(ms => new Date(ms).toISOString().slice(0, 19)), y: curve.percent,
    line: {width: 1.6, color: colours[index % colours.length]},
    hovertemplate: "%{y:.2f} %<br>%{x|%Y-%m-%d %H:%M} UTC"}));
  Plotly.react("chart", traces, {margin: {l: 56, r: 12, t: 8, b: 40}, paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    modebar: {bgcolor: "rgba(0,0,0,0)"}, font: {color: text, size: 12}, xaxis: {gridcolor: line, type: "date"},
    yaxis: {gridcolor: line, ticksuffix: " %"}, legend: {orientation: "h", y: 1.12}, hovermode: "x unified"},
    {responsive: true, displaylogo: false});
}
draw(); dark.addEventListener("change", draw);
"""


def compare_page(compared: Comparison, *, settings: Sequence[Sequence[str]], figures: Sequence[Sequence[str]], told: str) -> str:
    """The page's text. `settings` and `figures` are rows of cells, the first row the heading; `told` what differs first."""
    from plotly.offline import get_plotlyjs

    curves = [
        {"name": name, "time_ms": [time_ms for time_ms, _ in curve], "percent": [round(share, 4) for _, share in curve]}
        for name, curve in zip(compared.names, compared.curves, strict=True)
    ]
    data = json.dumps(curves).replace("</", "<\\/")
    title = f"Comparison of {', '.join(compared.names)}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<style>{_STYLE}</style></head><body>\n<h1>{escape(title)}</h1>\n"
        '<h2>Equity</h2><p class="dim">Percent of the equity at each run\'s start; times are UTC.</p><div id="chart"></div>\n'
        f"<h2>Settings that differ</h2>{_table(settings)}\n<h2>Figures</h2>{_table(figures)}\n"
        f"<h2>What differs first</h2><pre>{escape(told)}</pre>\n"
        f'<script type="application/json" id="curves">{data}</script>\n'
        f"<script>{get_plotlyjs()}</script>\n<script>{_SCRIPT}</script></body></html>\n"
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    if len(rows) < 2:
        return '<p class="dim">None.</p>'
    head, *body = rows
    heading = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in body)
    return f'<div class="wide"><table><tr>{heading}</tr>{lines}</table></div>'
