"""The end of the data: orders expire; positions stay, or are really closed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import polars as pl

import backtester
from tests.sim.small_run import MINUTE, A, columns, flat, follows, small_run, spec

BARS = flat("00:00", 4) + "\n00:04 110 110 110 110 10"


def closed(**settings: Any) -> Any:
    table = columns(BARS)
    frame = pl.DataFrame({name: getattr(table, name) for name in ("start_ms", "open", "high", "low", "close", "volume")})
    free = {f"sim.{leg}_latency_ms": 0 for leg in ("order", "cancel", "response")} | {
        "sim.spread_bps": 0,
        "sim.participation_bps": 0,
    }
    return backtester.run(
        follows("00:01 in buy 2\n00:02 low buy 1 at 90"),
        symbols=[A],
        data=frame,
        timeframe="1m",
        fees_bps=10,
        specs=[spec()],
        settings=free | settings,
    )


def test_positions_stay_open_and_waiting_orders_expire() -> None:
    run = small_run(BARS, "00:01 in buy 2\n00:02 low buy 1 at 90", fee_bps=("0", "10"))
    assert run.told() == ["00:01 in buy 2 @ 100 taker", "00:05 low ends END_OF_RUN 1"]
    assert run.snapshots[-1].equity == Decimal(1000000) - Decimal("0.2") + 20


def test_end_close_sells_at_the_last_close_with_a_takers_costs() -> None:
    rows = closed(**{"end.close": "true", "sim.slippage_bps": 10}).fills.to_dicts()
    assert [(row["order_id"], row["side"], row["reason"]) for row in rows] == [("in", "buy", "SIGNAL"), ("end-1", "sell", "END")]
    assert Decimal(str(rows[1]["price"])) == Decimal("109.8")  # 110 less a thousandth, rounded down to the tick
    assert Decimal(str(rows[1]["fee"])) == Decimal("0.2196")
    assert rows[1]["time_ms"] == int(columns(BARS).start_ms[-1]) + MINUTE


def test_without_end_close_no_row_is_added() -> None:
    result = closed()
    assert [row["order_id"] for row in result.fills.to_dicts()] == ["in"]
    (trade,) = result.trades.to_dicts()
    assert (trade["close_reason"], trade["is_open"]) == ("END", True)
