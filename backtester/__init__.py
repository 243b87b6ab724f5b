"""An event-driven crypto trading engine whose results can be believed.

The names below are the public face; they are imported when first used, so that `bt --help` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backtester.app.api import run
    from backtester.app.result import RunResult
    from backtester.domain.candle import Candle
    from backtester.domain.instruments import SymbolSpec, SymbolSpecs
    from backtester.domain.intents import (
        AmendOrderIntent,
        CancelAllIntent,
        CancelOrderIntent,
        LimitOrderIntent,
        MarketOrderIntent,
        OcoOrderIntent,
        PositionExitsIntent,
        StopOrderIntent,
        TakeProfitOrderIntent,
        TrailingStopIntent,
    )
    from backtester.domain.orders import Fill, OpenOrder, OrderCanceled, OrderRefused, OrderRejected
    from backtester.domain.vocabulary import (
        CloseReason,
        ExitSize,
        Liquidity,
        Market,
        OrderType,
        PositionSide,
        RejectReason,
        SelfTrade,
        Side,
        TimeInForce,
        TriggerBy,
    )
    from backtester.strategy.base import Strategy, StrategyParams
    from backtester.strategy.execution import POV, TWAP, VWAP, Executions, ExitPlan, ExitRules, PassiveEntry, executing

__all__ = [
    "POV",
    "TWAP",
    "VWAP",
    "AmendOrderIntent",
    "CancelAllIntent",
    "CancelOrderIntent",
    "Candle",
    "CloseReason",
    "Executions",
    "ExitPlan",
    "ExitRules",
    "ExitSize",
    "Fill",
    "LimitOrderIntent",
    "Liquidity",
    "Market",
    "MarketOrderIntent",
    "OcoOrderIntent",
    "OpenOrder",
    "OrderCanceled",
    "OrderRefused",
    "OrderRejected",
    "OrderType",
    "PassiveEntry",
    "PositionExitsIntent",
    "PositionSide",
    "RejectReason",
    "RunResult",
    "SelfTrade",
    "Side",
    "StopOrderIntent",
    "Strategy",
    "StrategyParams",
    "SymbolSpec",
    "SymbolSpecs",
    "TakeProfitOrderIntent",
    "TimeInForce",
    "TrailingStopIntent",
    "TriggerBy",
    "executing",
    "run",
]

__version__ = "0.1.0"

_HOME = {
    "AmendOrderIntent": "backtester.domain.intents",
    "CancelAllIntent": "backtester.domain.intents",
    "CancelOrderIntent": "backtester.domain.intents",
    "Candle": "backtester.domain.candle",
    "CloseReason": "backtester.domain.vocabulary",
    "Executions": "backtester.strategy.execution",
    "ExitPlan": "backtester.strategy.execution",
    "ExitRules": "backtester.strategy.execution",
    "ExitSize": "backtester.domain.vocabulary",
    "Fill": "backtester.domain.orders",
    "LimitOrderIntent": "backtester.domain.intents",
    "Liquidity": "backtester.domain.vocabulary",
    "Market": "backtester.domain.vocabulary",
    "MarketOrderIntent": "backtester.domain.intents",
    "OcoOrderIntent": "backtester.domain.intents",
    "OpenOrder": "backtester.domain.orders",
    "OrderCanceled": "backtester.domain.orders",
    "OrderRefused": "backtester.domain.orders",
    "OrderRejected": "backtester.domain.orders",
    "OrderType": "backtester.domain.vocabulary",
    "POV": "backtester.strategy.execution",
    "PassiveEntry": "backtester.strategy.execution",
    "PositionExitsIntent": "backtester.domain.intents",
    "PositionSide": "backtester.domain.vocabulary",
    "RejectReason": "backtester.domain.vocabulary",
    "RunResult": "backtester.app.result",
    "SelfTrade": "backtester.domain.vocabulary",
    "Side": "backtester.domain.vocabulary",
    "StopOrderIntent": "backtester.domain.intents",
    "Strategy": "backtester.strategy.base",
    "StrategyParams": "backtester.strategy.base",
    "SymbolSpec": "backtester.domain.instruments",
    "SymbolSpecs": "backtester.domain.instruments",
    "TWAP": "backtester.strategy.execution",
    "TakeProfitOrderIntent": "backtester.domain.intents",
    "TimeInForce": "backtester.domain.vocabulary",
    "TrailingStopIntent": "backtester.domain.intents",
    "TriggerBy": "backtester.domain.vocabulary",
    "VWAP": "backtester.strategy.execution",
    "executing": "backtester.strategy.execution",
    "run": "backtester.app.api",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'backtester' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
