"""The charts of a report but that of the candles, as data for the script that draws them.

A colour is the name of a property of the style sheet (`var(--gain)`): the page looks it up, in light and in dark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from backtester.domain.money import amount_text, shown_decimals
from backtester.report.curves import EquityDrawn, Floats, Ints, RollingSharpe, histogram, last_rows, peaks_kept
from backtester.report.html.packing import packed
from backtester.report.positions import Held

_SYMBOLS_MAX = 6
"""Positions drawn apart; the rest is one more line."""
_PAIRS_MAX = 2_500
_STEPS_MAX = 1_000
"""Points of the position in one symbol."""
_TIME = {"type": "date", "hoverformat": "%Y-%m-%d %H:%M"}


class Chart(NamedTuple):
    """A chart: `label` says in words what it shows, for who does not see it."""

    name: str
    title: str
    label: str
    note: str
    traces: list[dict[str, Any]]
    layout: dict[str, Any]
    height: int


def equity_chart(drawn: EquityDrawn, *, quote: str, label: str) -> Chart:
    """Equity with the band of its extremes, and drawdown below it on the same time axis."""
    time = packed(drawn.time_ms)
    band: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines",
        "x": time,
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    percent = packed(np.round(drawn.drawdown * 100, 4), "f4")
    traces: list[dict[str, Any]] = [
        {**band, "y": packed(drawn.low)},
        {**band, "y": packed(drawn.high), "fill": "tonexty", "fillcolor": "var(--accent-soft)"},
        {
            "type": "scatter",
            "mode": "lines",
            "x": time,
            "y": packed(drawn.equity),
            "line": {"color": "var(--accent)", "width": 1.6},
            "hovertemplate": f"%{{y:,.{shown_decimals(quote)}f}} {quote}<extra>equity</extra>",
        },
        {
            "type": "scatter",
            "mode": "lines",
            "x": time,
            "y": percent,
            "yaxis": "y2",
            "fill": "tozeroy",
            "fillcolor": "var(--loss-soft)",
            "line": {"color": "var(--loss)", "width": 1},
            "hovertemplate": "%{y:.2f} %<extra>drawdown</extra>",
        },
    ]
    layout: dict[str, Any] = {
        "xaxis": {**_TIME, "anchor": "y2"},
        "yaxis": {"domain": [0.36, 1], "title": {"text": f"equity, {quote}"}, "tickformat": ",.5~r"},
        "yaxis2": {"domain": [0, 0.28], "title": {"text": "drawdown, %"}, "rangemode": "tozero"},
        "hovermode": "x unified",
    }
    note = "The band spans the lowest and the highest equity at the closes of the execution candles between two points."
    return Chart("equity", "Equity and drawdown", label, note, traces, layout, 420)


def position_chart(held: Mapping[str, Held], drawn: EquityDrawn, exposure_percent: Floats, *, quote: str, end_ms: int) -> Chart:
    """Signed positions at their entry value, and below them the gross value of all as a share of equity."""
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": packed(times),
            "y": packed(np.round(values, shown_decimals(quote)), "f4"),
            "line": {"shape": "hv", "width": 1.3, "color": f"var(--series-{index + 1})"},
            "hovertemplate": f"%{{y:,.{shown_decimals(quote)}f}} {quote}<extra>%{{fullData.name}}</extra>",
        }
        for index, (name, times, values) in enumerate(_positions(held, drawn.time_ms, end_ms))
    ]
    traces.append(
        {
            "type": "scatter",
            "mode": "lines",
            "name": "exposure",
            "showlegend": False,
            "x": packed(drawn.time_ms),
            "y": packed(np.round(exposure_percent, 3), "f4"),
            "yaxis": "y2",
            "fill": "tozeroy",
            "fillcolor": "var(--accent-soft)",
            "line": {"color": "var(--accent)", "width": 1},
            "hovertemplate": "%{y:.2f} % of equity<extra>exposure</extra>",
        }
    )
    layout: dict[str, Any] = {
        "xaxis": {**_TIME, "anchor": "y2"},
        "yaxis": {"domain": [0.42, 1], "title": {"text": f"position, {quote}"}, "zeroline": True, "tickformat": ",.5~r"},
        "yaxis2": {"domain": [0, 0.32], "title": {"text": "exposure, %"}, "rangemode": "tozero"},
        "showlegend": len(traces) > 2,
    }
    names = ", ".join(held) if len(held) <= _SYMBOLS_MAX else f"{len(held)} symbols"
    highest = float(exposure_percent.max()) if len(exposure_percent) else 0.0
    label = f"Positions in {names} over time; exposure reached {highest:.1f} percent of equity."
    note = "Above: entry value of what was held, short below zero. Below: gross value of all positions at the last closes."
    return Chart("position", "Position and exposure", label, note, traces, layout, 380)


def _positions(held: Mapping[str, Held], grid_ms: Ints, end_ms: int) -> list[tuple[str, Ints, Floats]]:
    """(name, times, values) of the lines: symbol by symbol, the rest summed at the times of `grid_ms`."""
    names = list(held)
    alone = names if len(names) <= _SYMBOLS_MAX else names[: _SYMBOLS_MAX - 1]
    lines = []
    for name in alone:
        times, values = peaks_kept(held[name].time_ms, held[name].cost, points_max=_STEPS_MAX)
        lines.append((name, np.append(times, max(end_ms, int(times[-1]))), np.append(values, values[-1])))
    if len(alone) < len(names):
        total = np.zeros(len(grid_ms))
        for name in names[len(alone) :]:
            rows = np.searchsorted(held[name].time_ms, grid_ms, side="right") - 1
            total += np.where(rows >= 0, held[name].cost[np.maximum(rows, 0)], 0.0)
        lines.append((f"{len(names) - len(alone)} others", grid_ms, total))
    return lines


def costs_chart(steps: Sequence[tuple[str, float, bool]], *, quote: str) -> Chart:
    """A waterfall of (name, amount, is a total)."""
    trace = {
        "type": "waterfall",
        "x": [name.replace(" ", "<br>") for name, _, _ in steps],
        "y": [round(amount, shown_decimals(quote)) for _, amount, _ in steps],
        "measure": ["absolute" if total else "relative" for _, _, total in steps],
        "text": [amount_text(amount, quote, sign=True) for _, amount, _ in steps],
        "textposition": "outside",
        "constraintext": "none",
        "cliponaxis": False,
        "hovertemplate": f"%{{x}}: %{{text}} {quote}<extra></extra>",
        "increasing": {"marker": {"color": "var(--gain)"}},
        "decreasing": {"marker": {"color": "var(--loss)"}},
        "totals": {"marker": {"color": "var(--accent)"}},
        "connector": {"line": {"color": "var(--line)", "width": 1}},
    }
    layout: dict[str, Any] = {
        "yaxis": {"title": {"text": quote}, "zeroline": True, "tickformat": ",.5~r"},
        "xaxis": {"type": "category", "automargin": True, "tickangle": 0, "fixedrange": True},
        "waterfallgap": 0.35,
    }
    label = "; ".join(f"{name} {amount_text(amount, quote, sign=True)} {quote}" for name, amount, _ in steps)
    note = "From what the price moves earned at reference prices to the change of equity."
    return Chart("costs", "Where the result comes from", label + ".", note, [trace], layout, 330)


def distribution_chart(percents: Floats) -> Chart:
    """How many closed trades ended with which net result, in percent of the value entered."""
    edges, counts = histogram(percents)
    middles, widths = (edges[:-1] + edges[1:]) / 2, np.diff(edges)
    ranges = [f"{low:.2f} to {high:.2f} %" for low, high in zip(edges, edges[1:], strict=False)]
    trace = {
        "type": "bar",
        "x": packed(middles),
        "y": counts.tolist(),
        "width": packed(widths * 0.94),
        "customdata": ranges,
        "marker": {"color": ["var(--gain)" if middle > 0 else "var(--loss)" for middle in middles.tolist()]},
        "hovertemplate": "%{customdata}: %{y} trades<extra></extra>",
    }
    mean, median = float(percents.mean()), float(np.median(percents))
    line: dict[str, Any] = {
        "type": "line",
        "x0": mean,
        "x1": mean,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "line": {"dash": "dot", "width": 1.5},
    }
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": "net result, % of the value entered"}, "zeroline": True},
        "yaxis": {"title": {"text": "trades"}, "rangemode": "tozero"},
        "shapes": [{**line, "line": {"dash": "dot", "width": 1.5, "color": "var(--ink)"}}],
        "bargap": 0,
    }
    label = f"Histogram of {len(percents):,} closed trades: mean {mean:+.2f} percent, median {median:+.2f} percent."
    note = f"Mean {mean:+.2f} % (dotted), median {median:+.2f} %, after fees, of {len(percents):,} closed trades."
    return Chart("distribution", "Distribution of trade results", label, note, [trace], layout, 320)


def nominal_chart(ended_ms: Ints, percents: Floats) -> Chart:
    """What one unit of money in every closed trade, none of it reinvested, has earned so far: independent of sizes."""
    summed = np.cumsum(percents)
    drawn = last_rows(len(summed))
    trace = {
        "type": "scatter",
        "mode": "lines" if len(drawn) > 1 else "markers",
        "x": packed(ended_ms[drawn]),
        "y": packed(np.round(summed[drawn], 4), "f4"),
        "line": {"shape": "hv", "color": "var(--accent)", "width": 1.6},
        "hovertemplate": "%{y:+.2f} % of the nominal<extra></extra>",
    }
    layout: dict[str, Any] = {
        "xaxis": _TIME,
        "yaxis": {"title": {"text": "sum, % of the nominal"}, "zeroline": True, "tickformat": ",.5~r"},
        "hovermode": "x unified",
    }
    label = f"Sum of the net results of {len(percents):,} closed trades at a fixed nominal: {float(summed[-1]):+.2f} percent."
    note = "Net results in percent of the value entered, added up as the trades ended: the same money in each, nothing reinvested."
    return Chart("nominal", "Equity at fixed nominal", label, note, [trace], layout, 280)


def excursion_chart(mae: Floats, mfe: Floats, percents: Floats, symbols: Sequence[str]) -> Chart:
    """Each closed trade by how far it stood below and above its entry, in percent of the value entered."""
    shown = np.arange(len(percents))
    if len(shown) > _PAIRS_MAX:
        shown = np.linspace(0, len(percents) - 1, _PAIRS_MAX).astype(np.intp)
    traces = []
    for name, colour, symbol, chosen in (
        ("won", "var(--gain)", "circle", shown[percents[shown] > 0]),
        ("lost", "var(--loss)", "x-thin-open", shown[percents[shown] <= 0]),
    ):
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": packed(np.round(mae[chosen], 4), "f4"),
                "y": packed(np.round(mfe[chosen], 4), "f4"),
                "customdata": packed(np.round(percents[chosen], 3), "f4"),
                "text": [symbols[row] for row in chosen.tolist()] if len(set(symbols)) > 1 else "",
                "marker": {"color": colour, "size": 6, "symbol": symbol, "opacity": 0.75},
                "hovertemplate": "%{text} MAE %{x:.2f} %, MFE %{y:.2f} %, result %{customdata:.2f} %<extra></extra>",
            }
        )
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": "worst it stood at (MAE), % of entry"}, "zeroline": True},
        "yaxis": {"title": {"text": "best it stood at (MFE), % of entry"}, "zeroline": True},
    }
    drawn = "" if len(shown) == len(percents) else f" {len(shown):,} of {len(percents):,} trades are drawn."
    worst, best = float(mae.min()), float(mfe.max())
    label = f"Scatter of maximum adverse against maximum favourable excursion; deepest {worst:.2f}, highest {best:+.2f} percent."
    note = "The worst and the best that each closed trade stood at, by the execution candles it met, before fees." + drawn
    return Chart("excursions", "Excursions of trades (MAE and MFE)", label, note, traces, layout, 320)


def sharpe_chart(rolling: RollingSharpe) -> Chart:
    """The Sharpe ratio of the last days, over time."""
    trace = {
        "type": "scatter",
        "mode": "lines" if len(rolling.ratio) > 1 else "markers",
        "x": packed(rolling.time_ms),
        "y": [None if np.isnan(value) else round(value, 4) for value in rolling.ratio.tolist()],
        "line": {"color": "var(--accent)", "width": 1.5},
        "hovertemplate": "%{y:.2f}<extra></extra>",
    }
    layout: dict[str, Any] = {"xaxis": _TIME, "yaxis": {"title": {"text": "Sharpe ratio, a year"}, "zeroline": True}}
    label = f"Sharpe ratio over the last {rolling.days} daily returns, at every UTC midnight."
    note = f"{label} Its standard error over so few days is about {(365 / rolling.days) ** 0.5:.1f}: read the sign with care."
    return Chart("sharpe", "Rolling Sharpe ratio", label, note, [trace], layout, 280)
