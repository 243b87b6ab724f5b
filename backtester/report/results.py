"""The files that a run's journal says: fills, trades, equity, metrics; each a function of journal and candles alone."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TextIO

import msgspec

from backtester.audit.journal import LOG_TOPIC, JournalLine
from backtester.audit.run_store import METRICS_NAME
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import MONEY_ONE
from backtester.domain.run_events import ControlAction
from backtester.engine.ports import MarketDataSource
from backtester.engine.rng import RandomStreams
from backtester.metrics.figures import Figures, RunSeries, figures
from backtester.metrics.trades import TradeResult
from backtester.report.csv_files import FILLS_NAME, TRADES_NAME, TradeCount, write_fills, write_trades
from backtester.report.currency_results import CurrencyStart, CurrencyWatch
from backtester.report.equity import EQUITY_NAME, EquityCurve, write_equity
from backtester.report.fill_book import fills_of
from backtester.report.metrics_file import EquityRows, MarketWatch, trade_result
from backtester.report.trades import trades_of
from backtester.report.waiting_orders import WaitingOrders, with_levels

OpenFile = Callable[[str], AbstractContextManager[TextIO]]
"""Opens the named file for writing; it appears when the block ends (`RunDir.whole_file`, `MemoryFiles.whole_file`)."""


class JournalTally:
    """What was counted while the lines of a journal passed: notes are no events."""

    def __init__(self) -> None:
        self.events = 0
        self.orders = 0
        self.fills = 0
        self.liquidations = 0
        self.refusals_by_reason: dict[str, int] = {}
        self.waiting = WaitingOrders()

    @property
    def refusals(self) -> int:
        """Orders refused by Risk or rejected by the venue."""
        return sum(self.refusals_by_reason.values())

    def watch(self, lines: Iterable[JournalLine]) -> Iterator[JournalLine]:
        """The same lines, counted as they pass."""
        for line in lines:
            self.events += line.topic != LOG_TOPIC
            self.waiting.see(line)
            if line.topic == "fills":
                self.fills += 1
            elif line.topic == "orders.sanitized":
                self.orders += line.raw.startswith(b'{"type":"sanitized_order"')
            elif line.topic == "orders.liquidation" or (line.topic == "control" and _BORROWED_TOO_MUCH in line.raw):
                self.liquidations += 1
            elif line.topic in {"orders.refused", "orders.rejected"}:
                reason = _decode_reason(line.raw).reason
                self.refusals_by_reason[reason] = self.refusals_by_reason.get(reason, 0) + 1
            yield line


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the files, for the manifest, the terminal and `--json`."""

    figures: Figures
    curve: EquityCurve
    trades: TradeCount
    tally: JournalTally

    def summary(self) -> dict[str, object]:
        """Plain values: amounts in quote as floats, fractions, counts, refusals by reason (most frequent first); no groupings."""
        by_reason = sorted(self.tally.refusals_by_reason.items(), key=lambda item: (-item[1], item[0]))
        return {
            "start_equity": self.curve.start_equity / MONEY_ONE,
            "end_equity": self.curve.end_equity / MONEY_ONE,
            **self.figures.scalars(),
            "open_trades": self.trades.still_open,
            "orders": self.tally.orders,
            "fills": self.tally.fills,
            "liquidations": self.tally.liquidations,
            "refusals": self.tally.refusals,
            "refusals_by_reason": dict(by_reason),
        }


