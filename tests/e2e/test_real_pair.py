"""The real BTCUSDT and ETHUSDT minutes, end to end, in processes of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.program import RESULTS, bt, files_of, manifest_of, write_strategy
from tests.support.shared_data import needs_shared

PAIR = ("--symbols", "BTCUSDT", "ETHUSDT")

pytestmark = needs_shared

FAST = """
    class Params(StrategyParams, frozen=True):
        every: int = 7

    def on_start(self):
        self.count = 0

    def on_candle(self, candle):
        self.count += 1
        if self.count % self.params.every:
            return None
        held = self.ctx.position(candle.symbol)
        side = Side.SELL if held > 0 else Side.BUY
        return MarketOrderIntent(symbol=candle.symbol, side=side, qty=abs(held) or Decimal("0.01"))
"""


@pytest.fixture(scope="module")
def run(real, tmp_path_factory) -> Path:
    """The run of the issue, on the default range and timeframe."""
    folder = tmp_path_factory.mktemp("pair")
    bt("--strategy", "sma_extended", *PAIR, "--data", str(real), "--run-id", "one", cwd=folder)
    return folder / "runs/one"


def test_the_pair_runs_over_all_that_is_stored_of_any_symbol(run):
    manifest = manifest_of(run)
    assert (manifest["status"], manifest["end_reason"], manifest["data_source"]) == ("complete", "end_of_data", "catalog")
    assert (manifest["start"], manifest["end"]) == ("2025-05-04 15:33:00", "2025-06-24 10:33:00")
    assert (manifest["timeframe"], manifest["execution_timeframe"]) == ("1h", "1m")
    assert manifest["counts"]["candles"] == 73_139 + 73_140
    assert manifest["counts"]["fills"] > 20


def test_verify_passes_on_a_renamed_copy_and_with_a_moved_catalog_and_writes_nothing(run, real, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copied")
    before = files_of(copy)
    assert "repeats" in bt("verify", str(copy), cwd=tmp_path).stdout
    moved = shutil.copytree(real, tmp_path / "elsewhere")
    assert "repeats" in bt("verify", "copied", "--data", str(moved), cwd=tmp_path).stdout
    assert files_of(copy) == before


def test_a_run_repeats_from_its_own_configuration_byte_for_byte(run, tmp_path):
    bt("--config", str(run / "config.toml"), "--run-id", "again", "--quiet", cwd=tmp_path)
    again = tmp_path / "runs/again"
    assert manifest_of(again)["digest"] == manifest_of(run)["digest"]
    for name in (*RESULTS, "journal.jsonl", "config.toml"):
        assert (again / name).read_bytes() == (run / name).read_bytes(), name


def test_a_strategy_in_a_file_named_relatively_repeats_from_another_directory(real, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    write_strategy(here / "fast.py", FAST)
    bt("--strategy", "fast.py:Mine", *PAIR, "--timeframe", "4h", "--data", str(real), "--run-id", "one", "--quiet", cwd=here)
    bt("--config", "../here/runs/one/config.toml", "--run-id", "two", "--quiet", cwd=there)
    assert manifest_of(here / "runs/one")["digest"] == manifest_of(there / "runs/two")["digest"]
    for name in RESULTS:
        assert (here / "runs/one" / name).read_bytes() == (there / "runs/two" / name).read_bytes(), name
    assert "repeats" in bt("verify", "runs/two", cwd=there).stdout
