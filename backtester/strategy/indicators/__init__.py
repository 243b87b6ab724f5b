"""Streaming indicators: `update(...)` with each closed candle returns the new value, None until `depth` of them have come.

Every one has `value` (what `update` returned last), `ready` and `depth`, costs O(1) an update whatever its length (extremes:
on average), and equals the same formula applied to the whole list at once. Numbers that are not finite are refused.
"""

from backtester.strategy.indicators.bollinger import Bands, BollingerBands
from backtester.strategy.indicators.deviation import StandardDeviation
from backtester.strategy.indicators.ema import EMA
from backtester.strategy.indicators.extremes import Donchian, RollingMax, RollingMin
from backtester.strategy.indicators.macd import MACD, MACDValue
from backtester.strategy.indicators.sma import SMA
from backtester.strategy.indicators.vwap import VWAP, SessionVWAP
from backtester.strategy.indicators.wilder import ATR, RSI

__all__ = [
    "ATR",
    "EMA",
    "MACD",
    "RSI",
    "SMA",
    "VWAP",
    "Bands",
    "BollingerBands",
    "Donchian",
    "MACDValue",
    "RollingMax",
    "RollingMin",
    "SessionVWAP",
    "StandardDeviation",
]
