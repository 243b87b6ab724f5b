"""However a run ends, its directory says so, its exit code too, and what was done until then is on disk."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from backtester.audit.journal import read_journal
from tests.e2e.program import COMMAND, bt, bt_here, environment, files_of, manifest_of, start_bt, write_strategy

SAMPLE = ("--symbols", "BTCUSDT", "--timeframe", "1m", "--run-id", "one")

TRADER = """
    def on_candle(self, candle):
        self.count = getattr(self, "count", 0) + 1
        if self.count % 50 == 0:
            held = self.ctx.position(candle.symbol)
            return MarketOrderIntent(symbol=candle.symbol, side=Side.SELL if held else Side.BUY, qty=held or Decimal("0.01"))
        WAIT
"""


def begun(work: Path, wait: str, *words: str) -> subprocess.Popen[str]:
    """A run over years of sample minutes which has begun to trade."""
    write_strategy(work / "mine.py", TRADER.replace("WAIT", wait))
    process = start_bt("--strategy", "mine.py", *SAMPLE, "--set", "data.sample_days=2000", *words, cwd=work)
    journal = work / "runs/one/journal.jsonl"
    until_s = time.monotonic() + 60
    while not (journal.exists() and journal.stat().st_size) and process.poll() is None:
        assert time.monotonic() < until_s, "the run did not begin"
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_tick_writes_what_there_is_and_ends_with_130(tmp_path, number):
    process = begun(tmp_path, "return None", "--json")
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    run = tmp_path / "runs/one"
    manifest = manifest_of(run)
    assert (manifest["status"], manifest["end_reason"]) == ("interrupted", "interrupted")
    summary = json.loads(out)
    assert summary["status"] == "interrupted"
    lines = list(read_journal(run / "journal.jsonl"))
    snapshots = [json.loads(line.raw) for line in lines if line.topic == "account.snapshot"]
    assert summary["end_equity"] == pytest.approx(float(snapshots[-1]["equity"]), abs=1e-8)
    assert b'"interrupted"' in lines[-1].raw
    assert manifest["counts"]["events"] == len(lines) == lines[-1].seq
    assert manifest["counts"]["fills"] == len((run / "fills.csv").read_text().splitlines()) - 1 > 0
    assert set(manifest["files"]) == set(files_of(run)) - {"manifest.json"}
    last_ms = int((run / "equity.csv").read_text().splitlines()[-1].split(",")[0])
    assert last_ms <= json.loads(lines[-1].raw)["time_ms"] < last_ms + 60_000
    assert "not complete" in bt_here("verify", "runs/one", cwd=tmp_path, code=1).stdout


def test_what_filled_between_the_last_close_and_the_stop_is_in_the_result(tmp_path, stored):
    body = """
    def on_candle(self, candle):
        return MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty=Decimal("0.01"))

    def on_fill(self, fill):
        os.kill(os.getpid(), signal.SIGINT)
