"""`bt check` as it is typed."""

from __future__ import annotations

import json
import shutil

import pytest

from backtester.app.verify import verify
from backtester.cli.arguments import parse
from backtester.cli.main import main
from tests.trust import honest

SHORT = ["--symbols", "BTCUSDT", "--start", "2025-01-06", "--end", "2025-01-06T06:00"]


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BT_DATA", raising=False)


def test_check_takes_the_options_of_a_run_and_a_strategy_or_a_run():
    options = parse(["check", "sma_extended", "--symbols", "A", "--fees", "1", "--json"])
    assert (options.command, options.target, options.symbols, options.fees, options.json) == (
        "check",
        "sma_extended",
        ["A"],
        "1",
        True,
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check"], "nothing to check"),
        (["check", "."], "is no run"),
        (["check", "a.py", "--strategy", "b.py"], "both"),
        (["check", "nobody.py", "--symbols", "BTCUSDT"], "nobody.py does not exist"),
    ],
)
def test_what_cannot_be_checked_is_said_in_words(words, message, capsys):
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_a_run_is_checked_and_the_report_kept_beside_it(tmp_path, capsys):
    strategy = ["--strategy", f"{honest.__file__}:Trailing"]
    assert main([*strategy, *SHORT, "--run-id", "one", "--output", str(tmp_path), "--quiet", "--fees", "0"]) == 0
    capsys.readouterr()
    assert main(["check", str(tmp_path / "one")]) == 0
    shown = capsys.readouterr().out
    assert "look-ahead    passed" in shown
    assert "determinism   passed" in shown
    assert "fees-below-the-table" in shown
    kept = json.loads((tmp_path / "one/check.json").read_text(encoding="utf-8"))
    assert kept["ok"]
    assert {one["name"] for one in kept["findings"]} >= {"fees-below-the-table"}
    assert kept["digest"] == json.loads((tmp_path / "one/manifest.json").read_text(encoding="utf-8"))["digest"]
    assert verify(tmp_path / "one").ok


def test_a_strategy_that_changed_since_its_run_is_told(tmp_path, capsys):
    source = tmp_path / "mine.py"
    shutil.copy(honest.__file__, source)
    assert main(["--strategy", f"{source}:Trailing", *SHORT, "--run-id", "one", "--output", str(tmp_path), "--quiet"]) == 0
    source.write_text(source.read_text(encoding="utf-8").replace("trail_bps=20", "trail_bps=30"), encoding="utf-8")
    (tmp_path / "one/fills.csv").write_text("", encoding="utf-8")
    capsys.readouterr()
    assert main(["check", str(tmp_path / "one"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    (finding,) = [one for one in report["findings"] if one["name"] == "not-the-run-that-is-stored"]
    assert finding["severity"] == "warning"
    assert "the strategy's source changed since" in finding["evidence"]
    assert not (tmp_path / "one/check.json").exists()
