from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from backtester.audit.journal import MemoryJournal
from backtester.audit.run_store import create
from backtester.domain.errors import StorageError
from backtester.domain.money import MONEY_ONE
from backtester.domain.orders import OrderRefused, SanitizedCancel, SanitizedOrder
from backtester.domain.run_events import LogEvent
from backtester.domain.vocabulary import OrderType, RejectReason, Side, TimeInForce
from backtester.engine.ports import Tick
from backtester.report.frames import equity_frame, fills_frame, frame_of_text, trades_frame
from backtester.report.results import MemoryFiles, OpenFile, Results, write_results
from tests.report.market import MINUTE, SYMBOLS, ListFeed, bar, fill, spec


def a_journal() -> MemoryJournal:
    order = {"order_id": "s-1", "strategy_id": "s", "symbol": "AAAUSDT"}
    journal = MemoryJournal()
    sanitized = SanitizedOrder(
        time_ms=1, side=Side.BUY, order_type=OrderType.MARKET, qty_lots=1, price_ticks=0, tif=TimeInForce.GTC, reduce_only=False, budget_e8=0,
        reason="SIGNAL", **order,
    )  # fmt: skip
    journal.append(1, 0, "orders.sanitized", sanitized)
    journal.append(2, 0, "orders.sanitized", SanitizedCancel(time_ms=1, **order))
    for seq, reason in enumerate((RejectReason.MIN_QTY, RejectReason.DAILY_LOSS, RejectReason.DAILY_LOSS), start=3):
        journal.append(seq, 0, "orders.refused", OrderRefused(time_ms=1, reason=reason, detail="", **order))
    journal.append(5, 0, "logs", LogEvent(time_ms=1, strategy_id="s", event="e", facts={}))
    journal.append(6, 1, "fills", fill(MINUTE + 125, "AAAUSDT", 2, 1000, fee_e8=100))
    journal.append(7, 1, "fills", fill(2 * MINUTE, "AAAUSDT", -1, 1010, fee_e8=100, bar_fill=True))
    return journal


def results(open_file: OpenFile) -> Results:
    ticks: list[Tick] = [
        (m * MINUTE, [bar("AAAUSDT", m * MINUTE, 100.0 + m)], [bar("AAAUSDT", m * MINUTE, 100.0 + m)]) for m in (1, 2, 3)
    ]
    return write_results(
        a_journal().lines(),
        open_file=open_file,
        feed=ListFeed(ticks),
        specs={symbol: spec(symbol) for symbol in SYMBOLS},
        starting_cash=1000 * MONEY_ONE,
        start_ms=0,
    )


def test_the_files_in_memory_and_on_disk_are_the_same(tmp_path: Path) -> None:
    memory, run = MemoryFiles(), create(tmp_path, "one")
    assert results(memory.whole_file).figures == results(run.whole_file).figures
    names = ("fills.csv", "trades.csv", "equity.csv", "metrics.json")
    assert memory.texts == {name: (run.path / name).read_text() for name in names}
    assert sorted(path.name for path in run.path.iterdir()) == sorted(names)


def test_metrics_json_has_the_names_that_scripts_rely_on() -> None:
    memory = MemoryFiles()
    results(memory.whole_file)
    written = json.loads(memory.texts["metrics.json"])
    names = "total_return cagr volatility sharpe sortino max_drawdown win_rate exposure trades fees"
    assert list(written)[:10] == names.split(" ")
    assert written["cagr"] is None and written["win_rate"] is None and written["trades"] == 0
    assert (written["fees"], written["exposure"]) == (2e-06, pytest.approx(2 / 3))


def test_the_summary_counts_what_passed() -> None:
    summary = results(MemoryFiles().whole_file).summary()
    assert summary["start_equity"] == 1000.0
    assert summary["end_equity"] == pytest.approx(1000 + 0.001 + 0.001 * 3 - 2e-6)
    assert {name: summary[name] for name in ("orders", "fills", "refusals", "open_trades")} == {
        "orders": 1,
        "fills": 2,
        "refusals": 3,
        "open_trades": 1,
    }
    assert list(summary["refusals_by_reason"].items()) == [("DAILY_LOSS", 2), ("MIN_QTY", 1)]  # type: ignore[attr-defined]  # a dict


def test_events_are_counted_without_notes() -> None:
    assert results(MemoryFiles().whole_file).tally.events == 7


def test_frames_are_exact_and_typed(tmp_path: Path) -> None:
    run = create(tmp_path, "one")
    results(run.whole_file)
    fills, trades, equity = fills_frame(run.path), trades_frame(run.path), equity_frame(run.path)
    assert fills["qty"].to_list() == [Decimal("0.002"), Decimal("0.001")] and fills["bar_fill"].to_list() == [False, True]
    assert fills["note"].to_list() == ["", ""] and fills["time_ms"].to_list() == [MINUTE + 125, 2 * MINUTE]
    assert trades["exit_time_ms"].to_list() == [None] and trades["is_open"].to_list() == [True]
    assert equity["equity"].to_list()[-1] == Decimal("1000.003998") and len(equity) == 3


def test_frames_of_a_run_without_fills_are_empty_and_typed() -> None:
    header = "symbol,side,qty,entry_time_ms,pnl_frac,is_open\n"
    frame = frame_of_text(header)
    assert frame.is_empty() and [str(kind) for kind in frame.dtypes][2:] == [
        "Decimal(precision=38, scale=16)",
        "Int64",
        "Float64",
        "Boolean",
    ]


def test_a_run_without_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="only a complete run"):
        fills_frame(tmp_path)
