"""Everything a report draws, worked out once for the page and for the pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from backtester.audit.journal import JOURNAL_NAME, read_journal
from backtester.audit.run_store import faces_of
from backtester.domain.timeframe import parse_time_ms, timeframe_ms
from backtester.report.candle_series import SYMBOLS_MAX, Candles, candles_each, coarser
from backtester.report.currency_shown import last_rates
from backtester.report.curves import EquityDrawn, Floats, Ints, daily_equity, drawn_equity, last_rows
from backtester.report.journal_facts import Stop
from backtester.report.positions import Held, held_by_symbol
from backtester.report.recorded_run import RecordedRun
from backtester.report.trade_facts import Bars, trade_facts
from backtester.report.trail_path import trail_steps


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
    """Closed trades in the order of trades.csv, in percent of the value entered: net result, and the worst (`mae`) and the best
    (`mfe`) that each stood at; None where there are no candles to tell.
    """

    symbols: list[str]
    ended_ms: Ints
    percents: Floats
    mae: Floats | None
    mfe: Floats | None


class ReportData(NamedTuple):
    """A run and what is drawn of it. `drawn`, `held`, `candles` are empty where the run left nothing to draw; `trails` are
    the steps of its trailing stops.
    """

    run: RecordedRun
    market: Market
    start_ms: int
    end_ms: int
    drawn: EquityDrawn
    exposure_percent: Floats
    daily: tuple[Ints, Floats]
    held: Mapping[str, Held]
    trails: Mapping[str, list[Stop]]
    candles: Mapping[str, Candles]
    closed: ClosedTrades | None


def cost_steps(data: ReportData) -> list[tuple[str, float, bool]]:
    """From profit at reference prices to the change of equity: name, amount in quote, whether it is a total."""
    metrics = data.run.metrics
    if metrics is None:
        return []
    summary = data.run.summary(data.market.start_equity)
    net = summary["end_equity"] - summary["start_equity"]
    fees, slippage = metrics["fees"], metrics.get("slippage", 0.0)
    funding, interest = metrics.get("funding", 0.0), metrics.get("interest", 0.0)
    charged = [("interest", 0.0 - interest, False)] if interest else []
    return [
        ("before costs", net + fees + funding + interest + slippage, True),
        ("slippage", 0.0 - slippage, False),
        ("fees", 0.0 - fees, False),
        ("funding", 0.0 - funding, False),
        *charged,
        ("net", net, True),
    ]


def report_data(run: RecordedRun, market: Market) -> ReportData:
    """What the report of `run` draws; each symbol's candles are read once."""
    start_ms, end_ms = parse_time_ms(run.manifest.start), parse_time_ms(run.manifest.end)
    drawn, exposure_percent, daily = _equity(run, start_ms, market.start_equity)
    if run.manifest.status != "complete":
        last_ms = int(drawn.time_ms[-1]) if len(drawn.time_ms) else run.journal.last_ms
        end_ms = last_ms if last_ms > start_ms else end_ms
    contracts = run.manifest.contracts
    coins = run.journal.coins
    quote = run.manifest.quote if run.manifest.currency is None else ""  # with several assets no fee is taken from a coin bought
    held = held_by_symbol(run.fills, quote=quote, contracts=contracts, coins=coins) if len(run.fills) else {}
    rates = last_rates(run.path, run.manifest)
    held = {symbol: one._replace(cost=one.cost * float(rates.get(symbol, 1))) for symbol, one in held.items()} if rates else held
    trails = trail_steps(
        run.journal.trails, bars_of=market.bars_of, length_ms=timeframe_ms(run.manifest.execution_timeframe), end_ms=end_ms
    )
    candles, closed = _candles(run, market, held), _closed(run, market)
    return ReportData(run, market, start_ms, end_ms, drawn, exposure_percent, daily, held, trails, candles, closed)


def _candles(run: RecordedRun, market: Market, held: Mapping[str, Held]) -> dict[str, Candles]:
    """Candles of the symbols that traded most, then of those that did not trade."""
    if market.bars_of is None:
        return {}
    symbols = [*held, *(symbol for symbol in run.manifest.symbols if symbol not in held)][:SYMBOLS_MAX]
    length_ms = timeframe_ms(run.manifest.execution_timeframe)
    read = {symbol: market.bars_of(symbol) for symbol in symbols}
    points_max = candles_each(len(symbols), fills=len(run.fills))
    return {
        symbol: coarser(bars, length_ms=length_ms, points_max=points_max) for symbol, bars in read.items() if len(bars.start_ms)
    }


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


def _closed(run: RecordedRun, market: Market) -> ClosedTrades | None:
    closed = run.trades.filter(~run.trades["is_open"])
    if not len(closed):
        return None
    symbols, percents = closed["symbol"].to_list(), closed["pnl_frac"].to_numpy() * 100
    ended_ms = closed["exit_time_ms"].to_numpy()
    if market.bars_of is None or run.journal.problem:
        return ClosedTrades(symbols, ended_ms, percents, None, None)
    facts = trade_facts(
        read_journal(run.path / JOURNAL_NAME),
        bars_of=market.bars_of,
        length_ms=timeframe_ms(run.manifest.execution_timeframe),
        open_gross={},
        faces=faces_of(run.manifest.contracts),
    )
    over = [one for one in facts if not one.trade.is_open]
    worst, best = (
        np.array([one.worst_bps for one in over], dtype=np.float64),
        np.array([one.best_bps for one in over], dtype=np.float64),
    )
    if len(over) != len(closed):
        return ClosedTrades(symbols, ended_ms, percents, None, None)
    return ClosedTrades(symbols, ended_ms, percents, worst / 100, best / 100)
