"""What a check has found, and what it says in the end."""

from __future__ import annotations

from typing import Literal

import msgspec

from backtester.domain.errors import EXIT_DONE, EXIT_FOUND

Severity = Literal["error", "warning", "note"]
CheckName = Literal["look-ahead", "determinism", "warm-up", "plausibility"]
CHECKS: tuple[CheckName, ...] = ("look-ahead", "determinism", "warm-up", "plausibility")
_ORDER: tuple[Severity, ...] = ("error", "warning", "note")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was found.

    `severity` is `error` for look-ahead, non-determinism and impossible fills only; a `note` asks for nothing. `name` is for
    machines, `evidence` one or more sentences for people; `file` and `line` say where in the strategy, where that is known.
    """

    check: CheckName
    severity: Severity
    name: str
    evidence: str
    file: str = ""
    line: int = 0

    @property
    def place(self) -> str:
        """`file:line`; empty where no place is known."""
        return f"{self.file}:{self.line}" if self.file else ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One check in one sentence: `passed`, `found` (with the worst severity), or `not judged` and why."""

    check: CheckName
    outcome: Literal["passed", "found", "not judged"]
    severity: Severity | None
    text: str


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was found on one strategy and its data. `digest` is that of the run that was checked."""

    strategy: str
    symbols: tuple[str, ...]
    start: str
    end: str
    digest: str
    verdicts: tuple[Verdict, ...]
    findings: tuple[Finding, ...]
    runs: int
    """How often the strategy was run."""

    @property
    def ok(self) -> bool:
        """Whether no finding is an error."""
        return all(finding.severity != "error" for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """0 when no finding is an error, else 1."""
        return EXIT_DONE if self.ok else EXIT_FOUND


def sorted_findings(findings: list[Finding]) -> tuple[Finding, ...]:
    """The worst first, then in the order of the checks, each once."""
    unique = dict.fromkeys(findings)
    return tuple(
        sorted(unique, key=lambda one: (_ORDER.index(one.severity), CHECKS.index(one.check), one.name, one.file, one.line))
    )


def verdict_of(check: CheckName, findings: list[Finding], *, passed: str, unjudged: str = "") -> Verdict:
    """The verdict on `check`: what was found, else `unjudged` where that says why nothing could be said, else `passed`."""
    own = [one for one in findings if one.check == check and one.severity != "note"]
    if own:
        worst: Severity = min((one.severity for one in own), key=_ORDER.index)
        names = ", ".join(dict.fromkeys(one.name for one in own))
        return Verdict(
            check=check, outcome="found", severity=worst, text=f"{len(own)} {'finding' if len(own) == 1 else 'findings'}: {names}"
        )
    if unjudged:
        return Verdict(check=check, outcome="not judged", severity=None, text=unjudged)
    return Verdict(check=check, outcome="passed", severity=None, text=passed)