"""
    write_strategy(tmp_path / "mine.py", body)
    (tmp_path / "mine.py").write_text("import os\nimport signal\n" + (tmp_path / "mine.py").read_text())
    done = bt("--strategy", "mine.py", *SAMPLE, "--data", str(stored), "--json", cwd=tmp_path, code=130)
    summary = json.loads(done.stdout)
    (snapshot,) = [
        json.loads(line.raw)
        for line in list(read_journal(tmp_path / "runs/one/journal.jsonl"))[-3:]
        if line.topic == "account.snapshot"
    ]
    assert summary["fills"] == 1
    assert summary["end_equity"] == pytest.approx(float(snapshot["equity"]), abs=1e-8)
    assert summary["end_equity"] < 10_000 - summary["fees"] < 10_000


def test_a_second_signal_ends_a_strategy_that_hangs(tmp_path):
    process = begun(tmp_path, "while self.count > 30000:\n            pass")
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    time.sleep(1.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.startswith("bt: interrupted")
    assert "Traceback" not in err
    manifest = manifest_of(tmp_path / "runs/one")
    assert manifest["status"] == "interrupted"
    assert manifest["error"] == "stopped before its tick was finished"
    assert len(list(read_journal(tmp_path / "runs/one/journal.jsonl"))) > 100


def test_a_killed_run_is_readable_and_marked_as_running(tmp_path):
    process = begun(tmp_path, "return None")
    process.kill()
    process.communicate(timeout=30)
    run = tmp_path / "runs/one"
    assert manifest_of(run)["status"] == "running"
    assert sum(1 for _ in read_journal(run / "journal.jsonl")) > 100
    assert "status is running" in bt_here("verify", "runs/one", cwd=tmp_path, code=1).stdout
    assert "exists" in bt_here("--strategy", "mine.py", *SAMPLE, cwd=tmp_path, code=2).stderr


@pytest.mark.parametrize("limit_bytes", [100, 2_000, 300_000])
def test_a_disk_that_takes_no_more_is_told_in_words_and_the_manifest_says_failed(tmp_path, limit_bytes):
    write_strategy(tmp_path / "mine.py", TRADER.replace("WAIT", "return None").replace("% 50", "% 2"))

    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    words = ("--strategy", "mine.py", *SAMPLE, "--set", "data.sample_days=3")
    done = subprocess.run(
        [*COMMAND, *words],
        cwd=tmp_path,
        env=environment(PYTHONDONTWRITEBYTECODE="1"),
        preexec_fn=small_disk,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "cannot write " in done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    run = tmp_path / "runs/one"
    if limit_bytes > 10_000:  # room for a manifest, but not for the whole journal
        assert manifest_of(run)["status"] == "failed"
        assert "File too large" in manifest_of(run)["error"]
        assert sum(1 for _ in read_journal(run / "journal.jsonl")) > 100
    assert not [path for path in run.iterdir() if path.name.startswith(".")]


def test_an_output_that_cannot_be_written_is_the_users_mistake(tmp_path):
    (tmp_path / "file").write_text("")
    for output in ("file", "file/below", "/proc/runs"):
        done = bt_here("--strategy", "sma_extended", *SAMPLE, "--output", output, cwd=tmp_path, code=2)
        assert "cannot write runs to" in done.stderr
        assert "--output" in done.stderr


def test_a_failing_strategy_leaves_its_journal_and_says_where(tmp_path, stored):
    write_strategy(tmp_path / "mine.py", TRADER.replace("WAIT", "if self.count == 1234:\n            raise ValueError('mine')"))
    done = bt_here("--strategy", "mine.py", *SAMPLE, "--data", str(stored), cwd=tmp_path, code=2)
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    for text in ("ValueError", "mine", "mine.py:", "event ", "runs/one"):
        assert text in done.stderr
    run = tmp_path / "runs/one"
    manifest = manifest_of(run)
    assert (manifest["status"], manifest["end_reason"]) == ("failed", "error")
    assert manifest["error"] in done.stderr
    lines = list(read_journal(run / "journal.jsonl"))
    assert len([line for line in lines if line.topic == "fills"]) == 1234 // 50
    assert set(manifest["files"]) - {"changes.patch"} == {"config.toml", "journal.jsonl", "run.log"}


@pytest.mark.parametrize("fault", ["nan", "negative", "high below low", "cut off"])
def test_candles_that_cannot_be_end_the_run_with_exit_code_3_and_are_named(tmp_path, stored, fault):
    catalog = shutil.copytree(stored, tmp_path / "catalog")
    file = max(catalog.rglob("BTCUSDT-*.parquet"))
    if fault == "cut off":
        file.write_bytes(file.read_bytes()[:-2000])
    else:
        frame = pl.read_parquet(file)
        row = len(frame) - 50
        name, value = {"nan": ("close", np.nan), "negative": ("low", -1.0), "high below low": ("high", 1.0)}[fault]
        values = frame[name].to_numpy().copy()
        values[row] = value
        frame.with_columns(pl.Series(name, values)).write_parquet(file)
    before = candle_files_of(catalog)
    words = ("--symbols", "BTCUSDT", "ETHUSDT", "--timeframe", "1m", "--run-id", "one", "--data", "catalog")
    done = bt_here("--strategy", "sma_extended", *words, cwd=tmp_path, code=3)
    where = file.name if fault == "cut off" else f"{catalog}: binance linear BTCUSDT 1m: row {row + 1} (2025-05-08 23:10:00 UTC)"
    assert where in done.stderr
    assert (done.stdout, "Traceback" in done.stderr) == ("", False)
    assert candle_files_of(catalog) == before
    if (tmp_path / "runs/one").exists():
        assert manifest_of(tmp_path / "runs/one")["status"] == "failed"


def candle_files_of(catalog):
    """The catalog's data; its index may note that a file is another than before."""
    return {name: content for name, content in files_of(catalog).items() if name.endswith(".parquet")}


def test_a_signal_before_the_run_has_begun_is_130(tmp_path):
    write_strategy(tmp_path / "mine.py", "    pass\n\nimport os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = bt("--strategy", "mine.py", *SAMPLE, cwd=tmp_path, code=130)
    assert (done.stdout, done.stderr) == ("", "bt: interrupted\n")
    assert not os.path.lexists(tmp_path / "runs")
