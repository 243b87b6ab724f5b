"""Pruning removes what its rules leave out, whole directories of runs only, and never what is pinned."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

from backtester.audit.retention import pin, prune, prune_plan, unpin
from backtester.audit.run_index import runs_in, trials_against
from backtester.domain.errors import ConfigError, StorageError
from backtester.domain.timeframe import DAY_MS
from tests.audit.small_runs import make_run

NOW_MS = int(datetime(2025, 5, 11, 12, tzinfo=UTC).timestamp()) * 1000


def plan(output, *, keep_last=None, older_days=None):
    older_than_ms = older_days * DAY_MS if older_days is not None else None
    return prune_plan(output, keep_last=keep_last, older_than_ms=older_than_ms, now_ms=NOW_MS)


@pytest.fixture
def ten(tmp_path):
    for day in range(1, 11):
        make_run(tmp_path, f"r{day}", day=day)
    return tmp_path


@pytest.mark.parametrize(
    ("keep_last", "older_days", "leaving"),
    [
        (8, None, ["r1", "r2"]),
        (0, None, [f"r{day}" for day in range(1, 11)]),
        (20, None, []),
        (None, 8, ["r1", "r2"]),
        (None, 10, []),
        (5, 8, ["r1", "r2"]),
        (9, 2, ["r1"]),
    ],
)
def test_a_run_goes_when_every_rule_lets_it_go(ten, keep_last, older_days, leaving):
    assert [row.run_id for row, _ in plan(ten, keep_last=keep_last, older_days=older_days).leaving] == leaving


def test_a_plan_removes_nothing_and_tells_the_size_of_what_would_go(ten):
    found = plan(ten, keep_last=9)
    expected = sum(file.stat().st_size for file in (ten / "r1").iterdir())
    assert [size for _, size in found.leaving] == [expected]
    assert found.size == expected
    assert len(runs_in(ten)) == 10


def test_what_is_removed_is_gone_and_the_rest_is_untouched(ten):
    before = {row.run_id: row for row in runs_in(ten)}
    (ten / "notes").mkdir()
    assert prune(ten, plan(ten, keep_last=8).leaving, removed="now") == ["r1", "r2"]
    assert sorted(path.name for path in ten.iterdir() if not path.name.startswith(".")) == sorted(
        [f"r{day}" for day in range(3, 11)] + ["notes", "pruned.jsonl"]
    )
    assert all(row.data_fingerprint == before[row.run_id].data_fingerprint for row in runs_in(ten))


def test_a_removed_run_still_counts_as_a_trial_once(ten):
    prune(ten, plan(ten, keep_last=8).leaving, removed="now")
    assert {row.trials for row in runs_in(ten)} == {10}
    assert [one.run_id for one in trials_against(ten, "aa" * 32)] == [f"r{day}" for day in range(10, 0, -1)]
    make_run(ten, "r1", day=20)
    assert len(trials_against(ten, "aa" * 32)) == 11


def test_what_is_pinned_stays_also_when_it_is_pinned_after_the_plan_was_made(ten):
    assert pin(ten / "r1") is True
    assert pin(ten / "r1") is False
    found = plan(ten, keep_last=8)
    assert [row.run_id for row, _ in found.leaving] == ["r2"]
    assert [(row.run_id, why) for row, why in found.staying] == [("r1", "pinned")]
    pin(ten / "r2")
    assert prune(ten, found.leaving, removed="now") == []
    assert unpin(ten / "r1") is True
    assert unpin(ten / "r1") is False
    assert [row.run_id for row, _ in plan(ten, keep_last=8).leaving] == ["r1"]


def test_pins_stand_in_a_list_beside_the_runs_and_the_run_is_not_written_to(ten):
    before = sorted(path.name for path in (ten / "r3").iterdir())
    for name in ("r3", "r1"):
        pin(ten / name)
    assert (ten / "pinned.txt").read_text() == "r1\nr3\n"
    assert sorted(path.name for path in (ten / "r3").iterdir()) == before
    assert [row.run_id for row in runs_in(ten) if row.pinned] == ["r3", "r1"]


def test_damaged_runs_links_and_runs_at_work_stay(ten, tmp_path_factory):
    (ten / "r1/manifest.json").write_text("{")
    elsewhere = make_run(tmp_path_factory.mktemp("elsewhere"), "real", day=1)
    (ten / "link").symlink_to(elsewhere)
    running = make_run(ten, "running", day=1, status="running")
    now_s = NOW_MS / 1000
    for file in running.iterdir():
        os.utime(file, (now_s, now_s))
    found = plan(ten, keep_last=0)
    assert {row.run_id for row, _ in found.staying} == {"r1", "link", "running"}
    prune(ten, found.leaving, removed="now")
    assert elsewhere.is_dir()
    assert running.is_dir()
    assert (ten / "r1").is_dir()


def test_a_killed_run_that_still_says_running_goes_after_a_day(ten):
    killed = make_run(ten, "killed", day=1, status="running")
    long_ago_s = NOW_MS / 1000 - 2 * 86_400
    for file in killed.iterdir():
        os.utime(file, (long_ago_s, long_ago_s))
    assert "killed" in [row.run_id for row, _ in plan(ten, keep_last=0).leaving]


def test_without_a_rule_nothing_may_go(ten):
    with pytest.raises(ConfigError, match="--keep-last"):
        plan(ten)


def test_a_removal_that_was_cut_off_is_finished_by_the_next(ten):
    (ten / ".removed-r0").mkdir()
    (ten / ".removed-r0/journal.jsonl").write_text("")
    assert len(runs_in(ten)) == 10
    prune(ten, (), removed="now")
    assert not (ten / ".removed-r0").exists()


def test_a_directory_that_cannot_be_moved_is_named(ten, monkeypatch):
    def refuse(self, target):
        raise PermissionError(13, "Permission denied")

    found = plan(ten, keep_last=9)
    monkeypatch.setattr(type(ten), "rename", refuse)
    with pytest.raises(StorageError, match="cannot remove .*r1: Permission denied"):
        prune(ten, found.leaving, removed="now")
