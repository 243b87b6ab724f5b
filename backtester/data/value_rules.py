"""Rules that a row keeps or breaks by itself: its numbers, its times, its volumes. Whole columns at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from backtester.data.findings import Policy, Rule
from backtester.data.judged_rows import BoolColumn, FloatColumn, JudgedRows
from backtester.data.kinds import Kind, VolumeUnit
from backtester.domain.timeframe import bucket_offset_ms

PLAUSIBLE_FACTOR = 2.0
"""Quote volume over volume lies between low and high; beyond them by this factor it is no rounding, but another unit."""
_ROUNDING_QUOTE = 1e-5
"""Quote volumes are rounded to 8 places at the worst; below this they say nothing about a unit."""
_OHLC = ("open", "high", "low", "close")
_BARS: Mapping[str, tuple[tuple[str, str, str, str], ...]] = {
    "candles": (_OHLC,),
    "mark": (_OHLC,),
    "index": (_OHLC,),
    "premium": (_OHLC,),
    "option_summary": (_OHLC,),
    "quote_candles": (("bid_open", "bid_high", "bid_low", "bid_close"), ("ask_open", "ask_high", "ask_low", "ask_close")),
}
"""Open, high, low and close of the kinds that have them."""
_QUOTES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "quotes": (("bid", "ask"),),
    "quote_candles": (("bid_open", "ask_open"), ("bid_close", "ask_close")),
    "option_summary": (("bid", "ask"),),
}
_PRICES = frozenset(
    {*_OHLC, "price", "bid", "ask", "mark_price", "value", *(name for group in _BARS["quote_candles"] for name in group)}
)


def prices_of(kind: Kind) -> tuple[str, ...]:
    """Columns that must be above 0. Options may have none traded or quoted, which stands as 0."""
    if kind.name == "option_summary":
        return ()
    return tuple(column.name for column in kind.columns if column.name in _PRICES and column.name not in kind.signed)


def amounts_of(kind: Kind) -> tuple[str, ...]:
    """Number columns that may be 0, not less."""
    prices = (*prices_of(kind), *kind.signed)
    return tuple(column.name for column in kind.columns if column.type == "float64" and column.name not in prices)


def judge_values(rows: JudgedRows) -> None:
    """Every row has prices above 0, a high and a low that hold open and close, no negative volume, as the policies want it."""
    _judge_signs(rows)
    _judge_high_low(rows)
    _judge_quotes(rows)


def judge_bars(rows: JudgedRows) -> None:
    """Bars start on their grid, end where they say, have volumes in the stated unit, and are not just fillers."""
    if rows.kind.periodic:
        _judge_grid(rows)
        _judge_close_times(rows)
    if rows.kind.name == "candles":
        _judge_volumes(rows)
        _judge_flat(rows)


def _shown(rows: JudgedRows, index: int) -> str:
    """The row's values, as many as a message holds."""
    values = {name: rows.table.column(name)[index].as_py() for name in rows.kind.names[1:7]}
    return ", ".join(f"{name} {value!r}" for name, value in values.items() if value is not None)


def _breaks(rows: JudgedRows, index: int, law: str) -> str:
    return f"{rows.when(index)}breaks the rule '{law}': {_shown(rows, index)}"


def _judge_signs(rows: JudgedRows) -> None:
    """Prices are above 0, amounts not below; a missing optional value is neither."""
    low = np.zeros(len(rows), np.bool_)
    for name in prices_of(rows.kind):
        low |= rows.floats(name) <= 0
    rows.judge(Rule.NEGATIVE_PRICE, low, lambda index: _breaks(rows, index, "prices > 0"))
    names = amounts_of(rows.kind)
    negative = np.zeros(len(rows), np.bool_)
    for name in names:
        if not rows.is_empty(name):
            negative |= rows.floats(name) < 0

    def law(index: int) -> str:
        broken = next(name for name in names if rows.floats(name)[index] < 0)
        return _breaks(rows, index, f"{broken} >= 0")

    rows.judge(Rule.NEGATIVE_VOLUME, negative, law)


