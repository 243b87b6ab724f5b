"""The data of the candle chart: by symbol, candles, fills, trades and stops in columns, of which the page draws what is in view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from backtester.report.candle_series import Candles
from backtester.report.curves import Floats, Ints
from backtester.report.html.packing import decimals_of, packed, scaled
from backtester.report.journal_facts import Stop
from backtester.report.positions import Held

if TYPE_CHECKING:
    import polars as pl

FILLS_MAX = 22_000
"""Fills in the page, of all symbols; beyond, every so manyth."""
_STOPS_MAX = 8_000


def symbol_data(
    candles: Candles | None,
    *,
    fills: pl.DataFrame,
    held: Held | None,
    trades: pl.DataFrame,
    stops: Sequence[Stop],
    every: int,
    start_ms: int,
    end_ms: int,
) -> dict[str, Any]:
    """What the page needs of one symbol. Times are whole seconds since `start_ms`, prices whole numbers of 10**-decimals."""
    known = [fills["price"].to_numpy(), *([candles.high] if candles is not None else [])]
    decimals = decimals_of(max([1.0, *(float(part.max()) for part in known if len(part)), *(stop.price for stop in stops)]))
    data: dict[str, Any] = {"decimals": decimals}
    if candles is not None:
        data["candles"] = {
            "length_s": candles.length_ms // 1000,
            "start": _seconds(candles.start_ms, start_ms),
            **{name: scaled(getattr(candles, name), decimals) for name in ("open", "high", "low", "close")},
        }
    data["fills"] = _fills(fills, held.size if held is not None else np.empty(0), every=every, start_ms=start_ms, decimals=decimals)
    if every == 1:
        data["trades"] = _trades(trades, start_ms=start_ms, end_ms=end_ms, decimals=decimals)
        data["stops"] = _stops(stops, start_ms=start_ms, end_ms=end_ms, decimals=decimals)
    return data


def _fills(fills: pl.DataFrame, sizes: Floats, *, every: int, start_ms: int, decimals: int) -> dict[str, Any]:
    """Kinds: 0 opens or adds to a long position, 1 to a short one, 2 closes or reduces a long one, 3 a short one."""
    before = np.concatenate(([0.0], sizes[:-1]))[: len(sizes)]
    is_buy = (fills["side"] == "buy").to_numpy()
    closes = before * np.where(is_buy, 1.0, -1.0) < 0
    kind = np.where(closes, np.where(is_buy, 3, 2), np.where(is_buy, 0, 1))
    reasons = list(dict.fromkeys(fills["reason"].to_list()))
    index = {reason: place for place, reason in enumerate(reasons)}
    shown = slice(None, None, every)
    return {
        "time": _seconds(fills["time_ms"].to_numpy()[shown], start_ms),
        "price": scaled(fills["price"].to_numpy()[shown], decimals),
        "qty": packed(fills["qty"].to_numpy()[shown], "f4"),
        "kind": packed(kind[shown], "u1"),
        "reason": packed([min(index[reason], 255) for reason in fills["reason"].to_list()][shown], "u1"),
        "reasons": reasons[:256],
        "every": every,
    }


def _trades(trades: pl.DataFrame, *, start_ms: int, end_ms: int, decimals: int) -> dict[str, Any]:
    exit_ms = trades["exit_time_ms"].fill_null(end_ms).to_numpy()
    return {
        "from": _seconds(trades["entry_time_ms"].to_numpy(), start_ms),
        "to": _seconds(exit_ms, start_ms),
        "entry": scaled(trades["entry_price"].to_numpy(), decimals),
        "exit": scaled(trades["exit_price"].to_numpy(), decimals),
        "won": packed((trades["net_pnl"] > 0).to_numpy(), "u1"),
    }


def _stops(stops: Sequence[Stop], *, start_ms: int, end_ms: int, decimals: int) -> dict[str, Any]:
    shown = stops[:_STOPS_MAX]
    prices: Floats = np.array([stop.price for stop in shown], dtype=np.float64)
    from_ms: Ints = np.array([stop.from_ms for stop in shown], dtype=np.int64)
    to_ms: Ints = np.array([end_ms if stop.to_ms is None else stop.to_ms for stop in shown], dtype=np.int64)
    return {
        "from": _seconds(from_ms, start_ms),
        "to": _seconds(to_ms, start_ms),
        "price": scaled(prices, decimals),
        "kind": packed([int(stop.is_stop) for stop in shown], "u1"),
    }


def _seconds(time_ms: Ints, start_ms: int) -> dict[str, str]:
    return packed((time_ms - start_ms) // 1000, "i4")
