"""Run directories made by hand: as small as a listing needs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FIGURES = {"total_return": 0.1, "sharpe": 1.5, "max_drawdown": 0.05, "trades": 7, "daily_returns": 30, "by_month": {"2025-01": {}}}


def make_run(output: Path, run_id: str, *, day: int = 1, figures: dict[str, Any] | None = None, **said: Any) -> Path:
    """A run directory that was made on that day of May 2025; `figures` and `said` replace what stands in its files."""
    path = output / run_id
    path.mkdir(parents=True)
    manifest = {
        "run_id": run_id,
        "status": "complete",
        "created": f"2025-05-{day:02d}T12:00:00+00:00",
        "strategy": "sma_extended",
        "symbols": ["BTCUSDT"],
        "exchange": "binance",
        "market": "linear",
        "start": "2025-01-01 00:00:00",
        "end": "2025-02-01 00:00:00",
        "data_source": "catalog",
        "data_fingerprint": "aa" * 32,
        **said,
    }
    (path / "manifest.json").write_text(json.dumps(manifest))
    (path / "journal.jsonl").write_text("")
    if manifest["status"] in {"complete", "interrupted"}:
        (path / "metrics.json").write_text(json.dumps({**FIGURES, **(figures or {})}))
    return path