def _judge_high_low(rows: JudgedRows) -> None:
    """High is the highest of a bar's four prices and low the lowest."""
    groups = _BARS.get(rows.kind.name, ())
    broken = np.zeros(len(rows), np.bool_)
    for group in groups:
        open_, high, low, close = (rows.floats(name) for name in group)
        broken |= (high < low) | (high < open_) | (high < close) | (low > open_) | (low > close)

    def law(index: int) -> str:
        for group in groups:
            open_, high, low, close = (float(rows.floats(name)[index]) for name in group)
            if high < low:
                return _breaks(rows, index, "high >= low")
            if high < max(open_, close):
                return _breaks(rows, index, "high >= open and close")
        return _breaks(rows, index, "low <= open and close")

    if rows.judge(Rule.HIGH_LOW, broken, law) is Policy.FIX:
        for group in groups:
            prices = [rows.floats(name) for name in group]
            rows.replace(group[1], np.fmax.reduce(prices))
            rows.replace(group[2], np.fmin.reduce(prices))


def _judge_quotes(rows: JudgedRows) -> None:
    """No bid is above the ask of its moment; 0 is no quote."""
    crossed = np.zeros(len(rows), np.bool_)
    for bid_name, ask_name in _QUOTES.get(rows.kind.name, ()):
        bid, ask = rows.floats(bid_name), rows.floats(ask_name)
        crossed |= (bid > ask) & (ask > 0)
    rows.judge(Rule.CROSSED_QUOTE, crossed, lambda index: _breaks(rows, index, "bid <= ask"))


def _judge_grid(rows: JudgedRows) -> None:
    """Times are multiples of the timeframe (weeks begin on Monday)."""
    length_ms = rows.series.length_ms
    start_ms = rows.times()
    off_grid = (start_ms - bucket_offset_ms(length_ms)) % length_ms != 0
    rows.judge(
        Rule.OFF_GRID,
        off_grid,
        lambda index: f"starts at {rows.moment(int(start_ms[index]))} UTC, where no bar of {rows.series.timeframe} starts",
    )


def _judge_close_times(rows: JudgedRows) -> None:
    """A stated close is the last millisecond of the bar; one that was cut by an outage closes earlier."""
    stated = rows.stated("end_ms")
    if stated is None:
        return
    end_ms, known = stated
    start_ms = rows.times()
    broken: BoolColumn = known & (end_ms != start_ms + rows.series.length_ms - 1)
    rows.judge(
        Rule.CLOSE_TIME,
        broken,
        lambda index: (
            f"{rows.when(index)}says that it closes at {rows.moment(int(end_ms[index]))}, which is not the end of a bar of "
            f"{rows.series.timeframe}"
        ),
    )


def _judge_volumes(rows: JudgedRows) -> None:
    """Quote volume over volume is a price of the bar where volumes count coins, and 1 where they count the quote."""
    if rows.volume_unit is VolumeUnit.CONTRACTS or rows.is_empty("quote_volume"):
        return
    volume, quote_volume = rows.floats("volume"), rows.floats("quote_volume")
    base = rows.volume_unit is VolumeUnit.BASE
    low: FloatColumn | float = rows.floats("low") if base else 1.0
    high: FloatColumn | float = rows.floats("high") if base else 1.0
    says_something = (volume > 0) & (quote_volume > _ROUNDING_QUOTE) & (volume * low > _ROUNDING_QUOTE)
    far = (quote_volume < volume * low / PLAUSIBLE_FACTOR) | (quote_volume > volume * high * PLAUSIBLE_FACTOR)
    unit = "coins" if base else "the quote"
    rows.judge(
        Rule.IMPLAUSIBLE_VOLUME,
        says_something & far,
        lambda index: (
            f"{rows.when(index)}has volume {float(volume[index])!r} and quote volume {float(quote_volume[index])!r}, whose ratio "
            f"is far from the bar's prices; the volume may not count {unit}"
        ),
    )


def _judge_flat(rows: JudgedRows) -> None:
    """Of contracts, a bar at one price without volume is how an exchange fills an outage, or a minute without a trade."""
    if rows.series.market not in {"linear", "inverse"}:
        return
    open_, close = rows.floats("open"), rows.floats("close")
    flat = (rows.floats("volume") == 0) & (open_ == close) & (rows.floats("high") == open_) & (rows.floats("low") == open_)

    def tell(index: int) -> str:
        found = np.flatnonzero(flat)
        edges = np.flatnonzero(np.diff(found) > 1) + 1
        runs = np.split(found, edges)
        longest = max(runs, key=len)
        start_ms = rows.times()
        first, last = int(start_ms[longest[0]]), int(start_ms[longest[-1]]) + rows.series.length_ms
        return (
            f"{rows.when(index)}has one price and no volume: an outage, or nobody traded; {len(runs):,} such "
            f"{'run' if len(runs) == 1 else 'runs'}, the longest from {rows.moment(first)} to {rows.moment(last)} UTC"
        )

    rows.judge(Rule.FLAT_BAR, flat, tell)
