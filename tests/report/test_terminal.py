from __future__ import annotations

import io
import os
import pty
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest

from backtester.audit.run_store import Assumption, Counts, Manifest, Timings
from backtester.config.run_config import DataSection, RunConfig, RunSection, SimSection, StrategySection
from backtester.report.progress_line import RunProgress
from backtester.report.terminal import RunFacts, print_sections, print_table, run_sections


class At(NamedTuple):
    now_ms: int
    start_ms: int = 0
    end_ms: int = 3_600_000
    candles: int = 600


def facts(*, source: str = "catalog", **changes) -> RunFacts:
    manifest = Manifest(
        run_id="one",
        status="complete",
        end_reason=changes.pop("end_reason", "end_of_data"),
        digest="d" * 64,
        data_fingerprint="f" * 64,
        symbols=["BTCUSDT"],
        assumptions=[Assumption(what="this run", rule="funding not charged")],
        counts=Counts(candles=2880, gaps=changes.pop("gaps", 0)),
        timings=Timings(load_s=0.5, run_s=0.5, report_s=1.0),
    )
    config = RunConfig(
        data=DataSection(source=source),
        run=RunSection(
            symbols=("BTCUSDT",),
            exchange="binance",
            market="linear",
            start="2025-05-05",
            end="2025-05-07",
            timeframe="1h",
            execution_timeframe="1m",
        ),
        sim=SimSection(slippage_bps=Decimal("1.5")),
        strategies=(
            StrategySection(name="/home/me/my [bold]cross.py:Cross", params={"fast": 5, "names": ["a", "b"], "symbols": []}),
        ),
    )
    summary = {
        "start_equity": 10000.0,
        "end_equity": 10123.456,
        "total_return": 0.0123456,
        "max_drawdown": None,
        "sharpe": None,
        "win_rate": 0.5,
        "exposure": 0.25,
        "trades": 4,
        "open_trades": 1,
        "orders": 9,
        "fills": 9,
        "fees": 12.5,
        "refusals_by_reason": {"MIN_NOTIONAL": 1234},
        **changes,
    }
    return RunFacts(manifest=manifest, config=config, summary=summary, path=Path("runs/one"), quote="USDT")


def shown(run: RunFacts) -> str:
    stream = io.StringIO()
    print_sections(run_sections(run), stream)
    return stream.getvalue()


def test_a_run_at_a_glance_has_units_and_says_where_it_is():
    assert shown(facts()) == (
        "Run one\n"
        "  strategy       my [bold]cross.py:Cross(fast=5, names=a,b)\n"
        "  data           binance linear\n"
        "  symbols        BTCUSDT\n"
        "  range          2025-05-05 to 2025-05-07 UTC, 2.0 days\n"
        "  timeframes     signals 1h, execution 1m\n"
        "  candles        2,880 of 1m, no gaps, fingerprint ffffffffffffffff\n"
        "Result\n"
        "  equity         10,000.00 -> 10,123.46 USDT\n"
        "  return         +1.23%\n"
        "  max drawdown   -\n"
        "  sharpe         - a year\n"
        "  trades         4 closed, 1 still open (marked at the last close)\n"
        "  win rate       50.00% of closed trades\n"
        "  exposure       25.00% of the time in a position\n"
        "  orders         9 sent, 9 fills\n"
        "Costs\n"
        "  fees           12.50 USDT, 0.12% of the starting equity\n"
        "  in the prices  half of a 1 bps spread, 1.5 bps slippage on taker fills\n"
        "  funding        not charged\n"
        "Refused orders\n"
        "  MIN_NOTIONAL   1,234\n"
        "Written\n"
        "  directory      runs/one\n"
        "  digest         dddddddddddddddd\n"
        "  took           2.0 s, 2,880 candles/s\n"
        "  check          bt verify runs/one\n"
    )


def test_the_sample_gaps_and_an_early_end_are_said_plainly():
    text = shown(facts(source="sample", gaps=3, end_reason="bankrupt"))
    assert "SYNTHETIC SAMPLE, no real prices" in text
    assert "3 gaps in the data" in text
    assert "BANKRUPT" in text


def on_terminal(width: int, monkeypatch, show) -> str:
    """What `show` writes to a real terminal of that width."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm-256color")
    parent, child = pty.openpty()
    with os.fdopen(child, "w") as stream:
        show(stream)
        stream.flush()
        text = os.read(parent, 65536).decode()
    os.close(parent)
    return text.replace("\r\n", "\n")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_terminal_gets_colours_and_nothing_wider_than_it_is(width, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = on_terminal(width, monkeypatch, lambda stream: print_sections(run_sections(facts()), stream))
    assert "\x1b[" in coloured
    assert "my [bold]cross.py" in coloured, "what a user wrote is text, not markup"
    monkeypatch.setenv("NO_COLOR", "1")
    plain = on_terminal(width, monkeypatch, lambda stream: print_sections(run_sections(facts()), stream))
    assert "\x1b[" not in plain
    assert max(map(len, plain.splitlines())) <= width


def test_a_table_drops_columns_that_are_empty():
    stream = io.StringIO()
    print_table(("name", "unit", "value"), [("a", "", "1"), ("bb", "", "22")], stream)
    assert stream.getvalue() == "name  value\na     1\nbb    22\n"


def test_progress_waits_two_seconds_then_shows_rate_and_time_left():
    now_s, stream = [100.0], io.StringIO()
    line = RunProgress(stream, clock=lambda: now_s[0])
    for now_s[0] in (100.5, 101.9):
        line.update(At(now_ms=600_000))
    assert stream.getvalue() == ""
    now_s[0] = 102.0
    line.update(At(now_ms=900_000))
    assert stream.getvalue() == "\r1970-01-01 00:15 UTC   25%  300 candles/s, 6 s left"
    now_s[0] = 102.1
    line.update(At(now_ms=950_000))
    assert stream.getvalue().count("\r") == 1, "at most five times a second"
    line.close()
    assert stream.getvalue().endswith("\r" + " " * 51 + "\r")


@pytest.mark.parametrize(("took_s", "left"), [(120.0, "6 min 00 s left"), (3600.0, "3 h 00 min left")])
def test_long_waits_are_told_in_minutes_and_hours(took_s, left):
    now_s, stream = [0.0], io.StringIO()
    line = RunProgress(stream, clock=lambda: now_s[0])
    now_s[0] = took_s
    line.update(At(now_ms=900_000))
    assert stream.getvalue().endswith(left)
    line.update(At(now_ms=0, end_ms=0))
