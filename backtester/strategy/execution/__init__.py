"""Working an order over time, and leaving a position: small objects that a strategy drives from its hooks."""

from __future__ import annotations

from backtester.strategy.execution.driving import Executions, executing
from backtester.strategy.execution.exits import ExitPlan, ExitRules, HeldPosition
from backtester.strategy.execution.passive_entry import PassiveEntry
from backtester.strategy.execution.scheduled import POV, TWAP, VWAP, volume_profile

__all__ = [
    "POV",
    "TWAP",
    "VWAP",
    "Executions",
    "ExitPlan",
    "ExitRules",
    "HeldPosition",
    "PassiveEntry",
    "executing",
    "volume_profile",
]
