"""How much of an order that is worked in parts is filled, at the venue, or still to be sent: never more than was asked for."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from backtester.domain.errors import DomainError
from backtester.domain.instruments import SymbolSpec
from backtester.domain.intents import Number
from backtester.domain.money import e8_from_decimal
from backtester.domain.orders import Fill
from backtester.domain.rounding import lots_decimal, on_step, qty_lots, smallest_opening_lots


class Quota:
    """Whole lots of one order, its parts by order id. What a report says is left of a part counts, however late it comes."""

    def __init__(self, qty: Number, spec: SymbolSpec) -> None:
        self.lots = qty_lots(qty, spec=spec)
        if not self.lots:
            raise DomainError(f"{spec.symbol}: qty {qty} is less than one lot of {spec.lot_size}")
        self.filled_lots = 0
        self.working_lots = 0
        self._spec = spec
        self._parts: dict[str, tuple[int, int]] = {}
        """By id of a working part: its lots, and how many of them are open."""

    @property
    def left_lots(self) -> int:
        """What is neither filled nor at the venue, and can be sent: whole lots by the rules in force."""
        return on_step(self.lots - self.filled_lots - self.working_lots, self._spec.lot_step, up=False)

    @property
    def is_filled(self) -> bool:
        """Whether all that was asked for is filled, but for what is less than a lot since rules changed."""
        return not self.working_lots and not self.left_lots

    def follow(self, spec: SymbolSpec) -> None:
        """Parts that are sent from now on are by these rules; what is filled and working stays."""
        self._spec = spec

    def working_ids(self) -> tuple[str, ...]:
        """The parts at the venue, in the order they were sent."""
        return tuple(self._parts)

    def lots_in(self, qty: Fraction) -> int:
        """Whole lots in `qty`, at most all that was asked for."""
        return min(self.lots, on_step(int(qty * 10**8 / self._spec.lot_e8), self._spec.lot_step, up=False))

    def qty_of(self, lots: int) -> Decimal:
        """`lots` as a quantity."""
        return lots_decimal(lots, self._spec)

    def fitting_lots(self, lots: int, *, price: float, opens: bool) -> int:
        """How many of `lots` may be sent at about `price`, so that neither this part nor the rest is less than the venue takes.

        0 where it has to wait for more; where no two parts would do, all that is left.
        """
        spec = self._spec
        least = smallest_opening_lots(spec=spec, price=price) if opens else max(1, -(-spec.min_qty_e8 // spec.lot_e8))
        least, lots = on_step(least, spec.lot_step, up=True), on_step(lots, spec.lot_step, up=False)
        left = self.left_lots
        if lots >= left:
            return left
        if lots < least:
            return 0
        if left - lots >= least:
            return lots
        return left - least if left >= 2 * least else left

    def send(self, order_id: str, lots: int) -> None:
        """A part is on its way. Raises DomainError when it would be more than is left."""
        if not 0 < lots <= self.left_lots:
            raise DomainError(f"a part of {lots} lots does not fit into the {self.left_lots} that are left")
        self._parts[order_id] = (lots, lots)
        self.working_lots += lots

    def on_fill(self, fill: Fill) -> bool:
        """Whether the fill was one of a part."""
        return self._left_open(fill.order_id, fill.open_lots, ends=not fill.open_lots)

    def on_end(self, order_id: str, open_qty: Decimal | None) -> bool:
        """Whether a part has ended, with `open_qty` unfilled (None: all that was open)."""
        part = self._parts.get(order_id)
        if part is None:
            return False
        open_lots = part[1] if open_qty is None else e8_from_decimal(open_qty) // self._spec.lot_e8
        return self._left_open(order_id, open_lots, ends=True)

    def _left_open(self, order_id: str, open_lots: int, *, ends: bool) -> bool:
        part = self._parts.get(order_id)
        if part is None:
            return False
        lots, before = part
        done = max(0, before - open_lots)  # a report that comes late tells nothing new
        self.filled_lots += done
        self.working_lots -= done
        if ends:
            self.working_lots -= before - done
            del self._parts[order_id]
        else:
            self._parts[order_id] = (lots, before - done)
        return True
