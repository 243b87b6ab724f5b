"""What `bt` says, and where: a script can rely on stdout, a person finds every message on stderr."""

from __future__ import annotations

import json
import shlex
import subprocess

import pytest

from tests.e2e.program import COMMAND, bt, bt_here, environment, manifest_of, write_strategy

RUN = ("--strategy", "sma_extended", "--symbols", "BTCUSDT", "--timeframe", "5m", "--run-id", "one")


def test_json_is_the_summary_and_nothing_else(tmp_path, stored):
    done = bt(*RUN, "--data", str(stored), "--json", cwd=tmp_path)
    assert (done.stderr, done.stdout.count("\n")) == ("", 1)
    summary, manifest = json.loads(done.stdout), manifest_of(tmp_path / "runs/one")
    for key in ("run_id", "status", "digest", "seed", "strategy", "symbols", "start", "end", "data_source", "counts", "timings"):
        assert summary[key] == manifest[key]
    assert summary["metrics"] == json.loads((tmp_path / "runs/one/metrics.json").read_text())


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--strategy", "fails.py"), 2, "mine"),
        (("--symbols", "XXXUSDT"), 3, "no candles of XXXUSDT"),
        (("--set", "sim.nothing=1"), 2, "nothing"),
        (("--timeframe",), 2, "expected one argument"),
    ],
)
def test_json_of_what_fails_is_one_object_with_status_exit_code_and_error(tmp_path, stored, words, code, message):
    write_strategy(tmp_path / "fails.py", "    def on_candle(self, candle):\n        raise ValueError('mine')\n")
    done = bt_here(*RUN, "--data", str(stored), "--json", *words, cwd=tmp_path, code=code)
    told = json.loads(done.stdout)
    assert (told["status"], told["exit_code"], done.stdout.count("\n")) == ("failed", code, 1)
    assert message in told["error"]
    assert told["error"] in done.stderr


def test_quiet_says_nothing_but_errors(tmp_path, stored):
    done = bt_here(*RUN, "--data", str(stored), "--quiet", cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("", "")
    done = bt_here(*RUN, "--data", str(stored), "--quiet", cwd=tmp_path, code=2)
    assert done.stdout == ""
    assert "run id 'one' exists" in done.stderr


@pytest.mark.parametrize("words", ["--help", "strategies", "{run} --json", "{run}"])
def test_a_reader_that_goes_away_sees_no_traceback(tmp_path, stored, words):
    asked = words.format(run=shlex.join((*RUN, "--data", str(stored))))
    line = f"{shlex.join(COMMAND)} {asked} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("0\n", "")
    if "{run}" in words:
        assert manifest_of(tmp_path / "runs/one")["status"] == "complete"


def test_what_a_strategy_prints_does_not_get_between_the_json(tmp_path, stored):
    write_strategy(tmp_path / "talks.py", "    def on_start(self):\n        print('hello')\n")
    done = bt("--strategy", "talks.py", *RUN[2:], "--data", str(stored), "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["status"] == "complete"
    assert "hello" in done.stderr
