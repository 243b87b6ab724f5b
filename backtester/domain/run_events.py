"""The run's own events: where it starts and ends, what was switched, what the strategy noted."""

from __future__ import annotations

from enum import Enum

from backtester.domain.message import Message


class ControlAction(Enum):
    """Switches that change what may be traded."""

    DAILY_LOSS_HALT = "daily_loss_halt"
    DAILY_LOSS_FLATTEN = "daily_loss_flatten"
    DAILY_LOSS_REARM = "daily_loss_rearm"
    DRAWDOWN_HALT = "drawdown_halt"
    DRAWDOWN_FLATTEN = "drawdown_flatten"
    KILL_HALT = "kill_halt"
    KILL_FLATTEN = "kill_flatten"
    MAX_LEVERAGE = "max_leverage"
    MAX_SYMBOL_EXPOSURE = "max_symbol_exposure"
    MAX_TOTAL_EXPOSURE = "max_total_exposure"
    MAX_CORRELATED_EXPOSURE = "max_correlated_exposure"
    BORROW_LIQUIDATION = "borrow_liquidation"
    BANKRUPT = "bankrupt"
    END_CLOSE = "end_close"


class ControlEvent(Message, frozen=True, gc=False, tag="control"):
    """A rail or the run itself switched something."""

    action: ControlAction
    detail: str


class LogEvent(Message, frozen=True, gc=False, tag="log"):
    """A note of a strategy; outside the digest. Values are text so that nothing mutable is kept."""

    strategy_id: str
    event: str
    facts: dict[str, str]


class RunStarted(Message, frozen=True, gc=False, tag="run_started"):
    """First event: what decides the stream, but not how long it is nor where it is stored."""

    engine_version: str
    seed: int
    symbols: tuple[str, ...]
    strategies: tuple[str, ...]
    timeframe: str
    execution_timeframe: str
    settings: dict[str, str]


class RunEnded(Message, frozen=True, gc=False, tag="run_ended"):
    """Last event: how it ended, on which data, with which ledger."""

    status: str
    data_fingerprint: str
    ledger_hash: str
    candles: int
