from __future__ import annotations

import json
from pathlib import Path

import pytest

from backtester.app.record import RunRecord
from backtester.audit.journal import read_journal
from backtester.audit.run_store import Manifest, RunDir
from backtester.domain.errors import RunAbortedError, StorageError, StrategyError
from backtester.domain.run_events import ControlAction, ControlEvent

CAUSE = RunAbortedError(StrategyError("mine"), seq=3, time_ms=5, topic="candles")


def opened(output: Path | None) -> RunRecord:
    record = RunRecord(Manifest(run_id="one"), output=output)
    record.open("[run]\n")
    record.journal.append(1, 0, "control", ControlEvent(time_ms=1, action=ControlAction.END_CLOSE, detail="x"))
    return record


def status(output: Path) -> str:
    return str(json.loads((output / "one/manifest.json").read_text())["status"])


def test_a_run_that_has_begun_is_readable_at_once(tmp_path):
    record = opened(tmp_path)
    assert status(tmp_path) == "running"
    assert (tmp_path / "one/config.toml").read_text() == "[run]\n"
    record.close()


def test_a_run_that_ends_is_sealed_and_hashed(tmp_path):
    record = opened(tmp_path)
    record.manifest.status = "complete"
    record.finish()
    assert RunDir(tmp_path / "one").changed_files() == []
    assert set(RunDir(tmp_path / "one").read_manifest().files) == {"config.toml", "journal.jsonl", "run.log"}
    record.close()
    assert RunDir(tmp_path / "one").changed_files() == []


@pytest.mark.parametrize(("error", "ending"), [(CAUSE, "failed"), (ValueError(), "failed"), (KeyboardInterrupt(), "interrupted")])
def test_a_run_that_breaks_off_says_what_ended_it(tmp_path, error, ending):
    record = opened(tmp_path)
    record.fail(error)
    manifest = RunDir(tmp_path / "one").read_manifest()
    assert manifest.status == ending
    assert manifest.error
    assert RunDir(tmp_path / "one").changed_files() == []
    assert len(list(read_journal(tmp_path / "one/journal.jsonl"))) == 1
    assert str(tmp_path / "one") in error.__notes__[-1]
    assert '"run_failed"' in (tmp_path / "one/run.log").read_text()


def test_a_second_failure_hides_neither_the_first_nor_the_manifest(tmp_path, monkeypatch, capsys):
    record = opened(tmp_path)

    def full(content: bytes) -> None:
        raise StorageError("no room for the journal")

    monkeypatch.setattr(record.journal, "_write", full)
    record.fail(CAUSE)
    assert "no room for the journal" in capsys.readouterr().err
    assert '"run_failed"' in (tmp_path / "one/run.log").read_text()
    manifest = RunDir(tmp_path / "one").read_manifest()
    assert (manifest.status, manifest.error) == ("failed", str(CAUSE))


def test_without_an_output_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record = opened(None)
    record.fail(CAUSE)
    record.close()
    assert record.path is None
    assert record.manifest.status == "failed"
    assert list(tmp_path.iterdir()) == []
