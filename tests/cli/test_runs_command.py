"""`bt runs` tells what there is, prunes and pins; mistakes are answered with the nearest right word."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest

from backtester.report.listing import Cell, Column, print_listing
from tests.audit.small_runs import make_run
from tests.e2e.program import bt_here


@pytest.fixture
def three(tmp_path):
    runs = tmp_path / "runs"
    make_run(runs, "best", day=1, figures={"sharpe": 3.0, "total_return": 0.2})
    make_run(runs, "worst", day=2, figures={"sharpe": -1.0, "total_return": -0.2}, strategy="dir/mine.py:Mine")
    make_run(runs, "sample", day=3, data_source="synthetic sample", symbols=["A", "B", "C", "D", "E"])
    return tmp_path


def first_words(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines()[1:-1]]


def test_every_run_is_a_line(three):
    done = bt_here("runs", cwd=three)
    assert first_words(done.stdout) == ["sample", "worst", "best"]
    assert "SYNTHETIC" in done.stdout
    assert "A B C +2" in done.stdout
    assert "-20.00%" in done.stdout
    assert "mine.py:Mine" in done.stdout
    assert done.stdout.endswith("3 runs in runs\n")
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--sort", "sharpe"), ["best", "sample", "worst"]),
        (("--sort", "sharpe", "--reverse"), ["worst", "sample", "best"]),
        (("--sort", "sharpe", "--limit", "1"), ["best"]),
        (("--filter", "sharpe>0", "synthetic=no"), ["best"]),
        (("--filter", "sharpe>0", "--filter", "return<15%"), ["sample"]),
    ],
)
def test_runs_are_sorted_filtered_and_limited(three, words, expected):
    assert first_words(bt_here("runs", *words, cwd=three).stdout) == expected


def test_json_is_one_object_with_every_field(three):
    told = json.loads(bt_here("runs", "--json", "--limit", "1", cwd=three).stdout)
    assert (told["matching"], told["all"], told["output"]) == (3, 3, "runs")
    (run,) = told["runs"]
    assert (run["run_id"], run["synthetic"], run["trials"], run["sharpe"]) == ("sample", True, 3, 1.5)


def test_no_runs_and_no_match_are_said(three, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    assert "no runs in runs" in bt_here("runs", cwd=empty).stdout
    assert "none of the 3 runs" in bt_here("runs", "--filter", "sharpe>9", cwd=three).stdout
    assert "nowhere" in bt_here("runs", "--output", "nowhere", cwd=three, code=2).stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--filter", "sharp>1"), "did you mean sharpe"),
        (("--sort", "sharp"), "did you mean sharpe"),
        (("--limit", "0"), "whole number"),
        (("prun",), "unexpected argument"),
        (("prune",), "--keep-last"),
        (("prune", "--older-than", "old"), "--older-than 'old' is no span of time"),
        (("prune", "--keep-last", "-1"), "--keep-last"),
        (("pin",), "required"),
        (("pin", "besst"), "did you mean best"),
    ],
)
def test_a_mistake_is_the_users_and_is_explained(three, words, message):
    assert message in bt_here("runs", *words, cwd=three, code=2).stderr


def test_prune_says_what_it_would_remove_and_then_removes_it(three):
    dry = bt_here("runs", "prune", "--keep-last", "1", "--older-than", "30d", "--dry-run", cwd=three)
    assert first_words(dry.stdout) == ["best", "worst"]
    assert "would be freed by removing 2 runs" in dry.stdout
    assert (three / "runs/best").is_dir()
    bt_here("runs", "pin", "best", cwd=three)
    told = json.loads(bt_here("runs", "prune", "--keep-last", "1", "--json", cwd=three).stdout)
    assert told["removed"] == ["worst"]
    assert told["staying"] == [{"run_id": "best", "why": "pinned"}]
    assert first_words(bt_here("runs", cwd=three).stdout) == ["sample", "best"]
    assert "unpinned runs/best" in bt_here("runs", "unpin", "best", cwd=three).stdout


def test_on_a_terminal_lines_are_coloured_and_cut_to_its_width(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    columns = (Column("name"), Column("number", right=True), Column("note", least=6), Column("empty"))
    print_listing(columns, [("one", Cell("5", "good"), "a long note that does not fit", "")], stream)
    heading, line = stream.getvalue().splitlines()
    assert line == "one   \x1b[32m     5\x1b[0m  a long note th…"
    assert "empty" not in heading
    monkeypatch.setenv("NO_COLOR", "1")
    plain = Terminal()
    print_listing(columns, [("one", Cell("5", "good"), "short", "")], plain)
    assert "\x1b" not in plain.getvalue()


def test_listing_imports_no_heavy_library(three):
    program = (
        "import sys; from backtester.cli.main import main; main(['runs']); "
        "print({name.partition('.')[0] for name in sys.modules} & {'numpy', 'polars', 'pyarrow', 'pandas', 'rich', 'plotly'})"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=three, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("3 runs in runs\nset()\n")
