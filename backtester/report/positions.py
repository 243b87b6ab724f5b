"""What was held over time, replayed from the fills: at cost, so that no candle is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from backtester.report.curves import Floats, Ints

if TYPE_CHECKING:
    import polars as pl

_FLAT = 1e-12
"""Sizes are floats here: what is left of a closed position by rounding is none."""


class Held(NamedTuple):
    """The position in one symbol after each of its fills: signed size, and signed value at its entry prices."""

    time_ms: Ints
    size: Floats
    cost: Floats


def held_by_symbol(
    fills: pl.DataFrame,
    *,
    quote: str = "",
    contracts: Mapping[str, str] | None = None,
    coins: Sequence[tuple[int, str, float, float]] = (),
) -> dict[str, Held]:
    """Positions by symbol, those that traded most value first; a fee in another asset than `quote` was taken from the coin.

    `contracts` are the sizes of inverse ones, which are valued in coins, `coins` what was held at the start (time, symbol,
    quantity, price).
    """
    import polars as pl

    worth = pl.col("price")
    for symbol, size in (contracts or {}).items():
        worth = pl.when(pl.col("symbol") == symbol).then(float(size) / pl.col("price")).otherwise(worth)
    valued = fills.with_columns(worth.alias("price"))
    turnover = valued.group_by("symbol").agg((pl.col("qty") * pl.col("price")).sum().alias("value"))
    order = turnover.sort(["value", "symbol"], descending=[True, False])["symbol"].to_list()
    in_base = (pl.col("fee_asset") != quote) & pl.lit(bool(quote))
    taken = pl.when(in_base).then(pl.col("fee")).otherwise(0.0).alias("taken")
    start = {symbol: (qty, qty * price) for _, symbol, qty, price in coins}
    return {
        symbol: _held(valued.filter(pl.col("symbol") == symbol).with_columns(taken), start.get(symbol, (0.0, 0.0)))
        for symbol in order
    }


def _held(fills: pl.DataFrame, start: tuple[float, float]) -> Held:
    """In hedge mode both sides together: what they are net, and the sum of their entry values."""
    held: dict[str, tuple[float, float]] = {"": start}
    sizes: list[float] = []
    costs: list[float] = []
    positions = fills["position_side"].to_list() if "position_side" in fills.columns else [""] * len(fills)
    rows = fills.select("side", "qty", "price", "taken").iter_rows()
    for position, (side, qty, price, taken) in zip(positions, rows, strict=True):
        signed = (qty if side == "buy" else -qty) - taken
        held[position] = _after(*held.get(position, (0.0, 0.0)), signed=signed, price=price, flat=_FLAT * qty)
        sizes.append(sum(size for size, _ in held.values()))
        costs.append(sum(cost for _, cost in held.values()))
    return Held(fills["time_ms"].to_numpy(), np.array(sizes), np.array(costs))


def _after(size: float, cost: float, *, signed: float, price: float, flat: float) -> tuple[float, float]:
    """(size, cost) after a fill; what is no more than `flat` is none."""
    after = size + signed
    if abs(after) <= flat:
        return 0.0, 0.0
    if size * signed >= 0:
        return after, cost + signed * price
    return after, cost * after / size if after * size > 0 else after * price
