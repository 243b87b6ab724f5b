"""What `verify` says of a run whose journal was tampered with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from backtester.app import runner
from backtester.app.resolve import resolve
from backtester.app.runner import execute
from backtester.app.verify import VerifyReport, verify
from backtester.config.loading import RunRequest, load_run_config
from backtester.config.run_config import RunConfig
from backtester.config.writing import config_hash, dump_toml, unnamed_settings

NOISY = """
from backtester import MarketOrderIntent, Side, Strategy


class Noisy(Strategy):
    def on_candle(self, candle):
        self.ctx.log("seen", close=candle.close)
        return MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty="0.001")
"""


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run on the sample, of several blocks."""
    base = tmp_path_factory.mktemp("verify")
    (base / "noisy.py").write_text(NOISY)
    settings = ("data.sample_days=3", "run.timeframe=15m", 'run.symbols=["BTCUSDT"]')
    loaded = load_run_config(RunRequest(strategy=f"{base / 'noisy.py'}:Noisy", settings=settings, directory=base))
    execute(resolve(loaded.config, data_explicit=False), output=base, run_id="one")
    return base / "one"


def spoiled(whole_run: Path, at: Path, change: tuple[int, bytes, bytes] | None = None, cut: int | None = None) -> VerifyReport:
    """The verdict on a copy in which (line, old, new) was changed, or which ends after `cut` lines."""
    copy = Path(shutil.copytree(whole_run, at / "copy"))
    lines = (copy / "journal.jsonl").read_bytes().splitlines(keepends=True)
    if change is not None:
        number, old, new = change
        assert lines[number - 1].count(old) == 1
        lines[number - 1] = lines[number - 1].replace(old, new)
    (copy / "journal.jsonl").write_bytes(b"".join(lines[:cut]))
    return verify(copy)


def test_a_run_of_a_version_that_had_fewer_settings_repeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def older(config: RunConfig) -> str:
        lines = dump_toml(config).splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith("touch_fill_frac"))

    monkeypatch.setattr(runner, "dump_toml", older)
    monkeypatch.setattr(runner, "config_hash", lambda config: config_hash(config, without=[("sim", "touch_fill_frac")]))
    loaded = load_run_config(RunRequest(strategy="sma_extended", settings=("data.sample_days=3", 'run.symbols=["BTCUSDT"]')))
    execute(resolve(loaded.config, data_explicit=False), output=tmp_path, run_id="old")
    monkeypatch.undo()
    text = (tmp_path / "old/config.toml").read_text()
    assert "touch_fill_frac" not in text
    assert unnamed_settings(loaded.config, text) == [("sim", "touch_fill_frac")]
    assert verify(tmp_path / "old").ok
    (tmp_path / "old/config.toml").write_text(text.replace("spread_bps = 1", "spread_bps = 2"))
    assert "configuration: config.toml is not the one that was run" in verify(tmp_path / "old").lines


def line_of(whole_run: Path, topic: bytes) -> int:
    """The number of the first line of `topic` after the first block."""
    lines = (whole_run / "journal.jsonl").read_bytes().splitlines()
    return next(number for number, line in enumerate(lines, start=1) if number > 260 and b'"topic":"%b"' % topic in line)


def test_a_run_is_sealed_to_its_end_and_repeats(whole_run: Path) -> None:
    lines = (whole_run / "journal.jsonl").read_bytes().splitlines()
    assert len(lines) > 600 and lines[-1].startswith(b'{"seal"')
    report = verify(whole_run)
    assert report.ok, report


def test_verify_names_the_event_that_was_changed(whole_run: Path, tmp_path: Path) -> None:
    number = line_of(whole_run, b"fills")
    report = spoiled(whole_run, tmp_path, change=(number, b'"fee_asset":"USDT"', b'"fee_asset":"USDC"'))
    said = "\n".join(report.lines)
    assert not report.ok
    assert "lines 258 to 514: the seal does not match" in said
    assert "on fills" in said and "fee_asset=USDC" in said and "fee_asset=USDT" in said


def test_verify_locates_a_changed_note(whole_run: Path, tmp_path: Path) -> None:
    report = spoiled(whole_run, tmp_path, change=(line_of(whole_run, b"logs"), b'"seen"', b'"sean"'))
    assert not report.ok and "lines 258 to 514: the seal does not match" in "\n".join(report.lines)


def test_verify_does_not_accept_an_unsealed_end(whole_run: Path, tmp_path: Path) -> None:
    report = spoiled(whole_run, tmp_path, cut=300)
    said = "\n".join(report.lines)
    assert not report.ok and "its last 43 messages are not sealed" in said and "recorded: has ended" in said
