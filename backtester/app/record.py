"""What a run leaves behind: manifest, configuration, journal and log; readable at every moment, however the run ends."""

from __future__ import annotations

import sys
from pathlib import Path

from backtester.app.logging import RunLog
from backtester.audit.journal import FileJournal, MemoryJournal
from backtester.audit.run_store import CHANGES_NAME, CONFIG_NAME, LOG_NAME, Manifest, RunDir, create
from backtester.domain.errors import BacktesterError, RunAbortedError


class RunRecord:
    """The record of one run, in a directory of its own, or in memory when there is no `output`."""

    def __init__(self, manifest: Manifest, *, output: Path | None) -> None:
        """Raises StorageError when the run id exists or `output` cannot be written."""
        self.manifest = manifest
        self.run_dir: RunDir | None = create(output, manifest.run_id) if output is not None else None
        self.log = RunLog(None, run_id=manifest.run_id)
        self.journal: MemoryJournal | FileJournal = MemoryJournal()

    @property
    def path(self) -> Path | None:
        """The run's directory."""
        return self.run_dir.path if self.run_dir is not None else None

    def open(self, config_text: str, *, changes: str = "") -> None:
        """The directory holds a manifest that says `running`, the configuration, and the code's `changes` since its commit;
        journal and log can grow.
        """
        if self.run_dir is None:
            return
        self.run_dir.write_manifest(self.manifest)
        self.run_dir.write_text(CONFIG_NAME, config_text)
        if changes:
            self.run_dir.write_text(CHANGES_NAME, changes)
        self.log = RunLog(self.run_dir.path / LOG_NAME, run_id=self.manifest.run_id)
        self.journal = FileJournal(self.run_dir.journal_path)

    def finish(self) -> None:
        """The manifest says how the run ended and holds the hash of every other file."""
        self.log.close()
        self.journal.close()
        if self.run_dir is not None:
            self.run_dir.write_manifest(self.manifest)

    def fail(self, error: BaseException) -> None:
        """What there is stands on disk, with what ended the run; a second failure must not hide the first."""
        manifest = self.manifest
        stopped = isinstance(error, KeyboardInterrupt)
        manifest.status = "interrupted" if stopped else "failed"
        manifest.end_reason = "interrupted" if stopped else "error"
        manifest.error = "stopped before its tick was finished" if stopped else str(error) or type(error).__name__
        where = {"seq": error.seq, "sim_time_ms": error.time_ms} if isinstance(error, RunAbortedError) else {}
        if self.run_dir is None:
            return
        error.add_note(f"what there is of the run: {self.run_dir.path}")
        for step in (self.journal.close, lambda: self.log.error("run_failed", cause=error, **where), self._finish_failed):
            try:
                step()
            except BacktesterError as second:
                sys.stderr.write(f"bt: the failed run could not be recorded: {second}\n")

    def close(self) -> None:
        """No file is left open."""
        self.log.close()
        self.journal.close()

    def _finish_failed(self) -> None:
        self.manifest.digest = self.journal.digest()
        self.finish()
