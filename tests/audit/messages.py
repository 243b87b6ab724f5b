"""Messages of every kind a journal holds, for the tests of this package."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from backtester.audit.events import JournaledMessage
from backtester.domain.account import AccountSnapshot, PositionView
from backtester.domain.intents import CancelAllIntent, CancelOrderIntent, LimitOrderIntent, MarketOrderIntent
from backtester.domain.orders import Fill, OrderAck, OrderCanceled, OrderRefused, OrderRejected, SanitizedCancel, SanitizedOrder
from backtester.domain.run_events import ControlAction, ControlEvent, LogEvent, RunEnded, RunStarted
from backtester.domain.vocabulary import FillNote, Liquidity, OrderStatus, OrderType, RejectReason, Side, TimeInForce

ORDER: dict[str, Any] = {"order_id": "cross-1", "strategy_id": "cross", "symbol": "BTCUSDT"}


def a_fill(time_ms: int = 1000, *, fill_id: str = "cross-1-1") -> Fill:
    """A taker buy of 0.01 at 100000.1."""
    return Fill(
        time_ms=time_ms,
        symbol="BTCUSDT",
        side=Side.BUY,
        qty=Decimal("0.01"),
        price=Decimal("100000.1"),
        fee=Decimal("0.5000005"),
        fee_asset="USDT",
        liquidity=Liquidity.TAKER,
        order_id="cross-1",
        fill_id=fill_id,
        strategy_id="cross",
        reason="SIGNAL",
        order_type=OrderType.MARKET,
        bar_fill=False,
        note=FillNote.NONE,
        over_share=False,
        price_ticks=1000001,
        qty_lots=10,
        fee_e8=50000050,
        open_lots=0,
    )


EVERY_MESSAGE: tuple[JournaledMessage, ...] = (
    RunStarted(
        time_ms=0,
        engine_version="0.1.0",
        seed=42,
        symbols=("BTCUSDT",),
        strategies=("cross",),
        timeframe="1h",
        execution_timeframe="1m",
        settings={"sim.spread_bps": "1"},
    ),
    MarketOrderIntent(time_ms=1, side=Side.BUY, qty="0.01", **ORDER),
    LimitOrderIntent(time_ms=1, side=Side.SELL, qty=0.5, price="100", tif=TimeInForce.IOC, reduce_only=True, **ORDER),
    CancelOrderIntent(time_ms=1, **ORDER),
    CancelAllIntent(time_ms=1, strategy_id="cross"),
    SanitizedOrder(
        time_ms=1,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        qty_lots=1,
        price_ticks=2,
        tif=TimeInForce.GTC,
        reduce_only=False,
        budget_e8=0,
        reason="TP",
        **ORDER,
    ),
    SanitizedCancel(time_ms=1, **ORDER),
    OrderAck(time_ms=1, **ORDER),
    OrderRefused(time_ms=1, reason=RejectReason.MIN_QTY, detail="0.0001 is below 0.001", **ORDER),
    OrderRejected(time_ms=1, reason=RejectReason.TOO_LATE, detail="filled", is_cancel=True, **ORDER),
    OrderCanceled(time_ms=1, status=OrderStatus.EXPIRED, reason=RejectReason.CAPACITY, open_qty=Decimal("0.5"), **ORDER),
    a_fill(),
    AccountSnapshot(
        time_ms=2,
        cash=Decimal("9999.5"),
        equity=Decimal(10000),
        unrealised_pnl=Decimal("0.5"),
        realised_pnl=Decimal(0),
        fees=Decimal("0.5"),
        exposure=Decimal(1000),
        positions=(
            PositionView(symbol="BTCUSDT", qty=Decimal("0.01"), avg_entry=Decimal(1), mark=Decimal(2), unrealised_pnl=Decimal(1)),
        ),
    ),
    ControlEvent(time_ms=3, action=ControlAction.DAILY_LOSS_HALT, detail="-2 %"),
    LogEvent(time_ms=3, strategy_id="cross", event="crossed", facts={"fast": "1", "slow": "2"}),
    RunEnded(time_ms=4, status="complete", data_fingerprint="ab", ledger_hash="cd", candles=10),
)
