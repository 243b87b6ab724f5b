"""A run as its directory tells it, whatever state that is in: what a report shows is read here."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from backtester.audit.journal import JournalLine, read_journal
from backtester.audit.run_store import CHECK_NAME, METRICS_NAME, Manifest, RunDir, faces_of
from backtester.domain.errors import JournalError, StorageError
from backtester.report.csv_files import FILLS_NAME, TRADES_NAME, write_fills, write_trades
from backtester.report.equity import EQUITY_NAME
from backtester.report.fill_book import fills_of
from backtester.report.journal_facts import JournalFacts, journal_facts
from backtester.report.trades import trades_of

if TYPE_CHECKING:
    import polars as pl

_WHOLE = frozenset({"time_ms", "entry_time_ms", "exit_time_ms"})
_FLAGS = frozenset({"bar_fill", "over_share", "is_open"})
_FLOATS = frozenset(
    {
        *("qty", "price", "fee", "entry_price", "exit_price", "gross_pnl", "fees", "net_pnl", "pnl_frac"),
        *("equity", "cash", "unrealised_pnl", "exposure", "equity_min", "equity_max"),
    }
)


class RecordedRun(NamedTuple):
    """What stands in a run directory. Amounts are floats: they are shown, not computed with.

    `metrics` and `equity` are None where the run did not come to write them; then `fills` and `trades` are those of its journal,
    and what is still open is valued at its entry. `changed` has a sentence for each file that is not as the manifest recorded it.
    `check` is what `bt check` found of this run, None where it was not asked.
    """

    path: Path
    manifest: Manifest
    metrics: dict[str, Any] | None
    equity: pl.DataFrame | None
    fills: pl.DataFrame
    trades: pl.DataFrame
    journal: JournalFacts
    changed: tuple[str, ...]
    check: dict[str, Any] | None

    @property
    def is_synthetic(self) -> bool:
        """Whether the candles are the sample market's, and no market's."""
        return self.manifest.data_source.startswith("synthetic")

    def summary(self, start_equity: float) -> dict[str, Any]:
        """What the summary table shows, as `report.results` has it after the run; `metrics` must be there."""
        metrics, trades = self.metrics or {}, self.trades
        last = start_equity * (1.0 + (metrics.get("total_return") or 0.0))
        return {
            "start_equity": start_equity,
            "end_equity": last,
            **{name: value for name, value in metrics.items() if not isinstance(value, dict | list)},
            "open_trades": int(trades["is_open"].sum()),
            "orders": self.manifest.counts.orders,
            "fills": self.manifest.counts.fills,
            "refusals": self.manifest.counts.refusals,
            "refusals_by_reason": self.journal.refusals_by_reason(),
        }


def read_run(path: Path) -> RecordedRun:
    """The run in `path`. Raises StorageError when it is no run or a file is not what a run writes."""
    run = RunDir(path)
    manifest = run.read_manifest()
    fills, trades = _frame(path / FILLS_NAME), _frame(path / TRADES_NAME)
    if fills is None or trades is None:
        fills, trades = _from_journal(run.journal_path, manifest)
    return RecordedRun(
        path=path,
        manifest=manifest,
        metrics=_metrics(path / METRICS_NAME),
        equity=_frame(path / EQUITY_NAME),
        fills=fills,
        trades=trades,
        journal=journal_facts(run.journal_path),
        check=_check(path / CHECK_NAME, manifest.digest),
        changed=tuple(run.changed_files()) if manifest.status != "running" else (),
    )


def _metrics(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StorageError(f"{path} is not JSON: {error}; `bt verify {path.parent}` says what else was changed") from error
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    if not isinstance(found, dict):
        raise StorageError(f"{path} holds no figures; `bt verify {path.parent}` says what else was changed")
    return found


def _check(path: Path, digest: str) -> dict[str, Any] | None:
    """The check of the run with this digest; one of another run says nothing of this one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read {path}: {error}; `bt check {path.parent}` writes it again") from error
    return found if isinstance(found, dict) and found.get("digest") == digest else None


def _from_journal(path: Path, manifest: Manifest) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Fills and trades as far as the journal can be read; what is wrong with it, `journal_facts` says."""
    fills, trades = io.StringIO(), io.StringIO()

    def readable() -> Iterator[JournalLine]:
        with suppress(JournalError, StorageError):
            yield from read_journal(path)

    book = write_fills(fills, fills_of(readable()), faces=faces_of(manifest.contracts))
    write_trades(trades, trades_of(book, last_closes={}, openings=book.openings, grown=book.grown))
    return _rows(fills.getvalue().encode()), _rows(trades.getvalue().encode())


def _frame(path: Path) -> pl.DataFrame | None:
    """The rows of a csv file; None where there is no file."""
    if not path.is_file():
        return None
    import polars as pl

    try:
        return _rows(path.read_bytes())
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise StorageError(f"{path} cannot be read: {error}; `bt verify {path.parent}` says what was changed") from error


def _rows(data: bytes) -> pl.DataFrame:
    """Numbers as floats, words never null."""
    import polars as pl

    names = data.partition(b"\n")[0].decode().strip().split(",")
    frame = pl.read_csv(io.BytesIO(data), schema={name: _kind(name) for name in names})
    return frame.with_columns(pl.col(pl.String).fill_null(""))


def _kind(name: str) -> pl.DataType:
    import polars as pl

    if name in _WHOLE:
        return pl.Int64()
    if name in _FLAGS:
        return pl.Boolean()
    return pl.Float64() if name in _FLOATS else pl.String()
