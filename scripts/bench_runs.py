"""Measures `bt runs` over many runs; prints one JSON object.

    python scripts/bench_runs.py [--runs 5000]

first_s    the whole command when there is no cache: every manifest and every metrics.json is read
again_s    the whole command afterwards, median of five
cached_mb  size of the cache
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPEATS = 5
COMMAND = (sys.executable, "-c", "import sys; from backtester.cli.main import main; sys.exit(main())")


def took_s(*words: str, cwd: Path) -> float:
    """Wall time of one `bt` command, from its start to its end."""
    started_s = time.perf_counter()
    subprocess.run([*COMMAND, *words], cwd=cwd, check=True, capture_output=True)
    return time.perf_counter() - started_s


def many_runs(folder: Path, count: int) -> None:
    """`count` run directories as a run of the sample market leaves them, small files only."""
    took_s("--strategy", "sma_extended", "--symbols", "BTCUSDT", "--run-id", "made", "--quiet", cwd=folder)
    made = folder / "runs/made"
    manifest = json.loads((made / "manifest.json").read_text(encoding="utf-8"))
    for number in range(count - 1):
        run = folder / f"runs/run{number:05d}"
        run.mkdir()
        manifest.update(run_id=run.name, data_fingerprint=f"{number % 50:064x}", seed=number)
        (run / "manifest.json").write_text(json.dumps(manifest, indent=2), encoding="utf-8")
        shutil.copyfile(made / "metrics.json", run / "metrics.json")


def main() -> int:
    """Always 0: the figures are for people."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5000)
    count = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        many_runs(folder, count)
        first_s = took_s("runs", cwd=folder)
        again_s = statistics.median(took_s("runs", cwd=folder) for _ in range(REPEATS))
        size = (folder / "runs/.index.json").stat().st_size
    figures = {"runs": count, "first_s": round(first_s, 3), "again_s": round(again_s, 3), "cached_mb": round(size / 1e6, 2)}
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
