"""Which code ran: the repository's state, or the installed versions."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

PACKAGE = "backtester"
_LIBRARIES = ("msgspec", "numpy", "polars", "pyarrow")
_GIT_TIMEOUT_S = 5.0


class GitState(NamedTuple):
    """Commit and whether tracked files differ from it (None: no repository, or no git); `version` is the installed package's."""

    sha: str | None
    dirty: bool | None
    version: str


class RunningCode(NamedTuple):
    """What computes, asked once: git, and the installed versions."""

    git: GitState
    versions: dict[str, str]


def running_code() -> RunningCode:
    """The code of this process; takes a few hundredths of a second, since git is asked."""
    return RunningCode(git_state(), versions())


def git_state(directory: Path | None = None) -> GitState:
    """The state of the repository that tracks the package (or `directory`); a repository that merely contains it is another's."""
    package = Path(__file__).resolve().parents[1] if directory is None else directory
    version = installed_version(PACKAGE)
    if directory is None and _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return GitState(None, None, version)
    sha = _git(package, "rev-parse", "HEAD")
    if sha is None:
        return GitState(None, None, version)
    changes = _git(package, "status", "--porcelain", "--untracked-files=no")
    return GitState(sha, None if changes is None else bool(changes), version)


def uncommitted_changes() -> str:
    """What `git diff HEAD` says of the repository that tracks the package; empty where nothing differs or there is none."""
    package = Path(__file__).resolve().parents[1]
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return ""
    diff = _git(package, "diff", "HEAD", "--no-color", "--no-ext-diff", "--binary")
    return f"{diff}\n" if diff else ""


def installed_version(distribution: str) -> str:
    """The version that is installed, `unknown` when there is none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "unknown"


def versions() -> dict[str, str]:
    """Versions of what computes: the package, Python and the libraries."""
    found = {PACKAGE: installed_version(PACKAGE), "python": platform.python_version()}
    found.update((name, installed_version(name)) for name in _LIBRARIES)
    return found


def _git(directory: Path, *arguments: str) -> str | None:
    """What git answers, None when it fails, is absent or takes too long."""
    command = ["git", "-C", str(directory), "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