class MemoryFiles:
    """The files of a run that is not kept on disk."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    @contextmanager
    def whole_file(self, name: str) -> Iterator[TextIO]:
        """A text that is kept as `name` when the block ends without an error."""
        file = io.StringIO()
        yield file
        self.texts[name] = file.getvalue()


def write_results(
    lines: Iterable[JournalLine],
    *,
    open_file: OpenFile,
    feed: MarketDataSource,
    specs: Mapping[str, SymbolSpec],
    starting_cash: int,
    start_ms: int,
    end_ms: int | None = None,
    currency: CurrencyStart | None = None,
) -> Results:
    """fills.csv, equity.csv, trades.csv and metrics.json are written from the journal's lines and the candles of `feed`.

    `feed` is a fresh one of the same run; `starting_cash` in money units; ticks up to `start_ms` are warm-up, those after
    `end_ms` (the run's last instant, where it ended before its data) are left out. With a `currency` the
    cash is that of its wallets.
    """
    tally = JournalTally()
    with open_file(FILLS_NAME) as file:
        book = write_fills(file, fills_of(tally.watch(lines)), faces={key: spec.face for key, spec in specs.items() if spec.face})
    known: dict[str, Any] = {"specs": specs, "start_ms": start_ms, "end_ms": end_ms}
    together = CurrencyWatch(feed, start=currency, book=book, waiting=tally.waiting, **known) if currency is not None else None
    starting_cash = currency.equity() if currency is not None else starting_cash
    with open_file(EQUITY_NAME) as file:
        rows = EquityRows(file, start_ms=start_ms, starting_cash=starting_cash)
        if together is not None:
            curve = together.write_equity(rows.as_text(), **known)
            watch = together.told(curve)
        else:
            watch = MarketWatch(feed, book=book, waiting=tally.waiting, starting_cash=starting_cash, **known)
            curve = write_equity(rows.as_text(), feed=watch, book=book, starting_cash=starting_cash, **known)
            watch.finish(curve)
    plain = trades_of(book, last_closes=curve.last_closes, openings=book.openings, grown=book.grown)
    found = list(with_levels(plain, tally.waiting, tick_e8=lambda symbol: specs[symbol].tick_e8))
    with open_file(TRADES_NAME) as file:
        trades = write_trades(file, found)
    closed = [trade_result(trade) for trade in found if not trade.is_open]
    fees, funding = (book.fees(), book.funding()) if together is None else (together.fees(curve), together.funding(curve))
    closed = closed if together is None else together.trades(closed, curve)
    paid = (fees, -funding, book.interest)
    computed = _run_figures(curve=curve, watch=watch, rows=rows, trades=closed, paid=paid, seed=tally.waiting.seed)
    with open_file(METRICS_NAME) as file:
        file.write(json.dumps(msgspec.structs.asdict(computed), indent=2, allow_nan=False) + "\n")
    return Results(figures=computed, curve=curve, trades=trades, tally=tally)


def _run_figures(
    *,
    curve: EquityCurve,
    watch: MarketWatch,
    rows: EquityRows,
    trades: Sequence[TradeResult],
    paid: tuple[int, int, int],
    seed: int,
) -> Figures:
    """The figures of a run whose journal, candles and equity have all passed; `paid` are fees, funding and interest."""
    fall, longest_underwater_ms = rows.finish(curve)
    return figures(
        RunSeries(
            start_ms=curve.start_ms,
            end_ms=curve.end_ms,
            start_equity=curve.start_equity,
            end_equity=curve.end_equity,
            daily=curve.daily,
            drawdown=(curve.drawdown_peak, curve.drawdown_low),
            fall=fall,
            longest_underwater_ms=longest_underwater_ms,
            rows_in_position=curve.rows_in_position,
            rows=curve.rows,
            trades=trades,
            fees=paid[0],
            funding=paid[1],
            interest=paid[2],
            slippage=watch.slippage,
            fills_without_reference=watch.without_reference,
            bought=watch.bought,
            sold=watch.sold,
            marks=watch.marks,
            closes=watch.closes(),
            stream=RandomStreams(seed).stream("metrics", "risk_of_ruin"),
        )
    )


class _WithReason(msgspec.Struct):
    """What is needed of a refusal."""

    reason: str


_BORROWED_TOO_MUCH = f'"action":"{ControlAction.BORROW_LIQUIDATION.value}"'.encode()
_decode_reason = msgspec.json.Decoder(_WithReason).decode
