"""Fills, trades and equity as polars frames: exact decimals, as in the csv files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from backtester.domain.errors import StorageError
from backtester.report.csv_files import FILLS_NAME, TRADES_NAME
from backtester.report.equity import EQUITY_NAME

if TYPE_CHECKING:
    import polars as pl

_TIMES = ("time_ms", "entry_time_ms", "exit_time_ms")
_AMOUNTS = ("qty", "price", "fee", "entry_price", "exit_price", "gross_pnl", "fees", "net_pnl", "stop_price", "target_price")
_EQUITY_AMOUNTS = ("equity", "cash", "unrealised_pnl", "exposure", "equity_min", "equity_max")
_FRACTIONS = ("pnl_frac",)
_FLAGS = ("bar_fill", "over_share", "is_open")
_DIGITS = 38
_SCALE = 16


def frame_of_text(text: str) -> pl.DataFrame:
    """The rows of one of the csv files: times Int64, amounts Decimal(38, 16), flags Boolean, words String.

    An open trade has a null exit time, one without a stop or a target a null price; a word that is left out is "".
    """
    import polars as pl

    kinds: dict[str, pl.DataType] = {}
    for name in text.partition("\n")[0].split(","):
        if name in _TIMES:
            kinds[name] = pl.Int64()
        elif name in _AMOUNTS or name in _EQUITY_AMOUNTS:
            kinds[name] = pl.Decimal(_DIGITS, _SCALE)
        elif name in _FRACTIONS:
            kinds[name] = pl.Float64()
        elif name in _FLAGS:
            kinds[name] = pl.Boolean()
        else:
            kinds[name] = pl.String()
    return pl.read_csv(io.StringIO(text), schema=kinds).with_columns(pl.col(pl.String).fill_null(""))


def fills_frame(run: Path) -> pl.DataFrame:
    """The fills of a run directory. Raises StorageError when the run has none on disk."""
    return _frame(run / FILLS_NAME)


def trades_frame(run: Path) -> pl.DataFrame:
    """The trades of a run directory. Raises StorageError when the run has none on disk."""
    return _frame(run / TRADES_NAME)


def equity_frame(run: Path) -> pl.DataFrame:
    """The equity curve of a run directory. Raises StorageError when the run has none on disk."""
    return _frame(run / EQUITY_NAME)


def _frame(path: Path) -> pl.DataFrame:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}; only a complete run has it") from error
    return frame_of_text(text)
