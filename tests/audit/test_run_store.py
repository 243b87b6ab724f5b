from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from backtester.audit.journal import read_journal
from backtester.audit.run_store import Counts, Manifest, RunDir, Timings, create, default_run_id
from backtester.domain.errors import StorageError


def test_the_manifest_has_the_names_that_scripts_rely_on(tmp_path: Path) -> None:
    run = create(tmp_path / "runs", "first")
    run.write_manifest(Manifest(run_id="first", counts=Counts(candles=3), timings=Timings(run_s=0.5)))
    written = json.loads((tmp_path / "runs/first/manifest.json").read_text())
    assert {"run_id", "status", "digest", "seed", "strategy", "symbols", "start", "end", "data_source"} <= set(written)
    assert {"git_sha", "git_dirty", "timings", "counts", "files"} <= set(written)
    assert set(written["timings"]) == {"load_s", "run_s", "report_s"}
    assert set(written["counts"]) == {"candles", "events", "orders", "fills", "refusals", "gaps", "outages", "filled"}
    assert written["status"] == "running" and written["files"] == {}


def test_the_manifest_holds_the_hash_of_every_other_file_and_finds_a_changed_one(tmp_path: Path) -> None:
    run = create(tmp_path, "one")
    run.write_text("fills.csv", "time_ms\n")
    run.write_text("metrics.json", "{}\n")
    run.write_manifest(Manifest(run_id="one", status="complete", end_reason="bankrupt"))
    manifest = run.read_manifest()
    assert manifest.files == {"fills.csv": sha256(b"time_ms\n").hexdigest(), "metrics.json": sha256(b"{}\n").hexdigest()}
    assert (manifest.status, manifest.end_reason) == ("complete", "bankrupt")
    assert run.changed_files() == []
    run.write_text("fills.csv", "time_ms\n1\n")
    (run.path / "metrics.json").unlink()
    assert run.changed_files() == ["metrics.json is missing", "fills.csv was changed after the run"]


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    run = create(tmp_path, "one")
    run.write_text("equity.csv", "old\n")
    with pytest.raises(RuntimeError, match="half way"), run.whole_file("equity.csv") as file:
        file.write("new\n")
        assert (run.path / "equity.csv").read_text() == "old\n"
        raise RuntimeError("half way")
    assert (run.path / "equity.csv").read_text() == "old\n"
    assert [path.name for path in run.path.iterdir()] == ["equity.csv"]


def test_a_full_disk_is_a_storage_error_and_leaves_no_part(tmp_path: Path) -> None:
    run = create(tmp_path, "one")
    limit, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StorageError, match=r"cannot write .*fills.csv.*make room"):
            run.write_text("fills.csv", "x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    assert list(run.path.iterdir()) == []


def test_a_run_id_that_exists_is_refused_and_nothing_of_it_changes(tmp_path: Path) -> None:
    create(tmp_path, "one").write_text("fills.csv", "mine")
    with pytest.raises(StorageError, match="run id 'one' exists"):
        create(tmp_path, "one")
    assert (tmp_path / "one/fills.csv").read_text() == "mine"


@pytest.mark.parametrize("run_id", ["", ".", "..", "a/b", "../up", ".hidden", "nul\0"])
def test_a_run_id_that_is_no_directory_name_is_refused(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(StorageError, match="is no directory name"):
        create(tmp_path, run_id)


def test_an_output_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="not a directory"):
        create(tmp_path / "file", "one")
    with pytest.raises(StorageError, match="cannot write runs to"):
        create(tmp_path / "file" / "below", "one")
    with pytest.raises(StorageError, match="cannot write runs to"):
        create(Path("/proc/no/such"), "one")


def test_what_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is no run"):
        RunDir(tmp_path).read_manifest()
    (tmp_path / "manifest.json").write_text('{"run_id": 1}')
    with pytest.raises(StorageError, match=r"not a manifest: .*run_id"):
        RunDir(tmp_path).read_manifest()


def test_default_run_ids_are_unique_directory_names() -> None:
    names = {default_run_id("my dir/strategy.py:Cross") for _ in range(50)}
    assert len(names) == 50
    assert all(re.fullmatch(r"\d{8}-\d{6}-my_dir_strategy_py_Cross-[0-9a-f]{6}", name) for name in names)
    assert "-run-" in default_run_id("é")


def test_a_killed_run_is_readable_and_marked_as_running(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from backtester.audit.journal import FileJournal; from backtester.audit.run_store import Manifest, create\n"
        "from tests.audit.messages import a_fill\n"
        "run = create(Path(sys.argv[1]), 'killed'); run.write_manifest(Manifest(run_id='killed'))\n"
        "journal = FileJournal(run.journal_path); seq = 0\n"
        "while True:\n"
        "    seq += 1; journal.append(seq, 0, 'fills', a_fill(seq))\n"
        "    if seq == 1000: sys.stdout.write('on\\n'); sys.stdout.flush()\n"
    )
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=root, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"on\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    run = RunDir(tmp_path / "killed")
    assert run.read_manifest().status == "running"
    assert len(list(read_journal(run.journal_path))) > 700
