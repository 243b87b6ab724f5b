"""`bt check`: runs a strategy in processes of their own, compares what they decided, and says what that means."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

import backtester
from backtester.audit.run_store import CHECK_NAME, CONFIG_NAME, RunDir
from backtester.domain.errors import (
    EXIT_DATA,
    EXIT_USER,
    BacktesterError,
    ConfigError,
    DataError,
    InvariantError,
    StorageError,
    StrategyError,
)
from backtester.trust.checked_run import Answer, CheckRequest, Job
from backtester.trust.decisions import Parting, first_parting
from backtester.trust.findings import CheckReport, Finding, Verdict, sorted_findings, verdict_of
from backtester.trust.look_ahead import SCRAMBLES

__all__ = ["CheckReport", "CheckRequest", "check", "check_all", "check_run", "keep", "report_json"]

_FIRST_SEED, _SECOND_SEED = "1", "2"
_MORE_SEEDS = ("3", "4", "5", "6", "7", "8")
"""Tried as well where the source goes over a set or uses hash(): two seeds may agree by chance."""
_FAILURES: dict[int, type[BacktesterError]] = {EXIT_USER: StrategyError, EXIT_DATA: DataError}
"""What a failure in a process of the check is raised as here, by the exit code that it would have had."""
_SUSPECTS_SHOWN = 3
_STDERR_SHOWN = 600
_UNSTABLE = "decisions differ from process to process, so that repeats on other data prove nothing"


def check(request: CheckRequest, *, scrambles: int = SCRAMBLES) -> CheckReport:
    """Every check on one strategy and its data. Raises what the run raises by itself."""
    return check_all([request], scrambles=scrambles)[0]


def check_run(run_dir: Path, *, data: Path | None = None, scrambles: int = SCRAMBLES) -> CheckReport:
    """Every check on what a run directory holds; `data` names the catalog where it is not where it was.

    Raises StorageError when it is no run, ConfigError when it holds what came from Python and is not stored.
    """
    manifest = RunDir(run_dir).read_manifest()
    if manifest.handed_over:
        raise ConfigError(
            f"run {manifest.run_id} cannot be checked: {', '.join(manifest.handed_over)} came from Python and are not stored"
        )
    flags: list[tuple[str, str, object]] = [("--data", "data.data_path", str(data))] if data is not None else []
    request = CheckRequest(flags=flags, config_file=str(run_dir / CONFIG_NAME))
    (answers,) = _answers([request], scrambles=scrambles)
    first = answers[0]
    report = _report(*answers, request=request)
    if not manifest.digest or manifest.digest == first.digest:
        return report
    changed = [
        name
        for name, was, now in (
            ("the strategy's source", [one.source_sha256 for one in manifest.strategies], first.source_sha256),
            ("the data", manifest.data_fingerprint, first.data_fingerprint),
        )
        if was != now
    ]
    why = f"{' and '.join(changed)} changed since" if changed else "its source and its data are those of the run"
    finding = Finding(
        check="determinism",
        severity="warning" if changed else "error",
        name="not-the-run-that-is-stored",
        evidence=f"what is stored in {run_dir} does not come out again: {why}. What is said here is of the run as it is now; "
        "`bt verify` names the first difference",
    )
    findings = sorted_findings([*report.findings, finding])
    verdicts = [one for one in report.verdicts if one.check != "determinism"]
    verdicts.insert(1, verdict_of("determinism", list(findings), passed=""))
    return msgspec.structs.replace(report, findings=findings, verdicts=tuple(verdicts))


def report_json(report: CheckReport) -> str:
    """One JSON object: `ok`, and the report's fields."""
    return msgspec.json.encode({"ok": report.ok, **msgspec.to_builtins(report)}).decode()


def keep(report: CheckReport, run_dir: Path) -> str:
    """The report stands in the run's directory as `check.json`, for others to show; what was done about it, in words.

    Nothing is written beside files that are not as the run left them, nor where nothing can be written.
    """
    run = RunDir(run_dir)
    try:
        if run.changed_files():
            return f"nowhere: files of {run_dir} were changed since the run"
        run.write_text(CHECK_NAME, report_json(report) + "\n")
    except StorageError as error:
        return f"nowhere: {error}"
    return str(run_dir / CHECK_NAME)


def check_all(requests: Sequence[CheckRequest], *, scrambles: int = SCRAMBLES) -> list[CheckReport]:
    """As `check`, of several strategies, which share two processes."""
    answered = _answers(requests, scrambles=scrambles)
    return [_report(*answers, request=request) for request, answers in zip(requests, answered, strict=True)]


def _answers(requests: Sequence[CheckRequest], *, scrambles: int) -> list[tuple[Answer, Answer]]:
    """By request what two processes found that have different hash seeds and clocks. Raises the first failure of a run."""
    full = [Job(request=request, is_full=True, scrambles=scrambles) for request in requests]
    again = [Job(request=request, is_full=False, is_skewed=True) for request in requests]
    firsts, seconds = _processes([(full, _FIRST_SEED), (again, _SECOND_SEED)])
    for answer in firsts:
        if answer.error:
            raise _FAILURES.get(answer.exit_code, InvariantError)(answer.error)
    return list(zip(firsts, seconds, strict=True))


