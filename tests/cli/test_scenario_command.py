"""`bt --strategy ... --scenarios`: three runs side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backtester.cli.main import main

RUN = ("--strategy", "sma_extended", "--symbols", "BTCUSDT", "--end", "2024-01-06", "--scenarios", "--run-id", "r")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Every command runs in an empty directory, with no catalog named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BT_DATA", raising=False)


def test_the_table_has_a_column_for_each_scenario(capsys) -> None:
    assert main([*RUN]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[1].split() == ["harsh", "base", "lenient"]
    for words in ("end equity", "ambiguous bars", "order inside bars", "of profit hang on them", "runs/r-harsh"):
        assert words in shown
    assert sorted(path.name for path in Path("runs").iterdir()) == ["r-base", "r-harsh", "r-lenient"]
    assert main(["verify", "runs/r-harsh"]) == 0


def test_json_is_one_object_with_a_summary_for_each(capsys) -> None:
    assert main([*RUN, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["status"], told["exit_code"], list(told["scenarios"])) == ("complete", 0, ["harsh", "base", "lenient"])
    base = told["scenarios"]["base"]
    assert (base["run_id"], base["ambiguous_bars"], float(base["ambiguous_quote"])) == ("r-base", 0, 0.0)


def test_quiet_says_nothing(capsys) -> None:
    assert main([*RUN, "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_what_cannot_be_is_a_mistake_of_the_user(capsys) -> None:
    assert main([*RUN, "--set", "sim.cost_factor=60"]) == 2
    assert "sim.cost_factor of the harsh run would be 120" in capsys.readouterr().err
    assert main([*RUN, "--set", "sim.path=sideways"]) == 2
    assert "allowed: worst, ohlc, olhc, adaptive, seeded, best" in capsys.readouterr().err
