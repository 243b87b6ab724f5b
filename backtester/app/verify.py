"""`bt verify`: executes a run again from what it stored and compares everything; writes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from backtester.app.resolve import ResolvedRun, resolve
from backtester.app.result import RunResult
from backtester.app.runner import OnProgress, execute
from backtester.audit.compare import first_difference
from backtester.audit.journal import read_journal, unsealed_lines
from backtester.audit.run_store import CONFIG_NAME, MANIFEST_NAME, METRICS_NAME, Manifest, RunDir
from backtester.config.loading import RunRequest, load_run_config
from backtester.config.run_config import RunConfig
from backtester.config.writing import config_hash, unnamed_settings
from backtester.domain.errors import BacktesterError, ConfigError, JournalError, StorageError
from backtester.proof.recomputation import Recomputed, recompute
from backtester.report.csv_files import FILLS_NAME, TRADES_NAME
from backtester.report.equity import EQUITY_NAME


class VerifyReport(NamedTuple):
    """Whether the run repeats, in one sentence, and what differs."""

    ok: bool
    message: str
    lines: tuple[str, ...]


def verify(run_dir: Path, *, data: Path | None = None, progress: OnProgress | None = None) -> VerifyReport:
    """Execute the run in `run_dir` again and compare events, files, ledger and data with what it recorded.

    `data` names the catalog, where it is not where it was. The directory may have been copied or renamed.
    Raises StorageError when it is no run, and ConfigError or DataError when it cannot be executed again.
    """
    run = RunDir(run_dir)
    try:
        manifest = run.read_manifest()
    except StorageError as error:
        if not (run_dir / MANIFEST_NAME).is_file():
            raise
        return VerifyReport(False, f"{run_dir} is no run any more", (str(error),))
    if manifest.status != "complete":
        return VerifyReport(False, f"run {manifest.run_id} is not complete: its status is {manifest.status}", ())
    lines = [f"files: {sentence}" for sentence in run.changed_files()]
    lines += _broken_journal(run)
    recomputed = _recomputed(run_dir)
    lines += [f"recomputed: {sentence}" for sentence in recomputed.differences]
    if manifest.handed_over and lines:
        return VerifyReport(False, f"run {manifest.run_id} is not as it was written", tuple(lines))
    if manifest.handed_over:
        raise ConfigError(
            f"run {manifest.run_id} cannot be executed again here: {', '.join(manifest.handed_over)} came from Python and are not "
            "stored with it. Its files, journal and accounting agree. Call backtester.run again there and compare the digests"
        )
    try:
        resolved = resolved_again(run_dir, data)
        lines += _changed_sources(manifest, resolved)
        again = execute(resolved, progress=progress)
    except BacktesterError as error:
        if not lines:
            raise
        return VerifyReport(False, f"run {manifest.run_id} does not repeat", (*lines, f"executed again it ends with: {error}"))
    lines += _differences(manifest, run, again, resolved.config)
    if lines:
        return VerifyReport(False, f"run {manifest.run_id} does not repeat", tuple(lines))
    counts = manifest.counts
    said = f"run {manifest.run_id} repeats: {counts.events} events and {counts.fills} fills are equal, digest {again.digest[:16]}"
    agree = (
        f"recomputed from the journal: {recomputed.fills} fills, {recomputed.snapshots} snapshots, {recomputed.trades} trades and "
        f"{recomputed.figures} figures agree"
    )
    return VerifyReport(True, said, (agree,))


def _recomputed(run_dir: Path) -> Recomputed:
    """What an independent program makes of the journal; a file that it cannot read is a difference."""
    try:
        return recompute(run_dir)
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
        return Recomputed((f"a file cannot be read as what it should be ({reason})",), 0, 0, 0, 0, 0)


def _broken_journal(run: RunDir) -> list[str]:
    try:
        unsealed = unsealed_lines(run.journal_path)
    except JournalError as error:
        return [f"journal: {error}"]
    return [f"journal: its last {unsealed} messages are not sealed: the end was cut off"] if unsealed else []


def resolved_again(run_dir: Path, data: Path | None) -> ResolvedRun:
    """The run that the directory's configuration describes, on its catalog or on `data`. Raises ConfigError or DataError."""
    flags = (("--data", "data.data_path", str(data)),) if data is not None else ()
    loaded = load_run_config(RunRequest(config_file=run_dir / CONFIG_NAME, flags=flags))
    return resolve(loaded.config, data_explicit=data is not None)


def _changed_sources(manifest: Manifest, resolved: ResolvedRun) -> list[str]:
    """The strategies, and what they imported from beside them, that are not what ran."""
    lines = []
    for recorded, found in zip(manifest.strategies, resolved.strategies, strict=False):
        if recorded.source_sha256 != found.sha256:
            lines.append(f"strategy: the source of {recorded.name} was changed since ({found.source})")
        now = dict(found.siblings)
        changed = [name for name in recorded.imported if recorded.imported[name] != now.get(name)]
        changed += [name for name in now if name not in recorded.imported]
        lines += [f"strategy: {name}, which {recorded.name} imports, was changed since" for name in changed]
    return lines


def _is_only_older(manifest: Manifest, run: RunDir, config: RunConfig) -> bool:
    """The configuration is the one that was run, by a version that had fewer settings; the rest of `config` is new."""
    new = unnamed_settings(config, (run.path / CONFIG_NAME).read_text(encoding="utf-8"))
    return bool(new) and config_hash(config, without=new) == manifest.config_sha256


def _differences(manifest: Manifest, run: RunDir, again: RunResult, config: RunConfig) -> list[str]:
    """What the second execution has otherwise than the run recorded; the cause before the symptom."""
    lines = []
    if manifest.config_sha256 != again.manifest.config_sha256 and not _is_only_older(manifest, run, config):
        lines.append("configuration: config.toml is not the one that was run")
    if manifest.data_fingerprint != again.manifest.data_fingerprint:
        was, now = manifest.data_fingerprint[:16], again.manifest.data_fingerprint[:16]
        lines.append(f"data: the candles are not those of the run (fingerprint {was}, now {now})")
    if manifest.finer_fingerprint != again.manifest.finer_fingerprint:
        was, now = manifest.finer_fingerprint[:16] or "none", again.manifest.finer_fingerprint[:16] or "none"
        lines.append(f"finer data: what told the order of events inside bars is not that of the run (fingerprint {was}, now {now})")
    if manifest.quotes_fingerprint != again.manifest.quotes_fingerprint:
        was, now = manifest.quotes_fingerprint[:16] or "none", again.manifest.quotes_fingerprint[:16] or "none"
        lines.append(f"quotes: what spreads went by is not that of the run (fingerprint {was}, now {now})")
    if manifest.digest != again.digest:
        lines.append(f"digest: {manifest.digest[:16]} recorded, {again.digest[:16]} now")
    try:
        difference = first_difference(read_journal(run.journal_path), iter(again.journal_lines))
    except JournalError:
        difference = None
    if difference is not None:
        lines.append(f"first event that differs: {difference.describe('recorded', 'now')}")
    if manifest.ledger_hash != again.manifest.ledger_hash:
        lines.append("ledger: the final balances differ")
    for name in (FILLS_NAME, TRADES_NAME, EQUITY_NAME, METRICS_NAME):
        path = run.path / name
        if path.is_file() and path.read_bytes() != again.file_text(name).encode():
            lines.append(f"{name}: not what the run gives now")
    return lines
