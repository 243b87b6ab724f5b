"""The stop and the target of each trade, from the orders of the journal, by what docs/run_directory.md says of trades.csv."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from backtester.proof.accounting import Position, Trade, position_of

STOPS = ("stop_market", "stop_limit", "trailing_stop")
TARGETS = ("take_profit_market", "take_profit_limit")


class _Order:
    """One that may be the stop or the target of a trade; `gone` is the number of the fill before which it no longer stood."""

    def __init__(self, fields: dict[str, Any], fills: int) -> None:
        self.fields = fields
        self.sent = fills
        self.gone: int | None = None
        self.prices: list[tuple[int, int]] = [(fills, fields.get("trigger_ticks", 0) or fields["price_ticks"])]

    @property
    def is_stop(self) -> bool:
        return self.fields["order_type"] in STOPS

    def price_at(self, fill: int) -> int:
        """In ticks, when that fill happened; its first one if it came later."""
        return next((ticks for sent, ticks in reversed(self.prices) if sent <= fill), self.prices[0][1])


class Levels:
    """What stood when, told event by event."""

    def __init__(self) -> None:
        self._orders: dict[str, _Order] = {}
        self._tick: dict[str, Fraction] = {}
        self._fills = 0
        self._asked: dict[str, tuple[Fraction | None, Fraction | None]] = {}
        self._watched: dict[int, tuple[Fraction | None, Fraction | None]] = {}

    def see(self, topic: str, fields: dict[str, Any]) -> None:
        """The next event of the journal."""
        if topic == "fills":
            self._fill(fields)
        elif topic == "orders.intent":
            if "watched_stop" in fields or "watched_target" in fields:
                self._asked[fields["order_id"]] = (_positive(fields.get("watched_stop")), _positive(fields.get("watched_target")))
        elif topic == "deliveries":
            self._fills += "fill_id" in fields
        elif topic == "orders.attached" or (topic == "orders.sanitized" and fields["type"] == "sanitized_order"):
            order = fields.get("order", fields)
            is_target = order["order_type"] == "limit" and order["reason"] == "TP_HIT"
            if order["order_type"] in STOPS + TARGETS or is_target:
                self._orders[order["order_id"]] = _Order(order, self._fills)
        elif topic == "orders.rejected" and not (fields.get("is_cancel") or fields.get("is_amend")):
            self._orders.pop(fields["order_id"], None)
        elif topic == "orders.canceled" and fields["order_id"] in self._orders:
            self._orders[fields["order_id"]].gone = self._fills
        elif topic == "orders.amended" and fields["order_id"] in self._orders:
            ticks = fields.get("trigger_ticks", 0) or fields.get("price_ticks", 0)
            self._orders[fields["order_id"]].prices.append((self._fills, ticks))

    def of(
        self, trades: Iterable[Trade], *, entry_price: Callable[[Trade], Fraction]
    ) -> list[tuple[Fraction | None, Fraction | None]]:
        """(stop, target) of each trade, None where there was none. `entry_price` is asked for those with a trailing stop."""
        by_position: dict[Position, list[_Order]] = {}
        for order in self._orders.values():
            by_position.setdefault(position_of(order.fields), []).append(order)
        found = []
        for trade in trades:
            position = (trade.symbol, trade.position_side)
            before, after, orders = [], [], by_position.get(position, [])
            for place, order in enumerate(orders):
                if trade.last_fill is not None and order.sent > trade.last_fill:
                    after = orders[place:]
                    break
                if order.gone is None or order.gone > trade.first_fill:
                    before.append(order)
            by_position[position] = before + after
            ours = [order for order in before if order.fields["side"] != trade.side]
            stop = next((order for order in ours if order.is_stop), None)
            target = next((order for order in ours if not order.is_stop), None)
            watched = self._watched.get(-1 if trade.last_fill is None else trade.last_fill, (None, None))
            found.append(
                (
                    watched[0] if stop is None else self._price(stop, trade, entry_price),
                    watched[1] if target is None else self._price(target, trade, entry_price),
                )
            )
        return found

    def _fill(self, fields: dict[str, Any]) -> None:
        if fields["price_ticks"]:
            self._tick.setdefault(fields["symbol"], Fraction(fields["price"]) / fields["price_ticks"])
        if fields["order_id"] in self._asked:
            self._watched[self._fills] = self._asked[fields["order_id"]]
        if fields["order_id"] in self._orders and not fields["open_lots"]:
            self._orders[fields["order_id"]].gone = self._fills
        self._fills += 1

    def _price(self, order: _Order, trade: Trade, entry_price: Callable[[Trade], Fraction]) -> Fraction | None:
        tick = self._tick[trade.symbol]
        if order.fields["order_type"] != "trailing_stop":
            return tick * order.price_at(trade.first_fill)
        if order.fields.get("trigger_ticks"):
            return None
        entry = entry_price(trade)
        trail_ticks, trail_e8 = int(order.fields.get("trail_ticks", 0)), int(order.fields.get("trail_e8", 0))
        away = tick * trail_ticks if trail_ticks else entry * trail_e8 / 10**8
        return entry - away if trade.side == "buy" else entry + away


def _positive(given: Any) -> Fraction | None:
    """To the nearest 1e-8; None for what is no positive number."""
    try:
        price = Decimal(str(given))
    except InvalidOperation:
        return None
    return Fraction(round(Fraction(price) * 10**8), 10**8) if price.is_finite() and price > 0 else None
