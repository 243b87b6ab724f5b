"""Runs on bars longer than what is stored: ambiguous bars are told by the shorter candles or the trades, and `verify` reads them again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import backtester
from backtester.app.result import RunResult
from backtester.app.verify import verify
from backtester.cli.main import main
from backtester.data.batch import Batch, Origin
from backtester.data.catalog import Catalog
from backtester.data.columns import CandleColumns, columns_from_frame, join_columns, slice_columns
from backtester.data.kinds import TRADES, VolumeUnit
from backtester.data.resample import coarser_columns
from backtester.data.series import series_of
from backtester.data.sources.sample import sample_columns
from backtester.domain.timeframe import MINUTE_MS
from tests.support.shared_data import SHARED, needs_shared

START_MS = 1_746_057_600_000
DAYS = 4
HOUR_MS = 60 * MINUTE_MS
BRACKETS = """
from backtester import LimitOrderIntent, MarketOrderIntent, Side, Strategy


class Brackets(Strategy):
    def on_candle(self, candle):
        if self.ctx.position(candle.symbol):
            return None
        price = round(candle.close, 1)
        near = {"take_profit": round(price * 1.004, 1), "stop_loss": round(price * 0.996, 1)}
        return MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty="0.05", **near)
"""


@pytest.fixture(scope="module")
def strategy(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("strategy") / "brackets.py"
    path.write_text(BRACKETS, encoding="utf-8")
    return f"{path}:Brackets"


@pytest.fixture(scope="module")
def minutes() -> CandleColumns:
    return join_columns(*sample_columns("BTCUSDT", seed=7, start_ms=START_MS, end_ms=START_MS + DAYS * 24 * HOUR_MS))


def joined(columns: CandleColumns, length_ms: int) -> CandleColumns:
    end_ms = int(columns.start_ms[-1]) + length_ms
    return join_columns(*coarser_columns([columns], "BTCUSDT", length_ms=length_ms, bars_ms=MINUTE_MS, end_ms=end_ms))


def stored(path: Path, **series: CandleColumns) -> Path:
    for name, columns in series.items():
        Catalog(path).write("binance", "linear", "BTCUSDT", name.removeprefix("x"), columns)
    return path


def run(strategy: str, data: Any, *, output: Path | None = None, execution: str = "1h", **sim: object) -> RunResult:
    settings = {f"sim.{key}": value for key, value in sim.items()} | {"run.execution_timeframe": execution}
    where = {"symbols": "BTCUSDT", "exchange": "binance", "market": "linear", "timeframe": "1h"}
    return backtester.run(strategy, data=data, output=output, settings=settings, **where)


def resolved(result: RunResult) -> tuple[int, int, int]:
    manifest = result.manifest
    return manifest.ambiguous_bars, manifest.resolved_by_candles, manifest.resolved_by_trades


def test_hours_are_resolved_on_the_minutes_below_them(strategy: str, minutes: CandleColumns, tmp_path: Path) -> None:
    data = stored(tmp_path / "data", x1m=minutes)
    finer, off = run(strategy, data), run(strategy, data, resolve="off")
    bars, by_candles, by_trades = resolved(finer)
    assert bars > 3 and by_trades == 0
    assert by_candles > bars / 2
    assert "resolved" in set(finer.fills["note"]) and "resolved" not in set(off.fills["note"])
    assert resolved(off)[1:] == (0, 0) and off.manifest.finer_fingerprint == ""
    assert float(finer.manifest.ambiguous_quote) < float(off.manifest.ambiguous_quote)
    assert any(
        one.rule == "BTCUSDT: ambiguous bars are resolved on what is stored below them: 1m" for one in finer.manifest.assumptions
    )
    assert not any("are resolved on" in one.rule for one in off.manifest.assumptions)


def ends_of(result: RunResult) -> list[tuple[int, str]]:
    """When each closed trade began, and why it ended."""
    trades = result.trades.filter(~result.trades["is_open"])
    return list(zip(trades["entry_time_ms"].to_list(), trades["close_reason"].to_list(), strict=True))


def test_hours_that_are_resolved_end_as_trades_on_minutes_do(strategy: str, minutes: CandleColumns, tmp_path: Path) -> None:
    data = stored(tmp_path / "data", x1m=minutes)
    on_minutes = ends_of(run(strategy, data, execution="1m"))
    assert len(on_minutes) > 5
    assert ends_of(run(strategy, data)) == on_minutes
    assert ends_of(run(strategy, data, resolve="off")) != on_minutes


def test_hours_that_are_stored_beside_minutes_and_frames_give_the_same(
    strategy: str, minutes: CandleColumns, tmp_path: Path
) -> None:
    below = run(strategy, stored(tmp_path / "one", x1m=minutes))
    beside = run(strategy, stored(tmp_path / "two", x1m=minutes, x1h=joined(minutes, HOUR_MS)))
    frames = run(strategy, {"BTCUSDT": minutes._asdict()})
    assert below.digest == beside.digest == frames.digest
    assert below.manifest.finer_fingerprint == beside.manifest.finer_fingerprint == frames.manifest.finer_fingerprint != ""


def test_the_finest_timeframe_of_all_has_nothing_below_it(strategy: str, minutes: CandleColumns, tmp_path: Path) -> None:
    result = run(strategy, stored(tmp_path / "data", x1m=minutes), execution="1m")
    assert resolved(result)[1:] == (0, 0) and result.manifest.finer_fingerprint == ""


def test_bars_of_an_hour_with_a_missing_minute_stay_with_the_worse_side(
    strategy: str, minutes: CandleColumns, tmp_path: Path
) -> None:
    holey = CandleColumns(*(column[np.arange(len(column)) % 60 != 30] for column in minutes))
    hours = joined(minutes, HOUR_MS)
    result = run(strategy, stored(tmp_path / "data", x1m=holey, x1h=hours))
    plain = run(strategy, stored(tmp_path / "plain", x1h=hours))
    assert resolved(result)[0] > 3 and resolved(result)[1:] == (0, 0)
    assert result.fills.equals(plain.fills)


def test_verify_reads_the_finer_data_again_and_sees_where_it_was_changed(
    strategy: str, minutes: CandleColumns, tmp_path: Path
) -> None:
    hours = joined(minutes, HOUR_MS)
    result = run(strategy, stored(tmp_path / "data", x1m=minutes, x1h=hours), output=tmp_path / "runs")
    assert result.path is not None
    report = verify(result.path)
    assert report.ok, report
    order = np.arange(len(minutes.start_ms)).reshape(-1, 60)[:, ::-1].reshape(-1)  # each hour runs backwards
    backwards = CandleColumns(
        minutes.start_ms,
        *(column[order] for column in (minutes.close, minutes.high, minutes.low, minutes.open, minutes.volume)),
    )
    report = verify(result.path, data=stored(tmp_path / "other", x1m=backwards, x1h=hours))
    assert not report.ok
    assert any(
        line.startswith("finer data: what told the order of events inside bars is not that of the run") for line in report.lines
    )
    report = verify(result.path, data=stored(tmp_path / "gone", x1h=hours))
    assert not report.ok and "now none" in "\n".join(report.lines)


def trades_of(minutes: CandleColumns) -> pa.Table:
    """Four trades a minute: its open, its low, its high and its close."""
    rows = [
        ((start_ms + 15_000 * number) * 1000, price, volume / 4, False, None)
        for start_ms, opened, high, low, close, volume in zip(*(column.tolist() for column in minutes), strict=True)
        for number, price in enumerate((opened, low, high, close))
    ]
    arrays = [pa.array(column, type=field.type) for column, field in zip(zip(*rows, strict=True), TRADES.schema(), strict=True)]
    return pa.Table.from_arrays(arrays, schema=TRADES.schema())


def test_minutes_are_resolved_on_their_trades(strategy: str, minutes: CandleColumns, tmp_path: Path) -> None:
    day = slice_columns(minutes, 0, 1440)
    wild = day._replace(high=np.maximum(day.high, day.open * 1.006), low=np.minimum(day.low, day.open * 0.994))
    data = stored(tmp_path / "data", x1m=wild)
    series = series_of(exchange="binance", market="linear", symbol="BTCUSDT", kind="trades")
    Catalog(data).store(Batch(series, trades_of(wild), Origin("test", "0" * 64), VolumeUnit.BASE, (), {}))
    result = run(strategy, data, execution="1m", output=tmp_path / "runs")
    bars, by_candles, by_trades = resolved(result)
    assert bars == by_trades > 3 and by_candles == 0
    assert {
        str(reason) for reason, note in zip(result.fills["reason"], result.fills["note"], strict=True) if note == "resolved"
    } == {"SL_HIT"}
    assert result.path is not None and verify(result.path).ok
    assert any("below them: trades" in one.rule for one in result.manifest.assumptions)
    hourly = run(strategy, data)
    assert hourly.manifest.resolved_by_trades + hourly.manifest.resolved_by_candles == hourly.manifest.ambiguous_bars


def test_the_sample_market_has_its_minutes_below_longer_bars(strategy: str) -> None:
    settings = {"run.execution_timeframe": "4h"}
    result = backtester.run(strategy, symbols="BTCUSDT", end="2024-01-20", timeframe="4h", settings=settings)
    assert resolved(result)[1] > 0


def test_checks_find_nothing_in_a_run_that_is_resolved(
    strategy: str, minutes: CandleColumns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = stored(tmp_path / "data", x1m=slice_columns(minutes, 0, 1440))
    monkeypatch.chdir(tmp_path)
    words = [
        "--strategy",
        strategy,
        "--symbols",
        "BTCUSDT",
        "--data",
        str(data),
        "--timeframe",
        "1h",
        "--set",
        "run.execution_timeframe=1h",
    ]
    assert main([*words, "--scenarios", "--run-id", "r"]) == 0
    shown = capsys.readouterr().out
    assert "of them resolved" in shown and "on shorter candles; " in shown and "lie between the harsh and the lenient run" in shown
    assert main([*words, "--run-id", "one"]) == 0
    assert "order inside bars" in capsys.readouterr().out
    main(["check", "runs/one"])
    shown = capsys.readouterr().out
    assert "does-not-move-with-the-feed" not in shown and "future-changes-past" not in shown


@needs_shared
def test_real_hours_are_resolved_on_real_minutes(strategy: str, tmp_path: Path) -> None:
    """Binance BTCUSDT, seven weeks of 2025: most of what hides in an hour is told by its minutes."""
    import polars as pl

    frame = pl.read_parquet(SHARED / "data/candles/binance_um/BTCUSDT_1m.parquet")
    columns = columns_from_frame(frame.select("open_time_ms", "open", "high", "low", "close", "volume"), source="shared")
    data = stored(tmp_path / "data", x1m=columns)
    worst, best = (run(strategy, data, resolve="off", path=path) for path in ("worst", "best"))
    result = run(strategy, data)
    bars, by_candles, _ = resolved(result)
    assert bars > 20 and by_candles >= 0.9 * bars
    assert worst.summary["end_equity"] < result.summary["end_equity"]
    assert float(result.manifest.ambiguous_quote) < 0.1 * float(best.manifest.ambiguous_quote)
    assert ends_of(result) == ends_of(run(strategy, data, execution="1m"))[: len(ends_of(result))]
