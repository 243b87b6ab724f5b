"""From what was seen of a strategy, and stands in its source, to findings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from os.path import realpath
from pathlib import Path

from backtester.strategy.base import Strategy
from backtester.trust.findings import CheckName, Finding, Severity
from backtester.trust.source_scan import Suspect, Suspicion
from backtester.trust.watch import Sighting, What

_SEEN: dict[What, tuple[CheckName, Severity, str, str]] = {
    "read": ("look-ahead", "error", "reads-outside", "reads {}, which it does not declare (`reads = [...]` on the class)"),
    "list": ("look-ahead", "error", "reads-outside", "lists the directory {}, which it does not declare (`reads = [...]`)"),
    "write": ("look-ahead", "warning", "writes-a-file", "writes {}: what it keeps there outlives the run"),
    "network": ("look-ahead", "error", "network", "talks to the network ({})"),
    "process": ("look-ahead", "error", "other-process", "starts another process ({}), which can read anything"),
    "engine": ("look-ahead", "warning", "reaches-into-the-engine", "looks at the frames or objects of the program ({})"),
    "clock": ("determinism", "error", "wall-clock", "reads the wall clock ({}); the run's time is ctx.now_ms"),
    "timer": ("determinism", "warning", "timer", "measures time ({}); nothing it decides may hang on that"),
    "random": ("determinism", "error", "global-random", "draws from the shared random state ({}); use ctx.rng(name)"),
    "entropy": ("determinism", "error", "entropy", "draws what no seed repeats ({}); use ctx.rng(name)"),
    "thread": ("determinism", "warning", "threads", "starts a thread ({}): which is first is left to chance"),
}
_UNREACHED: dict[Suspicion, tuple[CheckName, Severity, str, str]] = {
    "read": ("look-ahead", "warning", "may-read-outside", "could read data ({}); this check did not see it happen"),
    "network": ("look-ahead", "warning", "may-use-network", "could talk to the network ({}); this check did not see it happen"),
    "process": ("look-ahead", "warning", "may-start-process", "could start another process ({}); this check did not see it happen"),
    "engine": ("look-ahead", "warning", "reaches-into-the-engine", "reaches behind its context ({})"),
    "clock": ("determinism", "error", "wall-clock", "reads the wall clock ({}); the run's time is ctx.now_ms"),
    "random": ("determinism", "warning", "global-random", "could draw from the shared random state ({}); use ctx.rng(name)"),
    "entropy": ("determinism", "error", "entropy", "draws what no seed repeats ({}); use ctx.rng(name)"),
    "thread": ("determinism", "warning", "threads", "could start a thread ({})"),
}
_SAME: dict[What, Suspicion] = {"list": "read", "write": "read"}


class Declared:
    """What the strategies say that they read: paths and patterns, beside their own files where they are not absolute."""

    def __init__(self, strategies: Iterable[tuple[type[Strategy], Path | None]]) -> None:
        self._patterns: list[str] = []
        for strategy, source in strategies:
            for entry in getattr(strategy, "reads", ()):
                path = Path(str(entry)).expanduser()
                beside = source.parent if source is not None else Path.cwd()
                self._patterns.append(realpath(path if path.is_absolute() else beside / path))

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def covers(self, path: str) -> bool:
        """Whether `path` (real) is declared, itself, by a pattern, or by a directory above it."""
        return any(path == one or fnmatch(path, one) or path.startswith(one.rstrip("/") + "/") for one in self._patterns)


def seen_findings(
    sightings: Sequence[Sighting], suspects: Sequence[Suspect], *, declared: Declared, catalog: str, is_seeded: bool
) -> list[Finding]:
    """What the strategy did outside the engine, then what its source could do where it was not seen to do it.

    `catalog` is the directory of the run's market data; `is_seeded` says that it set the shared random state itself.
    """
    found: list[Finding] = []
    for one in sightings:
        if one.what in {"read", "list"} and declared.covers(one.subject):
            continue
        check, severity, name, sentence = _SEEN[one.what]
        subject = f"{one.subject} (the catalog)" if catalog and one.subject.startswith(catalog) else one.subject
        if one.what == "random" and is_seeded:
            severity = "warning"
        found.append(_finding(check, severity, name, sentence.format(subject), one.file, one.line))
    for suspect in suspects:
        if suspect.what in _UNREACHED and not (suspect.what == "read" and declared) and not _was_seen(suspect, sightings):
            check, severity, name, sentence = _UNREACHED[suspect.what]
            found.append(_finding(check, severity, name, sentence.format(suspect.subject), suspect.file, suspect.line))
    return found


def _was_seen(suspect: Suspect, sightings: Sequence[Sighting]) -> bool:
    """Whether the watched run came by, in any line of the call."""
    return any(
        _SAME.get(one.what, one.what) == suspect.what and one.file == suspect.file and suspect.line <= one.line <= suspect.last_line
        for one in sightings
    )


def declared_reads(sightings: Sequence[Sighting], declared: Declared) -> list[str]:
    """The declared files that were read, each once."""
    read = (one.subject for one in sightings if one.what in {"read", "list"} and declared.covers(one.subject))
    return list(dict.fromkeys(read))


def _finding(check: CheckName, severity: Severity, name: str, sentence: str, file: str, line: int) -> Finding:
    return Finding(check=check, severity=severity, name=name, evidence=f"the strategy {sentence}", file=file, line=line)
