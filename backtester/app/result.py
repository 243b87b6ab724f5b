"""What a run gives back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from backtester.app.resolve import ResolvedRun
from backtester.audit.journal import JournalLine
from backtester.audit.run_store import Manifest
from backtester.domain.errors import EXIT_DONE, EXIT_INTERRUPTED
from backtester.domain.money import amount_text
from backtester.report.csv_files import FILLS_NAME, TRADES_NAME
from backtester.report.equity import EQUITY_NAME
from backtester.report.frames import frame_of_text

if TYPE_CHECKING:
    import polars as pl


class Progress(NamedTuple):
    """Where a run stands in simulated time."""

    now_ms: int
    start_ms: int
    end_ms: int
    candles: int


class RunResult:
    """A finished run: status, figures, and its fills, trades and equity as frames.

    `path` is the run directory, or None for a run that was kept in memory. `metrics` are fractions (None where undefined);
    `summary` adds amounts in quote and counts.
    """

    def __init__(
        self,
        *,
        manifest: Manifest,
        resolved: ResolvedRun,
        path: Path | None,
        metrics: dict[str, Any],
        summary: dict[str, Any],
        refusals: dict[str, int],
        texts: dict[str, str],
        lines: tuple[JournalLine, ...],
    ) -> None:
        self.manifest = manifest
        self.resolved = resolved
        self.path = path
        self.metrics = metrics
        self.summary = summary
        self.refusals = refusals
        self._texts = texts
        self._lines = lines

    @property
    def run_id(self) -> str:
        """Name of the run; no result contains it."""
        return self.manifest.run_id

    @property
    def status(self) -> str:
        """complete or interrupted."""
        return self.manifest.status

    @property
    def end_reason(self) -> str:
        """Why it ended: end_of_data, bankrupt or interrupted."""
        return self.manifest.end_reason

    @property
    def digest(self) -> str:
        """sha256 over the event stream: equal digests, equal runs."""
        return self.manifest.digest

    @property
    def counts(self) -> dict[str, int]:
        """candles, events, orders, fills, refusals, gaps, outages, filled."""
        counts = self.manifest.counts
        return {name: getattr(counts, name) for name in counts.__struct_fields__}

    @property
    def timings(self) -> dict[str, float]:
        """Wall time in seconds: load_s, run_s, report_s."""
        timings = self.manifest.timings
        return {name: getattr(timings, name) for name in timings.__struct_fields__}

    @property
    def exit_code(self) -> int:
        """What `bt` exits with for this run."""
        return EXIT_INTERRUPTED if self.status == "interrupted" else EXIT_DONE

    @property
    def journal_lines(self) -> tuple[JournalLine, ...]:
        """The event stream of a run kept in memory; a run on disk has it in journal.jsonl."""
        return self._lines

    @property
    def fills(self) -> pl.DataFrame:
        """One row per fill, columns of fills.csv; amounts are exact decimals."""
        return self._frame(FILLS_NAME)

    @property
    def trades(self) -> pl.DataFrame:
        """One row per trade, flat to flat, open ones last; columns of trades.csv."""
        return self._frame(TRADES_NAME)

    @property
    def equity(self) -> pl.DataFrame:
        """One row per close of the signal timeframe; columns of equity.csv."""
        return self._frame(EQUITY_NAME)

    def file_text(self, name: str) -> str:
        """The text of fills.csv, trades.csv, equity.csv or metrics.json, from disk or memory."""
        if self.path is not None:
            return (self.path / name).read_text(encoding="utf-8")
        return self._texts[name]

    def _frame(self, name: str) -> pl.DataFrame:
        return frame_of_text(self.file_text(name))

    def _rows(self) -> list[tuple[str, str]]:
        run, summary, quote = self.resolved.config.run, self.summary, self.manifest.quote
        source = "synthetic sample" if self.resolved.config.data.source == "sample" else f"{run.exchange} {run.market}".strip()
        return [
            ("strategy", self.manifest.strategy),
            ("data", f"{source}: {', '.join(run.symbols)}, {run.start} to {run.end} UTC, signals {run.timeframe}"),
            ("status", f"{self.status} ({self.end_reason})"),
            ("equity", f"{amount_text(summary['start_equity'], quote)} -> {amount_text(summary['end_equity'], quote)}"),
            ("total return", percent(self.metrics["total_return"], sign=True)),
            ("max drawdown", percent(self.metrics["max_drawdown"])),
            ("sharpe", "-" if self.metrics["sharpe"] is None else f"{self.metrics['sharpe']:.2f}"),
            ("closed trades", f"{self.metrics['trades']}, win rate {percent(self.metrics['win_rate'])}"),
            ("fees", amount_text(self.metrics["fees"], quote)),
            ("digest", self.digest[:16]),
            *([("directory", str(self.path))] if self.path is not None else []),
        ]

    def __repr__(self) -> str:
        width = max(len(name) for name, _ in self._rows())
        body = "\n".join(f"  {name:<{width}}  {value}" for name, value in self._rows())
        return f"RunResult {self.run_id}\n{body}"

    def _repr_html_(self) -> str:
        from html import escape

        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{escape(value)}</td></tr>"
            for name, value in self._rows()
        )
        return f"<table><caption>run {escape(self.run_id)}</caption>{rows}</table>"


def percent(fraction: float | None, *, sign: bool = False) -> str:
    """A fraction as percent, `-` where it is undefined."""
    return "-" if fraction is None else f"{fraction:+.2%}" if sign else f"{fraction:.2%}"
