"""Every check of the project, in the order in which they are cheap: format, ruff, mypy, import contracts, tests.

All of them, whatever the others say; `--fast` leaves out the slow tests; `check.py ruff mypy` runs only these two.
The tests come last, so that the last lines are those of pytest.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
SOURCES = ("backtester", "scripts", "tests")


def commands(*, fast: bool) -> dict[str, list[str]]:
    """The command of each check, by name, in the order in which they run."""
    chosen = "not slow and not nightly" if fast else "not nightly"
    return {
        "format": [str(BIN / "ruff"), "format", "--check", "--quiet", *SOURCES],
        "ruff": [str(BIN / "ruff"), "check", "--quiet", "--output-format", "concise", *SOURCES],
        "mypy": [str(BIN / "mypy"), "--no-error-summary"],
        "imports": [str(BIN / "lint-imports"), "--no-logo", "--no-cache"],
        "tests": [str(BIN / "pytest"), "-n", "auto", "--dist", "worksteal", "-m", chosen],
    }


def run(name: str, command: list[str]) -> bool:
    """Whether the check passed. What it says goes to the terminal as it comes."""
    print(f"== {name}: {' '.join(Path(part).name if part == command[0] else part for part in command)}", flush=True)
    start_s = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": "random"}, check=False)
    passed = done.returncode == 0
    if name != "tests":
        print(f"== {name}: {'ok' if passed else 'FAILED'} in {time.perf_counter() - start_s:.1f} s", flush=True)
    return passed


def main() -> int:
    """0 when every check passed, 1 otherwise."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="leave out the tests marked slow")
    parser.add_argument("names", nargs="*", metavar="CHECK", help=f"only these: {', '.join(commands(fast=False))}")
    options = parser.parse_args()
    checks = commands(fast=options.fast)
    for name in options.names:
        if name not in checks:
            parser.error(f"no check named {name!r}; there are {', '.join(checks)}")
    failed: list[str] = []
    for name in options.names or checks:
        if failed and name == "tests":
            print(f"== failed so far: {', '.join(failed)}", flush=True)
        if not run(name, checks[name]):
            failed.append(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
