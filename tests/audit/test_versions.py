from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from backtester.audit import versions as subject


def git(directory: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "core.hooksPath=/dev/null"]
    return subprocess.run(
        ["git", "-C", str(directory), *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_commit_and_whether_tracked_files_differ_are_told(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "a.py").write_text("1\n")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-qm", "one")
    sha = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "note.txt").write_text("untracked\n")
    assert subject.git_state(tmp_path)[:2] == (sha, False)
    (tmp_path / "a.py").write_text("2\n")
    assert subject.git_state(tmp_path)[:2] == (sha, True)


def test_without_a_repository_only_the_version_is_told(tmp_path: Path) -> None:
    state = subject.git_state(tmp_path)
    assert state[:2] == (None, None) and state.version == subject.installed_version("backtester")


def test_without_git_only_the_version_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert subject.git_state()[:2] == (None, None)


def test_versions_name_what_computes_and_an_absent_package_is_unknown() -> None:
    assert {"backtester", "python", "msgspec", "numpy", "polars"} <= set(subject.versions())
    assert subject.installed_version("no-such-distribution-here") == "unknown"
