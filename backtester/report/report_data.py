"""Everything a report draws, worked out once for the page and for the pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from backtester.domain.timeframe import parse_time_ms, timeframe_ms
from backtester.report.candle_series import SYMBOLS_MAX, Bars, Candles, Excursions, candles_each, coarser, excursions
from backtester.report.curves import EquityDrawn, Floats, Ints, daily_equity, drawn_equity, last_rows
from backtester.report.positions import Held, held_by_symbol
from backtester.report.recorded_run import RecordedRun

if TYPE_CHECKING:
    import polars as pl


class GapLine(NamedTuple):
    """A stretch [from_ms, to_ms) of `bars` bars of one symbol that are missing, or flat and without volume (`what` says which)."""

    symbol: str
    what: str
    from_ms: int
    to_ms: int
    bars: int


class Market(NamedTuple):
    """What is still there of a run's market: `bars_of` reads a symbol's candles (None where they are gone, `note` says why).

    `gaps` are the first of each symbol, in order of time.
    """

    quote: str
    start_equity: float
    bars_of: Callable[[str], Bars] | None
    note: str
    gaps: Sequence[GapLine] = ()


class ClosedTrades(NamedTuple):
    """Closed trades with what is drawn of them; `found` is None where candles are missing. Percent of the value entered."""

    symbols: list[str]
    percents: Floats
    found: Excursions | None


class ReportData(NamedTuple):
    """A run and what is drawn of it. `drawn`, `held`, `candles` are empty where the run left nothing to draw."""

    run: RecordedRun
    market: Market
    start_ms: int
    end_ms: int
    drawn: EquityDrawn
    exposure_percent: Floats
    daily: tuple[Ints, Floats]
    held: Mapping[str, Held]
    candles: Mapping[str, Candles]
    closed: ClosedTrades | None


def cost_steps(data: ReportData) -> list[tuple[str, float, bool]]:
    """From profit at reference prices to the change of equity: name, amount in quote, whether it is a total."""
    metrics = data.run.metrics
    if metrics is None:
        return []
    summary = data.run.summary(data.market.start_equity)
    net = summary["end_equity"] - summary["start_equity"]
    fees, funding, slippage = metrics["fees"], metrics.get("funding", 0.0), metrics.get("slippage", 0.0)
    return [
        ("before costs", net + fees + funding + slippage, True),
        ("slippage", 0.0 - slippage, False),
        ("fees", 0.0 - fees, False),
        ("funding", 0.0 - funding, False),
        ("net", net, True),
    ]


def report_data(run: RecordedRun, market: Market) -> ReportData:
    """What the report of `run` draws; each symbol's candles are read once."""
    start_ms, end_ms = parse_time_ms(run.manifest.start), parse_time_ms(run.manifest.end)
    drawn, exposure_percent, daily = _equity(run, start_ms, market.start_equity)
    if run.manifest.status != "complete":
        last_ms = int(drawn.time_ms[-1]) if len(drawn.time_ms) else run.journal.last_ms
        end_ms = last_ms if last_ms > start_ms else end_ms
    held = held_by_symbol(run.fills) if len(run.fills) else {}
    candles: dict[str, Candles] = {}
    parts: list[tuple[pl.DataFrame, Excursions | None]] = []
    length_ms = timeframe_ms(run.manifest.execution_timeframe)
    symbols = [*held, *(symbol for symbol in run.manifest.symbols if symbol not in held)]
    points_max = candles_each(min(len(symbols), SYMBOLS_MAX))
    for index, symbol in enumerate(symbols):
        is_drawn = index < SYMBOLS_MAX
        bars = market.bars_of(symbol) if market.bars_of is not None and (is_drawn or symbol in held) else None
        if bars is not None and is_drawn and len(bars.start_ms):
            candles[symbol] = coarser(bars, length_ms=length_ms, points_max=points_max)
        closed = _closed_of(run, symbol)
        if len(closed):
            parts.append((closed, None if bars is None else _excursions(closed, bars, run, length_ms)))
    return ReportData(run, market, start_ms, end_ms, drawn, exposure_percent, daily, held, candles, _joined(parts))


def _equity(run: RecordedRun, start_ms: int, start_equity: float) -> tuple[EquityDrawn, Floats, tuple[Ints, Floats]]:
    if run.equity is None:
        never, none = np.empty(0, np.int64), np.empty(0)
        return drawn_equity(never, none, none, none, start_equity=start_equity), none, (never, none)
    frame = run.equity
    time_ms, equity = frame["time_ms"].to_numpy(), frame["equity"].to_numpy()
    lowest, highest = frame["equity_min"].to_numpy(), frame["equity_max"].to_numpy()
    drawn = drawn_equity(time_ms, equity, lowest, highest, start_equity=start_equity)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(equity > 0, frame["exposure"].to_numpy() / equity * 100, 0.0)
    if len(share):
        starts = np.concatenate(([0], last_rows(len(share))[:-1] + 1))
        share = np.maximum.reduceat(share, starts)
    return drawn, share, daily_equity(time_ms, equity, start_ms=start_ms, start_equity=start_equity)


def _closed_of(run: RecordedRun, symbol: str) -> pl.DataFrame:
    import polars as pl

    return run.trades.filter((pl.col("symbol") == symbol) & ~pl.col("is_open")).sort("entry_time_ms", maintain_order=True)


def _excursions(closed: pl.DataFrame, bars: Bars, run: RecordedRun, length_ms: int) -> Excursions:
    entry_ms = closed["entry_time_ms"].to_numpy()
    return excursions(
        bars,
        length_ms=length_ms,
        entry_ms=entry_ms,
        exit_ms=closed["exit_time_ms"].to_numpy(),
        entry_price=closed["entry_price"].to_numpy(),
        exit_price=closed["exit_price"].to_numpy(),
        is_long=(closed["side"] == "buy").to_numpy(),
        entered_inside=np.isin(entry_ms, _bar_fill_times(run, closed["symbol"][0])),
    )


def _bar_fill_times(run: RecordedRun, symbol: str) -> Ints:
    """When orders of `symbol` filled inside a bar."""
    import polars as pl

    return run.fills.filter((pl.col("symbol") == symbol) & pl.col("bar_fill"))["time_ms"].to_numpy()


def _joined(parts: Sequence[tuple[pl.DataFrame, Excursions | None]]) -> ClosedTrades | None:
    if not parts:
        return None
    symbols = [symbol for frame, _ in parts for symbol in frame["symbol"].to_list()]
    percents = np.concatenate([frame["pnl_frac"].to_numpy() for frame, _ in parts]) * 100
    found = [one for _, one in parts if one is not None]
    if len(found) < len(parts):
        return ClosedTrades(symbols, percents, None)
    mae, mfe = (np.concatenate([one[side] for one in found]) for side in (0, 1))
    return ClosedTrades(symbols, percents, Excursions(mae, mfe))
