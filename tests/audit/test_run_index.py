"""The index says what the run directories say; the cache is never asked for more than saving time."""

from __future__ import annotations

import json
import os
import random
import shutil

import pytest

from backtester.audit import run_index
from backtester.audit.run_filter import condition, ordered
from backtester.audit.run_index import CACHE_NAME, RunRow, nearest_run, runs_in, trials_against
from backtester.domain.errors import ConfigError, StorageError
from tests.audit.small_runs import make_run


def ids(rows) -> list[str]:
    return [row.run_id for row in rows]


def test_runs_are_listed_newest_first_and_what_is_no_run_is_left_out(tmp_path):
    make_run(tmp_path, "old", day=1)
    make_run(tmp_path, "new", day=3)
    make_run(tmp_path, "middle", day=2)
    (tmp_path / "notes").mkdir()
    (tmp_path / "README.md").write_text("not a run")
    assert ids(runs_in(tmp_path)) == ["new", "middle", "old"]


def test_a_row_holds_what_manifest_and_metrics_say(tmp_path):
    make_run(tmp_path, "one", seed=7, figures={"sharpe": None})
    (row,) = runs_in(tmp_path)
    assert (row.status, row.seed, row.symbols, row.total_return, row.sharpe, row.trades) == (
        "complete",
        7,
        ("BTCUSDT",),
        0.1,
        None,
        7,
    )
    assert (row.trials, row.pinned, row.synthetic, row.problem) == (1, False, False, "")


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda run: (run / "manifest.json").write_text("{"), "manifest.json is not a manifest"),
        (lambda run: (run / "manifest.json").write_text('{"run_id": 3}'), "manifest.json is not a manifest"),
        (lambda run: (run / "manifest.json").write_bytes(b"\xff\xfe\x00"), "manifest.json is not a manifest"),
        (lambda run: (run / "manifest.json").unlink(), "no manifest.json"),
        (lambda run: (run / "metrics.json").unlink(), "no metrics.json"),
        (lambda run: (run / "metrics.json").write_text("[]"), "metrics.json is not what a run writes"),
    ],
)
def test_a_damaged_run_is_listed_as_such_with_the_reason(tmp_path, spoil, problem):
    spoil(make_run(tmp_path, "bad"))
    for _ in range(2):
        (row,) = runs_in(tmp_path)
        assert (row.run_id, row.status) == ("bad", "damaged")
        assert problem in row.problem


def test_a_run_that_failed_says_what_ended_it_and_one_that_runs_has_no_figures(tmp_path):
    make_run(tmp_path, "failed", status="failed", error="the strategy raised")
    make_run(tmp_path, "running", status="running")
    found = {row.run_id: row for row in runs_in(tmp_path)}
    assert (found["failed"].status, found["failed"].problem) == ("failed", "the strategy raised")
    assert (found["running"].status, found["running"].sharpe) == ("running", None)


def test_a_second_listing_reads_the_cache_and_no_run(tmp_path, monkeypatch):
    for number in range(5):
        make_run(tmp_path, f"r{number}", day=number + 1)
    first = runs_in(tmp_path)
    monkeypatch.setattr(run_index, "_read", lambda name, path: pytest.fail(f"{name} was read again"))
    assert runs_in(tmp_path) == first


@pytest.mark.parametrize("content", [b"", b"{", b'{"version":99,"runs":{}}', b"\xff", b'{"version":1,"runs":{"r":{}}}'])
def test_a_cache_that_is_not_whole_is_not_believed(tmp_path, content):
    make_run(tmp_path, "one")
    (tmp_path / CACHE_NAME).write_bytes(content)
    assert ids(runs_in(tmp_path)) == ["one"]
    assert json.loads((tmp_path / CACHE_NAME).read_bytes())["runs"].keys() == {"one"}


@pytest.mark.parametrize("seed", range(10))
def test_after_any_change_the_listing_is_the_one_without_a_cache(tmp_path, seed):
    dice = random.Random(seed)
    for number in range(4):
        make_run(tmp_path, f"r{number}", day=number + 1)
    for step in range(12):
        run = tmp_path / f"r{dice.randrange(6)}"
        action = dice.choice(["remove", "make", "change", "figures", "spoil", "pin"])
        if action == "remove" and run.exists():
            shutil.rmtree(run)
        elif action == "make" and not run.exists():
            make_run(tmp_path, run.name, day=dice.randint(1, 28), status=dice.choice(["complete", "running", "failed"]))
        elif action in {"change", "spoil"} and (run / "manifest.json").exists():
            said = json.dumps({"run_id": "x", "status": "failed", "seed": step})
            (run / "manifest.json").write_text(said if action == "change" else said[:-3])
        elif action == "figures" and (run / "metrics.json").exists():
            (run / "metrics.json").write_text(json.dumps({"total_return": step, "sharpe": 1, "max_drawdown": 0, "trades": step}))
        elif action == "pin":
            (tmp_path / "pinned.txt").write_text(f"{run.name}\n")
        with_cache = runs_in(tmp_path)
        (tmp_path / CACHE_NAME).unlink(missing_ok=True)
        assert runs_in(tmp_path) == with_cache


def test_a_directory_that_cannot_be_written_is_listed_without_a_cache(tmp_path, monkeypatch):
    make_run(tmp_path, "one")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "no")

    monkeypatch.setattr(run_index.tempfile, "mkstemp", refuse)
    assert ids(runs_in(tmp_path)) == ["one"]
    assert not (tmp_path / CACHE_NAME).exists()