def _processes(batches: Sequence[tuple[list[Job], str]]) -> list[list[Answer]]:
    """The answers of one fresh process for each (jobs, hash seed), all at work at once."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bt-check-")))
        started = [_start(stack, place / str(index), jobs, seed) for index, (jobs, seed) in enumerate(batches)]
        return [_finished(process, directory) for process, directory in started]


def _start(stack: ExitStack, directory: Path, jobs: list[Job], hash_seed: str) -> tuple[subprocess.Popen[bytes], Path]:
    directory.mkdir()
    (directory / "jobs.json").write_bytes(msgspec.json.encode(jobs))
    package = str(Path(backtester.__file__).parent.parent)
    path = os.pathsep.join(part for part in (package, os.environ.get("PYTHONPATH", "")) if part)
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
    with (directory / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "backtester.trust.checked_run", directory / "jobs.json", directory / "answers.json"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    stack.callback(process.wait)
    stack.callback(process.kill)  # called first: nothing is left at work when something else has failed
    return process, directory


def _finished(process: subprocess.Popen[bytes], directory: Path) -> list[Answer]:
    code = process.wait()
    try:
        return msgspec.json.decode((directory / "answers.json").read_bytes(), type=list[Answer])
    except OSError:
        said = (directory / "stderr").read_text(encoding="utf-8", errors="replace").strip()
        if "Traceback" in said:
            raise InvariantError(f"a process of the check has failed: {said[-_STDERR_SHOWN:]}") from None
        raise StrategyError(
            f"the process of the checked run ended with code {code} before the run did: the strategy has ended or killed it. "
            f"{said[-_STDERR_SHOWN:]}"
        ) from None


def _report(first: Answer, second: Answer, *, request: CheckRequest) -> CheckReport:
    """What two answers to the same request mean together."""
    findings = [*first.seen, *(one for one in second.seen if one.check == "look-ahead"), *first.plausible]
    runs = first.runs + second.runs
    parting = first_parting(first.decisions, second.decisions)
    if parting is None and not second.error and any(one.what == "order" for one in first.suspects):
        other, parting, tried = _with_more_seeds(first, request)
        second, runs = other or second, runs + tried
    if parting is not None or second.error:
        ((third,),) = _processes([([Job(request=request, is_full=False)], _FIRST_SEED)])
        runs += third.runs
        findings += [_unstable(first, second, third, parting)]
    else:
        findings += first.perturbed
    unjudged = "" if parting is None and not second.error else _UNSTABLE
    ordered = list(sorted_findings(findings))
    return CheckReport(
        strategy=first.strategy,
        symbols=first.symbols,
        start=first.start,
        end=first.end,
        digest=first.digest,
        verdicts=_verdicts(first, ordered, unjudged),
        findings=tuple(ordered),
        runs=runs,
    )


def _with_more_seeds(first: Answer, request: CheckRequest) -> tuple[Answer | None, Parting | None, int]:
    """The first process that decides otherwise with another hash seed, where it does, and how many were tried."""
    job = Job(request=request, is_full=False)
    tried = 0
    for seeds in zip(_MORE_SEEDS[::2], _MORE_SEEDS[1::2], strict=True):
        for (answer,) in _processes([([job], seed) for seed in seeds]):
            tried += answer.runs
            parting = first_parting(first.decisions, answer.decisions)
            if parting is not None or answer.error:
                return answer, parting, tried
    return None, None, tried


def _verdicts(first: Answer, findings: list[Finding], unjudged: str) -> tuple[Verdict, ...]:
    count = len(first.decisions)
    silent = "" if count else "the strategy has decided nothing on this data"
    return (
        verdict_of(
            "look-ahead",
            findings,
            passed=f"{count:,} decisions hang on the past alone{'' if first.is_dated else ', and move with the feed'}",
            unjudged=unjudged or silent,
        ),
        verdict_of(
            "determinism",
            findings,
            passed="two processes with different hash seeds and clocks decide alike",
        ),
        verdict_of(
            "warm-up",
            findings,
            passed="none is declared; the note says what it would take"
            if any(one.check == "warm-up" for one in findings)
            else "more history before the start changes no decision",
            unjudged=unjudged or silent or first.warm_up_unjudged,
        ),
        verdict_of("plausibility", findings, passed="nothing odd about fills, profit or claim"),
    )


def _unstable(first: Answer, second: Answer, third: Answer, parting: Parting | None) -> Finding:
    """Two processes decide otherwise: why, as far as a third one, which has the hash seed and the clock of the first, can tell."""
    causes = {one.what: one for answer in (first, second, third) for one in answer.sightings}
    told = parting.text("one process", "another") if parting is not None else f"a second process ended with: {second.error}"
    is_chance = third.error or first_parting(first.decisions, third.decisions) is not None
    blamed = ("random", "entropy", "thread", "clock", "timer", "network", "read") if is_chance else ("clock", "timer", "read")
    cause = next((causes[what] for what in blamed if what in causes), None)
    if cause is not None and cause.what in {"clock", "timer"}:
        name, why = "depends-on-the-clock", "as soon as the clock shows another time"
    elif is_chance:
        name, why = "not-repeatable", "even with the same hash seed: it draws or addresses something anew each time"
    else:
        name, why = "depends-on-hash-order", "with another PYTHONHASHSEED: it goes over a set, or uses hash()"
    if cause is not None:
        place = (cause.file, cause.line)
        why += f" ({cause.subject} at {cause.file}:{cause.line})"
    else:
        suspects = [one for one in first.suspects if one.what == "order"]
        place = (suspects[0].file, suspects[0].line) if suspects else ("", 0)
        listed = ", ".join(f"{one.subject} at {one.file}:{one.line}" for one in suspects[:_SUSPECTS_SHOWN])
        why += f". Suspects: {listed}" if listed else ""
    return Finding(
        check="determinism",
        severity="error",
        name=name,
        evidence=f"the same run decides otherwise {why}. {told}",
        file=place[0],
        line=place[1],
    )
