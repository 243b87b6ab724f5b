"""The trades of a run that is over, with what each went through."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from backtester.app.run_candles import run_candles
from backtester.audit.journal import read_journal
from backtester.audit.run_store import RunDir, currency_of, faces_of
from backtester.domain.errors import BacktesterError, ConfigError, DataError, StorageError
from backtester.domain.legs import leg_of
from backtester.domain.money import money_from_decimal
from backtester.domain.vocabulary import PositionSide
from backtester.report.csv_files import TRADES_NAME
from backtester.report.trade_facts import TradeFacts, trade_facts


class RunTrades(NamedTuple):
    """The trades in the order of trades.csv; `note` says why excursions and slippage are missing, and is empty otherwise.

    Amounts are in `asset`.
    """

    facts: list[TradeFacts]
    note: str
    asset: str
    settles: Mapping[str, str] = {}
    """By symbol its settlement asset, in which its amounts are; empty where that is `asset` for all."""


def run_trades(run: Path, *, data: Path | None = None) -> RunTrades:
    """The trades of the run in that directory; `data` names the catalog where it is not where it was.

    Raises StorageError when the run came to no trades.csv, or when that is not what its journal says.
    """
    manifest = RunDir(run).read_manifest()
    path = run / TRADES_NAME
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}; the run is {manifest.status}") from error
    still_open = [row for row in rows if row["is_open"] == "true"]
    open_gross = {_leg(row): money_from_decimal(Decimal(row["gross_pnl"])) for row in still_open}
    note = ""
    try:
        candles = run_candles(run, data=data)
        for symbol in dict.fromkeys(row["symbol"] for row in rows):
            candles.of(symbol)
    except (DataError, ConfigError) as error:
        note = _first_sentence(error)
        candles = None
    facts = trade_facts(
        read_journal(RunDir(run).journal_path),
        bars_of=candles.of if candles is not None else _nowhere,
        length_ms=candles.length_ms if candles is not None else 1,
        open_gross=open_gross,
        faces=faces_of(manifest.contracts),
    )
    if len(facts) != len(rows):
        raise StorageError(f"{path} has {len(rows)} trades, the journal {len(facts)}: see `bt verify {run}`")
    currency = currency_of(manifest)
    return RunTrades(facts, note, manifest.quote or "quote", currency.settles if currency is not None else {})


def _leg(row: Mapping[str, str]) -> str:
    """The position of a row; runs of older versions have no column for its side."""
    side = row.get("position_side")
    return leg_of(row["symbol"], PositionSide(side) if side else None)


def _nowhere(symbol: str) -> None:
    """No bars are stored of any symbol."""


def _first_sentence(error: BacktesterError) -> str:
    return str(error).partition(". ")[0]
