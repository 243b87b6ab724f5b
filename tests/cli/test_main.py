from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from backtester.cli import main as entry
from backtester.cli.main import main
from backtester.domain.errors import (
    ConfigError,
    DataUnavailableError,
    LedgerImbalanceError,
    RunAbortedError,
    StorageError,
    StrategyError,
)


@pytest.fixture
def answer(monkeypatch):
    """Makes the command do what a test says."""

    def answer_with(error: BaseException) -> None:
        def fail(arguments: list[str]) -> int:
            raise error

        monkeypatch.setattr(entry, "_dispatch", fail)

    return answer_with


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("sim.slipage: did you mean slippage?"), 2),
        (StrategyError("it raised"), 2),
        (StorageError("no space"), 2),
        (DataUnavailableError("nothing stored"), 3),
        (RunAbortedError(StrategyError("it raised"), seq=1, time_ms=2, topic="candles", handler="on_candle"), 2),
    ],
)
def test_a_refusal_is_one_line_on_stderr_and_its_exit_code(answer, capsys, error, code):
    answer(error)
    assert main([]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"bt: error: {error}\n"


@pytest.mark.parametrize("error", [LedgerImbalanceError("cash"), ZeroDivisionError("division by zero")])
def test_our_own_fault_says_so_and_shows_where_only_when_debugging(answer, capsys, error):
    answer(error)
    assert main(["verify", "x"]) == 70
    told = capsys.readouterr().err
    assert "fault of the program" in told
    assert "--debug" in told
    assert "Traceback" not in told
    assert main(["verify", "x", "--debug"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_before_the_run_is_130(answer, capsys):
    answer(KeyboardInterrupt())
    assert main([]) == 130
    assert capsys.readouterr().err == "bt: interrupted\n"


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    command = f"{sys.executable} -m backtester.cli.main strategies --json | true"
    done = subprocess.run(
        ["bash", "-c", f"{command}; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here that is always full")
def test_a_full_disk_behind_stdout_is_told_in_words(tmp_path):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "backtester.cli.main", "strategies"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            check=False,
        )
    assert (done.returncode, done.stderr) == (2, "bt: error: No space left on device: standard output\n")
