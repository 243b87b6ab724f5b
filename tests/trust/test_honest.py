"""Strategies that do nothing wrong are not accused: no error, and no warning but about the plausibility of short runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backtester.trust.check import CheckRequest, check_all
from tests.trust import honest

NIGHTLY = os.environ.get("BT_NIGHTLY") == "1"
SEEDS = range(50 if NIGHTLY else 3)
NAMES = [
    name for name, value in vars(honest).items() if getattr(value, "__module__", "") == honest.__name__ and isinstance(value, type)
]


def request(name: str, seed: int) -> CheckRequest:
    return CheckRequest(
        strategy=name if name == "sma_extended" else f"{honest.__file__}:{name}",
        flags=[
            ("--symbols", "run.symbols", ["BTCUSDT", "ETHUSDT"]),
            ("--start", "run.start", "2025-02-03"),
            ("--end", "run.end", "2025-02-04"),
            ("--timeframe", "run.timeframe", "5m"),
            ("--seed", "run.seed", seed),
        ],
        settings=[f"data.sample_seed={seed + 1}", "data.source=sample"],
        directory=str(Path(honest.__file__).parent),
    )


def test_there_are_at_least_ten_of_them():
    assert len(NAMES) >= 10


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [SEEDS[first : first + 10] for first in range(0, len(SEEDS), 10)], ids=str)
def test_no_honest_strategy_is_accused(seeds):
    cases = [(name, seed) for seed in seeds for name in [*NAMES, "sma_extended"]]
    reports = check_all([request(*case) for case in cases], scrambles=3)
    accused = {
        case: [(one.severity, one.name, one.evidence, one.place) for one in report.findings if one.severity != "note"]
        for case, report in zip(cases, reports, strict=True)
    }
    accused = {
        case: found
        for case, findings in accused.items()
        if (found := [one for one in findings if one[0] == "error" or one[1] not in PLAUSIBLE])
    }
    assert accused == {}
    judged = {case[0] for case, report in zip(cases, reports, strict=True) if report.verdicts[0].outcome == "passed"}
    assert judged == {*NAMES, "sma_extended"}, "each decided something on some seed"


PLAUSIBLE = {
    "profit-rests-on-one-day",
    "profit-rests-on-one-trade",
    "too-short-for-the-claim",
    "too-few-trades",
    "sharpe-too-good",
    "large-share-of-volume",
    "profit-rests-on-ambiguous-bars",
}
"""Warnings that a day of trading deserve, however honest."""
