"""`bt verify` names what was changed, in words, and the first event that differs; it never writes into the run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.program import HEAD, bt, bt_here, files_of, import_candles, manifest_of, waves, write_csv, write_strategy

BODY = """
    def on_candle(self, candle):
        if int(candle.end_ms // 3_600_000) % 3:
            return None
        held = self.ctx.position(candle.symbol)
        return MarketOrderIntent(symbol=candle.symbol, side=Side.SELL if held else Side.BUY, qty=SIZE)
"""


@pytest.fixture(scope="module")
def made(stored, tmp_path_factory) -> Path:
    """A directory with a strategy, a module that it imports, a catalog and a run."""
    folder = tmp_path_factory.mktemp("verify")
    shutil.copytree(stored, folder / "catalog")
    (folder / "sizes.py").write_text("from decimal import Decimal\n\nSIZE = Decimal('0.01')\n")
    (folder / "mine.py").write_text(f"from sizes import SIZE\n{HEAD}class Mine(Strategy):\n{BODY}")
    asked = ("--strategy", "mine.py", "--symbols", "BTCUSDT", "ETHUSDT", "--timeframe", "1h", "--data", "catalog", "--quiet")
    bt_here(*asked, "--run-id", "one", cwd=folder)
    return folder


@pytest.fixture
def place(made, tmp_path) -> Path:
    """A copy of all of it that a test may spoil; the run's configuration still names the first place."""
    return Path(shutil.copytree(made, tmp_path / "place"))


def differences(run: Path, *words: str) -> str:
    """What verify found in a run that it left as it was."""
    before = files_of(run)
    done = bt_here("verify", str(run), *words, cwd=run.parent, code=1)
    assert files_of(run) == before
    assert done.stderr == ""
    assert done.stdout.startswith(f"run {manifest_of(run)['run_id']} ")
    return done.stdout


def changed(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def test_an_untouched_copy_verifies_and_is_left_as_it_was(place):
    before = files_of(place)
    done = bt_here("verify", "runs/one", cwd=place)
    assert "repeats" in done.stdout
    assert manifest_of(place / "runs/one")["digest"][:16] in done.stdout
    assert files_of(place) == before
    assert bt_here("verify", "runs/one", "--quiet", cwd=place).stdout == ""


@pytest.mark.parametrize("name", ["fills.csv", "trades.csv", "equity.csv", "metrics.json"])
def test_a_changed_result_file_is_named(place, name):
    changed(place / "runs/one" / name, "1", "2")
    found = differences(place / "runs/one")
    assert f"files: {name} was changed after the run" in found
    assert f"{name}: not what the run gives now" in found


def test_a_missing_file_is_named(place):
    (place / "runs/one/trades.csv").unlink()
    assert "files: trades.csv is missing" in differences(place / "runs/one")


def test_a_changed_journal_is_named_with_the_event(place):
    changed(place / "runs/one/journal.jsonl", '"qty":"0.01"', '"qty":"0.02"')
    found = differences(place / "runs/one")
    assert "journal.jsonl was changed after the run" in found
    assert "journal: " in found
    assert "first difference at event " in found
    assert "0.02" in found


def test_a_changed_configuration_is_named_with_the_first_event_that_differs(place):
    changed(place / "runs/one/config.toml", "slippage_bps = 1\n", "slippage_bps = 2\n")
    found = differences(place / "runs/one")
    assert "config.toml was changed after the run" in found
    assert "configuration: config.toml is not the one that was run" in found
    assert "first difference at event 1 on run" in found


def test_a_configuration_that_is_none_any_more_is_a_difference_too(place):
    changed(place / "runs/one/config.toml", "[sim]", "[sim")
    found = differences(place / "runs/one")
    assert "config.toml was changed after the run" in found
    assert "malformed TOML" in found


@pytest.fixture
def own(stored, tmp_path) -> Path:
    """A run whose configuration names this very directory."""
    shutil.copytree(stored, tmp_path / "catalog")
    (tmp_path / "sizes.py").write_text("from decimal import Decimal\n\nSIZE = Decimal('0.01')\n")
    (tmp_path / "mine.py").write_text(f"from sizes import SIZE\n{HEAD}class Mine(Strategy):\n{BODY}")
    bt_here(
        "--strategy", "mine.py", "--symbols", "BTCUSDT", "--timeframe", "1h", "--data", "catalog", "--run-id", "one", cwd=tmp_path
    )
    return tmp_path


def test_a_changed_strategy_is_named_with_the_first_event_that_differs(own):
    changed(own / "mine.py", "% 3", "% 5")
    found = differences(own / "runs/one")
    assert "strategy: the source of " in found
    assert "mine.py" in found
    assert "first difference at event " in found
    assert "fills.csv: not what the run gives now" in found


def test_a_changed_module_of_the_strategy_is_named(own):
    changed(own / "sizes.py", "0.01", "0.02")
    found = differences(own / "runs/one")
    assert "strategy: sizes.py, which " in found
    assert "first difference at event " in found


def test_a_strategy_that_was_changed_and_fails_now_is_a_difference(own):
    changed(own / "mine.py", "SIZE)", "nothing_like_it)")
    found = differences(own / "runs/one")
    assert "strategy: the source of " in found
    assert "executed again it ends with: " in found
    assert "NameError" in found


def test_other_candles_are_named_with_the_first_event_that_differs(own):
    other = waves(4 * 1440)
    other["close"][700] += 1
    other["high"][700] += 10
    other["open"][701] += 1
    other["high"][701] += 10
    import_candles(write_csv(own / "other.csv", other), own / "other", symbol="BTCUSDT")
    found = differences(own / "runs/one", "--data", str(own / "other"))
    assert "data: the candles are not those of the run" in found
    assert "first difference at event " in found


def test_a_run_that_did_not_complete_is_told_from_one_that_differs(place):
    changed(place / "runs/one/manifest.json", '"status": "complete"', '"status": "running"')
    assert "is not complete: its status is running" in differences(place / "runs/one")


def test_what_is_no_run_and_what_cannot_be_executed_again_is_the_users_mistake(own):
    assert "is no run" in bt_here("verify", "catalog", cwd=own, code=2).stderr
    shutil.move(own / "mine.py", own / "gone.py")
    assert "mine.py does not exist" in bt_here("verify", "runs/one", cwd=own, code=2).stderr
    shutil.move(own / "gone.py", own / "mine.py")
    shutil.move(own / "catalog", own / "moved")
    done = bt_here("verify", "runs/one", cwd=own, code=3)
    assert "catalog" in done.stderr
    assert "--data" in done.stderr
    assert "repeats" in bt("verify", "runs/one", cwd=own, BT_DATA="moved").stdout


def test_what_was_handed_over_in_python_is_named(stored, tmp_path):
    write_strategy(tmp_path / "mine.py", BODY.replace("SIZE", "Decimal('0.01')"))
    (tmp_path / "models.py").write_text(
        "from decimal import Decimal\nimport backtester\nfrom backtester.sim.sim_models import FixedFee\nfrom mine import Mine\n"
        f"backtester.run(Mine, symbols='BTCUSDT', data={str(stored)!r}, fee_model=FixedFee(Decimal(3)), output='runs', run_id='own')\n"
    )
    subprocess.run([sys.executable, "models.py"], cwd=tmp_path, check=True, capture_output=True)
    assert manifest_of(tmp_path / "runs/own")["handed_over"] == ["a fee model"]
    assert "a fee model" in bt_here("verify", "runs/own", cwd=tmp_path, code=2).stderr


def test_a_script_that_runs_whenever_it_is_loaded_is_told_where_to_put_its_run(stored, tmp_path):
    asked = f"backtester.run(Idle, symbols='BTCUSDT', data={str(stored)!r}, timeframe='1h', output='runs', run_id='own')"
    head = "import backtester\n\nclass Idle(backtester.Strategy):\n    pass\n\n"
    script = tmp_path / "script.py"
    script.write_text(head + asked + "\n")
    subprocess.run([sys.executable, "script.py"], cwd=tmp_path, check=True, capture_output=True)
    before = files_of(tmp_path / "runs")
    assert "under `if __name__ == '__main__':`" in bt_here("verify", "runs/own", cwd=tmp_path, code=2).stderr
    assert files_of(tmp_path / "runs") == before
    script.write_text(f"{head}if __name__ == '__main__':\n    {asked.replace('own', 'two')}\n")
    subprocess.run([sys.executable, "script.py"], cwd=tmp_path, check=True, capture_output=True)
    assert "repeats" in bt_here("verify", "runs/two", cwd=tmp_path).stdout
