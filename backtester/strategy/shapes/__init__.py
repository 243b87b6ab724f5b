"""Strategies of other shapes, so that existing code can be judged: signal functions, entry and exit columns, market-making bots."""

from backtester.strategy.shapes.market_maker import MarketMakerStrategy
from backtester.strategy.shapes.signal_columns import ColumnStrategy
from backtester.strategy.shapes.signals import SignalStrategy

__all__ = ["ColumnStrategy", "MarketMakerStrategy", "SignalStrategy"]
