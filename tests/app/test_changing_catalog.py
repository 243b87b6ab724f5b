"""Several runs of one process over a catalog that grows between them: each sees the files as they are when it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

import backtester
from backtester import Strategy
from backtester.app.runner import execute
from backtester.data import object_store
from backtester.data.catalog import Catalog
from backtester.data.columns import CandleColumns, slice_columns
from backtester.domain.timeframe import DAY_MS, HOUR_MS
from tests.data.candles import candles_at, minutes

JANUARY_30 = 1_738_195_200_000


class Idle(Strategy):
    """Looks on."""

    def on_candle(self, candle):
        """Nothing."""


def run(base: Path) -> backtester.RunResult:
    return backtester.run(Idle, symbols=["BTCUSDT"], data=base, exchange="binance", market="linear")


def store(base: Path, columns: CandleColumns, timeframe: str = "1m") -> None:
    Catalog(base).write("binance", "linear", "BTCUSDT", timeframe, columns)


def test_a_month_imported_between_two_runs_is_seen(tmp_path: Path) -> None:
    columns = minutes(4 * 1440, first_ms=JANUARY_30)
    store(tmp_path, slice_columns(columns, 0, 2 * 1440))
    assert run(tmp_path).counts["candles"] == 2 * 1440
    store(tmp_path, slice_columns(columns, 2 * 1440 + 10, 4 * 1440))
    after = run(tmp_path)
    assert (after.counts["candles"], after.counts["gaps"]) == (4 * 1440 - 10, 1)
    store(tmp_path, slice_columns(columns, 2 * 1440, 2 * 1440 + 10))  # into a month that was read and kept decoded
    whole = run(tmp_path)
    assert (whole.counts["candles"], whole.counts["gaps"]) == (4 * 1440, 0)


def test_a_run_lists_each_directory_of_a_symbol_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(tmp_path, minutes(2 * 1440, first_ms=JANUARY_30))
    resolved = run(tmp_path).resolved
    listed: list[str] = []
    entries = object_store.LocalStore.entries
    monkeypatch.setattr(
        object_store.LocalStore, "entries", lambda self, directory: listed.append(directory) or entries(self, directory)
    )
    execute(resolved)
    inside = [directory for directory in listed if "/candles" in directory]
    assert inside
    assert sorted(inside) == sorted(set(inside))


def test_what_was_listed_stays_as_it_was(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    store(tmp_path, minutes(1440, first_ms=JANUARY_30))
    (series,) = catalog.series_of("BTCUSDT")
    listed = catalog.listing(["BTCUSDT"])
    assert listed.months(series) == catalog.months(series)
    store(tmp_path, minutes(1440, first_ms=JANUARY_30 + 2 * DAY_MS))
    store(tmp_path, candles_at([JANUARY_30 + hour * HOUR_MS for hour in range(24)]), "1h")
    assert (len(listed.months(series)), len(catalog.months(series))) == (1, 2)
    assert (len(listed.series_of("BTCUSDT")), len(catalog.series_of("BTCUSDT"))) == (1, 2)
    assert listed.months(series._replace(symbol="ETHUSDT")) == []