def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StorageError, match=r"nowhere.*--output"):
        runs_in(tmp_path / "nowhere")


def test_trials_are_the_runs_on_the_same_data(tmp_path):
    make_run(tmp_path, "a", day=1, config_sha256="c1")
    make_run(tmp_path, "b", day=2, config_sha256="c2", figures={"sharpe": None})
    make_run(tmp_path, "c", day=3, data_fingerprint="bb" * 32)
    make_run(tmp_path, "d", day=4, data_fingerprint="", status="failed")
    assert {row.run_id: row.trials for row in runs_in(tmp_path)} == {"a": 2, "b": 2, "c": 1, "d": 0}
    found = trials_against(tmp_path, "aa" * 32)
    assert [(one.run_id, one.config_sha256, one.sharpe, one.daily_returns) for one in found] == [
        ("b", "c2", None, 30),
        ("a", "c1", 1.5, 30),
    ]
    assert trials_against(tmp_path, "cc" * 32) == ()


def test_a_wrong_id_is_answered_with_the_nearest(tmp_path):
    for name in ("20250501-sma_extended-a1b2c3", "20250502-mine-d4e5f6"):
        make_run(tmp_path, name)
    assert nearest_run(tmp_path, "20250502-mine-d4e5f7") == "20250502-mine-d4e5f6"
    assert nearest_run(tmp_path, "a1b2c3") == "20250501-sma_extended-a1b2c3"
    assert nearest_run(tmp_path, "????") == ""
    assert nearest_run(tmp_path / "nowhere", "x") == ""


ROW = RunRow(
    run_id="r1",
    status="complete",
    created="2025-05-05T12:00:00+00:00",
    strategy="mine/cross.py:Cross",
    symbols=("BTCUSDT", "ETHUSDT"),
    start="2025-01-01 00:00:00",
    data_source="synthetic sample",
    total_return=0.06,
    sharpe=None,
    max_drawdown=0.1,
    trades=3,
)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("status=complete", True),
        ("status!=complete", False),
        ("status = complete", True),
        ("strategy=cross.py:Cross", True),
        ("strategy=mine/cross.py:Cross", True),
        ("strategy=Cross", False),
        ("strategy~cross", True),
        ("strategy=*:Cross", True),
        ("symbols=ETHUSDT", True),
        ("symbol=SOLUSDT", False),
        ("symbols!=SOLUSDT", True),
        ("symbols!=ETHUSDT", False),
        ("return>5%", True),
        ("return>0.06", False),
        ("return>=0.06", True),
        ("total_return<6%", False),
        ("sharpe>-99", False),
        ("sharpe<99", False),
        ("sharpe!=1", True),
        ("trades=3", True),
        ("synthetic=true", True),
        ("synthetic!=yes", False),
        ("pinned=no", True),
        ("created>=2025-05-05", True),
        ("created<2025-05-05T12:00", False),
        ("start=2025-01-01", True),
        ("end>2020-01-01", False),
    ],
)
def test_a_condition_holds_or_does_not(text, holds):
    assert condition(text)(ROW) is holds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sharpe", "no condition"),
        ("sharpe>", "no condition"),
        (">1", "no condition"),
        ("sharp>1", "did you mean sharpe"),
        ("sharpe>high", "no number"),
        ("sharpe~1", "~ is for words"),
        ("status>complete", "has no order"),
        ("synthetic=perhaps", "neither true nor false"),
        ("created>yesterday", "not an ISO date"),
    ],
)
def test_a_condition_that_says_nothing_is_refused_with_the_reason(text, message):
    with pytest.raises(ConfigError, match=message):
        condition(text)


def test_runs_are_ordered_by_a_field_and_those_without_a_value_stand_last(tmp_path):
    for day, (name, sharpe) in enumerate((("low", -1.0), ("none", None), ("high", 2.0), ("zero", 0.0)), start=1):
        make_run(tmp_path, name, day=day, figures={"sharpe": sharpe}, strategy=name)
    rows = runs_in(tmp_path)
    assert ids(ordered(rows, "sharpe")) == ["high", "zero", "low", "none"]
    assert ids(ordered(rows, "strategy")) == ["high", "low", "none", "zero"]
    assert ids(ordered(rows, "created")) == ["zero", "high", "none", "low"]
    with pytest.raises(ConfigError, match="did you mean trades"):
        ordered(rows, "trade")


def test_a_run_that_was_replaced_within_the_same_size_is_noticed(tmp_path):
    run = make_run(tmp_path, "one", seed=1)
    runs_in(tmp_path)
    old = (run / "manifest.json").read_text()
    stamp = (run / "manifest.json").stat()
    (run / "new").write_text(old.replace('"seed": 1', '"seed": 2'))
    (run / "new").replace(run / "manifest.json")
    os.utime(run / "manifest.json", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert runs_in(tmp_path)[0].seed == 2


def test_a_list_of_pins_that_cannot_be_read_is_an_error_rather_than_no_pins(tmp_path):
    make_run(tmp_path, "one")
    (tmp_path / "pinned.txt").write_bytes(b"\xff")
    with pytest.raises(StorageError, match=r"pinned\.txt"):
        runs_in(tmp_path)
