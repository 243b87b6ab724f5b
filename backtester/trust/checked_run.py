"""One process of a check: `python -m backtester.trust.checked_run JOBS ANSWERS` runs strategies under watch.

JOBS is a file with a JSON list of jobs, ANSWERS one that appears with an answer to each. A process of its own, because a watch
cannot be taken away again, and because decisions must not hang on anything that another process has done.
"""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import msgspec

from backtester.app.resolve import ResolvedRun, resolve
from backtester.config.loading import RunRequest, load_run_config
from backtester.domain.errors import EXIT_DONE, BacktesterError
from backtester.engine.rng import RandomStreams
from backtester.trust.decisions import Decision, decisions_of
from backtester.trust.findings import Finding
from backtester.trust.look_ahead import SCRAMBLES, is_dated, scramble_findings, shift_findings
from backtester.trust.plausibility import plausibility_findings
from backtester.trust.repeated_run import RepeatedRun
from backtester.trust.seen import Declared, declared_reads, seen_findings
from backtester.trust.source_scan import Suspect
from backtester.trust.warm_up import warm_up_result
from backtester.trust.watch import CLOCK_SKEW_S, Sighting, Watch


class CheckRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be checked, as `RunRequest` has it; paths as text."""

    flags: list[tuple[str, str, Any]] = []
    settings: list[str] = []
    config_file: str | None = None
    strategy: str | None = None
    params: dict[str, Any] = {}
    data_dir: str | None = None
    directory: str = "."


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One run to repeat. `is_full` asks for everything, otherwise for decisions and what was seen only."""

    request: CheckRequest
    is_full: bool
    is_skewed: bool = False
    scrambles: int = SCRAMBLES


class Answer(msgspec.Struct, kw_only=True):
    """What one process found. `error` and `exit_code` say why there is no more, where the run itself fails."""

    error: str = ""
    exit_code: int = EXIT_DONE
    strategy: str = ""
    symbols: tuple[str, ...] = ()
    start: str = ""
    end: str = ""
    digest: str = ""
    data_fingerprint: str = ""
    source_sha256: list[str] = []
    decisions: list[Decision] = []
    sightings: list[Sighting] = []
    suspects: list[Suspect] = []
    seen: list[Finding] = []
    perturbed: list[Finding] = []
    """Of look-ahead and warm-up, which mean something only where two runs on the same data decide alike."""
    plausible: list[Finding] = []
    warm_up_unjudged: str = ""
    is_dated: bool = False
    """Whether contracts of the run end on a date, so that the feed was not moved."""
    runs: int = 0


def answered(job: Job, watch: Watch) -> Answer:
    """What `job` finds out; a failure of the run itself stands in the answer."""
    answer = Answer()
    try:
        run = RepeatedRun(_resolved(job.request))
        _examine(job, run, watch, answer)
        answer.runs = run.count
    except BacktesterError as error:
        answer.error, answer.exit_code = str(error), error.exit_code
    return answer


def _resolved(request: CheckRequest) -> ResolvedRun:
    loaded = load_run_config(
        RunRequest(
            flags=tuple(request.flags),
            settings=tuple(request.settings),
            config_file=Path(request.config_file) if request.config_file is not None else None,
            strategy=request.strategy,
            params=request.params,
            data_dir=request.data_dir,
            directory=Path(request.directory),
        )
    )
    return resolve(loaded.config, data_explicit=loaded.data_explicit)


def _examine(job: Job, run: RepeatedRun, watch: Watch, answer: Answer) -> None:
    resolved = run.resolved
    watch.begin(run.own)
    fresh = run.loaded_anew()  # what a strategy does at its import is part of what it does
    result = run.result(fresh)
    answer.strategy = result.manifest.strategy
    answer.symbols = tuple(resolved.config.run.symbols)
    answer.start, answer.end = resolved.config.run.start, resolved.config.run.end
    answer.digest, answer.data_fingerprint = result.digest, result.manifest.data_fingerprint
    answer.source_sha256 = [loaded.sha256 for loaded in fresh.strategies]
    answer.decisions = decisions_of(result.journal_lines)
    declared = Declared((loaded.strategy, loaded.source) for loaded in fresh.strategies)
    if job.is_full:
        answer.is_dated = is_dated(run)
        streams = RandomStreams(resolved.config.run.seed)
        answer.perturbed = [
            *scramble_findings(run, answer.decisions, random=streams.stream("check", "scramble"), count=job.scrambles),
            *shift_findings(run, answer.decisions, declared=declared_reads(watch.taken(), declared)),
        ]
        warm_up = warm_up_result(run)
        answer.perturbed += warm_up.findings
        answer.warm_up_unjudged = warm_up.unjudged
        answer.plausible = plausibility_findings(result, run.market, execution_ms=run.execution_ms)
    answer.sightings = watch.taken()
    answer.suspects = run.suspects()
    is_seeded = any(one.what == "random" and one.subject.endswith(".seed") for one in answer.sightings)
    catalog = resolved.config.data.data_path if resolved.config.data.source == "catalog" else ""
    answer.seen = seen_findings(
        answer.sightings,
        answer.suspects,
        declared=declared,
        catalog=os.path.realpath(catalog) if catalog and "://" not in catalog else catalog,
        is_seeded=is_seeded,
    )


def main() -> int:
    """Answer the jobs of the file named first into the file named second, which appears whole."""
    jobs_path, answers_path = sys.argv[1:]
    jobs = msgspec.json.decode(Path(jobs_path).read_bytes(), type=list[Job])
    watch = Watch()
    watch.install(skew_s=CLOCK_SKEW_S if any(job.is_skewed for job in jobs) else 0)
    with redirect_stdout(sys.stderr):
        answers = [answered(job, watch) for job in jobs]
    part = Path(f"{answers_path}.part")
    part.write_bytes(msgspec.json.encode(answers))
    part.replace(answers_path)
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
