from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from backtester.app.logging import RunLog
from backtester.domain.errors import InvariantError, StorageError


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def fail() -> None:
    raise ValueError("the cause")


def test_every_line_is_one_json_object_with_the_run_id(tmp_path):
    path = tmp_path / "run.log"
    with RunLog(path, run_id="r1") as log:
        log.info("run_started", seed=42, cash_quote=Decimal("1.5"))
        log.debug("candle_seen")
        log.warning("gaps_found", gap_count=3)
    first, second = lines(path)
    assert {key: first[key] for key in ("event", "level", "run_id", "seed", "cash_quote")} == {
        "event": "run_started", "level": "info", "run_id": "r1", "seed": 42, "cash_quote": "1.5",
    }  # fmt: skip
    assert first["timestamp"].endswith("Z")
    assert (second["event"], second["gap_count"]) == ("gaps_found", 3)


def test_a_cause_is_kept_with_its_traceback(tmp_path):
    path = tmp_path / "run.log"
    with RunLog(path, run_id="r1") as log:
        with pytest.raises(ValueError, match="the cause") as caught:
            fail()
        log.error("run_failed", cause=caught.value, seq=7)
    (line,) = lines(path)
    assert line["seq"] == 7
    assert "test_logging.py" in line["exception"]
    assert line["exception"].endswith("ValueError: the cause")


def test_debugging_keeps_more_and_no_path_keeps_nothing(tmp_path):
    with RunLog(tmp_path / "run.log", run_id="r1", debug=True) as log:
        log.debug("candle_seen")
    assert lines(tmp_path / "run.log")[0]["level"] == "debug"
    with RunLog(None, run_id="r1") as silent:
        silent.info("run_started")


def test_what_varies_is_refused_in_the_name_of_an_event(tmp_path):
    with RunLog(tmp_path / "run.log", run_id="r1") as log, pytest.raises(InvariantError, match="no snake_case name"):
        log.info("run 3 started")


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="choose another --output"):
        RunLog(tmp_path / "gone" / "run.log", run_id="r1")
    with RunLog(Path("/dev/full"), run_id="r1") as log, pytest.raises(StorageError, match="No space left"):
        log.info("run_started")
