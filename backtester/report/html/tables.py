"""Tables of a report: every cell is escaped text, every header names its unit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from backtester.domain.money import amount_text

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_GRID_FROM = 13
"""Months from which on a table by year reads better than one row each."""
_STRONG_FRAC = 0.10
"""A monthly return of this size has the full colour."""


class Cell(NamedTuple):
    """A cell: text, and `tone` gain, loss or empty; `shade` 0 to 100 colours its ground."""

    text: str
    tone: str = ""
    shade: int = 0


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[str | Cell]], *, words: int = 1) -> str:
    """A table that scrolls sideways where it is too wide; the first `words` columns are words, the rest numbers."""
    head = "".join(f'<th scope="col"{_class(index, words)}>{escape(name)}</th>' for index, name in enumerate(header))
    body = "".join(f"<tr>{''.join(_cell(cell, index, words) for index, cell in enumerate(row))}</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def facts(caption: str, rows: Iterable[tuple[str, str]]) -> str:
    """A table of names and what they are."""
    body = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in rows)
    return f'<table class="facts"><caption>{escape(caption)}</caption><tbody>{body}</tbody></table>'


def listed(texts: Iterable[str]) -> str:
    """A list of sentences."""
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>"


def percent(fraction: float | None, *, sign: bool = False) -> str:
    """A fraction as percent, `-` where it is undefined."""
    return "-" if fraction is None else f"{fraction:+.2%}" if sign else f"{fraction:.2%}"


def amount(value: float | None, *, sign: bool = False, quote: str = "") -> str:
    """An amount with two decimals, or as many as are usual of `quote`; `-` where it is undefined."""
    return "-" if value is None else amount_text(value, quote, sign=sign)


def months_table(by_month: Mapping[str, Mapping[str, Any]], *, quote: str) -> str:
    """Return, trades and profit of each month; over a year and more, returns only, a row each year."""
    if len(by_month) >= _GRID_FROM:
        return _months_grid(by_month)
    header = ("month (UTC)", "return, %", "closed trades", "win rate, %", f"net of trades, {quote}", f"fees, {quote}")
    rows = [
        (
            month,
            _return_cell(found.get("total_return")),
            f"{found['trades']:,}",
            percent(found["win_rate"]),
            _signed(found["net_pnl"]),
            amount(found["fees"]),
        )
        for month, found in by_month.items()
    ]
    return table("Months: change of equity, and the trades that were closed", header, rows)


def _months_grid(by_month: Mapping[str, Mapping[str, Any]]) -> str:
    years = sorted({month[:4] for month in by_month})
    rows: list[tuple[str | Cell, ...]] = []
    for year in years:
        found = [by_month.get(f"{year}-{number:02d}", {}).get("total_return") for number in range(1, 13)]
        known = [value for value in found if value is not None]
        product = 1.0
        for value in known:
            product *= 1.0 + value
        rows.append((year, *(_return_cell(value) for value in found), _return_cell(product - 1.0 if known else None)))
    return table("Months: change of equity, %", ("year", *_MONTHS, "year, %"), rows)


def groups_table(caption: str, first: str, groups: Mapping[str, Mapping[str, Any]], *, quote: str) -> str:
    """The figures of the trades of each group, best first."""
    header = (
        first,
        "closed trades",
        f"net, {quote}",
        f"gross, {quote}",
        f"fees, {quote}",
        "win rate, %",
        "profit factor",
        f"mean net, {quote}",
        "mean net, % of entry",
        "mean holding, h",
    )
    ordered = sorted(groups.items(), key=lambda item: (-item[1]["net_pnl"], item[0]))
    rows = [
        (
            name,
            f"{found['trades']:,}",
            _signed(found["net_pnl"]),
            amount(found["gross_pnl"], sign=True),
            amount(found["fees"]),
            percent(found["win_rate"]),
            amount(found["profit_factor"]),
            amount(found["expectancy"], sign=True),
            percent(found["average_pnl_frac"], sign=True),
            amount(found["average_holding_hours"]),
        )
        for name, found in ordered
    ]
    return table(caption, header, rows)


def regimes_table(regimes: Mapping[str, Mapping[str, Any]]) -> str:
    """The run's and the benchmark's returns in each kind of market that there was."""
    header = ("market", "days", "return, %", "mean of a day, %", "benchmark, %")
    rows = [
        (
            name.replace("_", " "),
            f"{found['days']:,}",
            _return_cell(found["total_return"]),
            percent(found["average_return"], sign=True),
            percent(found["benchmark_return"], sign=True),
        )
        for name, found in regimes.items()
        if found["days"]
    ]
    return table("Kinds of market, by the 30 days before each day", header, rows) if rows else ""


def _return_cell(fraction: float | None) -> Cell:
    if fraction is None:
        return Cell("-")
    strength = min(abs(fraction) / _STRONG_FRAC, 1.0)
    return Cell(percent(fraction, sign=True), _tone(fraction), round(8 + 37 * strength) if fraction else 0)


def _signed(value: float | None) -> Cell:
    return Cell(amount(value, sign=True), _tone(value or 0.0))


def _tone(value: float) -> str:
    return "gain" if value > 0 else "loss" if value < 0 else ""


def _class(index: int, words: int) -> str:
    return ' class="word"' if index < words else ""


def _cell(cell: str | Cell, index: int, words: int) -> str:
    text, tone, shade = cell if isinstance(cell, Cell) else (cell, "", 0)
    if index == 0:
        return f'<th scope="row" class="word">{escape(text)}</th>'
    names = " ".join(name for name in ("word" if index < words else "", tone, "shaded" if shade else "") if name)
    style = f' style="--shade:{shade}%"' if shade else ""
    return f"<td{f' class={chr(34)}{names}{chr(34)}' if names else ''}{style}>{escape(text)}</td>"
