"""The stress report against runs made by hand with the same assumptions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backtester.app.stress import StressReport, stress
from backtester.cli.main import main

WORDS = ["--strategy", "sma_extended", "--symbols", "BTCUSDT", "--timeframe", "15m", "--quiet", "--set", "data.sample_days=20"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the run `one`, and the same with other assumptions."""
    at = tmp_path_factory.mktemp("stress")
    others = {
        "one": [],
        "costs": ["--set", "sim.cost_factor=2"],
        "latency": ["--set", "sim.latency_factor=4"],
        "later": ["--set", f"sim.order_latency_ms={125 + 15 * 60_000}"],
    }
    for name, more in others.items():
        assert main([*WORDS, *more, "--output", str(at), "--run-id", name]) == 0
    return at


@pytest.fixture(scope="module")
def report(base: Path) -> StressReport:
    return stress(base / "one")


def figures(base: Path, name: str) -> dict:
    return json.loads((base / name / "metrics.json").read_text())


@pytest.mark.parametrize(("row", "name"), [(0, "one"), (1, "costs"), (2, "latency"), (3, "later")])
def test_each_row_is_the_run_with_that_assumption(base, report, row, name):
    expected = figures(base, name)
    found = report.rows[row]
    assert (found.total_return, found.max_drawdown, found.trades) == tuple(
        expected[key] for key in ("total_return", "max_drawdown", "trades")
    )


def test_costs_make_the_difference_they_must(base, report):
    assert report.rows[1].net_quote < report.rows[0].net_quote
    one = figures(base, "one")
    paid = one["fees"] + one["slippage"]
    assert report.paid_bps is not None and report.break_even_bps is not None
    traded = paid / report.paid_bps * 1e4
    assert report.break_even_bps == pytest.approx((report.rows[0].net_quote + paid) / traded * 1e4)


def test_without_the_best_trades_the_five_largest_profits_are_gone(base, report):
    lines = (base / "one/trades.csv").read_text().splitlines()
    names = lines[0].split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in lines[1:]]
    nets = sorted((float(row["net_pnl"]) for row in rows if row["is_open"] == "false"), reverse=True)
    assert report.rows[4].net_quote == pytest.approx(report.rows[0].net_quote - sum(nets[:5]))


def test_nothing_is_written_and_the_verdict_is_one_line(base, report, capsys):
    before = {path: path.stat().st_mtime_ns for path in base.rglob("*")}
    assert main(["stress", "one", "--output", str(base)]) == 0
    assert {path: path.stat().st_mtime_ns for path in base.rglob("*")} == before
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == f"verdict: {report.verdict}" and report.verdict.split(":")[0] in ("holds", "fragile", "nothing to stress")


def test_a_directory_that_is_no_run_is_refused(base, capsys):
    assert main(["stress", "two", "--output", str(base)]) == 2
    assert "no run" in capsys.readouterr().err
