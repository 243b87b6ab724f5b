"""The fills of a run, small enough to keep: about fifty bytes each, so that six years of trading stay in memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from backtester.audit.events import decode_delivery, decode_deposit, decode_fill, decode_funding, decode_interest
from backtester.audit.journal import JournalLine
from backtester.domain.borrowing import InterestCharged
from backtester.domain.delivery import DELIVERY_REASON, Delivery
from backtester.domain.deposits import CoinsDeposited
from backtester.domain.errors import JournalError, require
from backtester.domain.legs import leg_of
from backtester.domain.money import FEE_STEP, e8_from_decimal, money_from_decimal
from backtester.domain.orders import Fill
from backtester.domain.settlement import FundingPaid
from backtester.domain.vocabulary import PositionSide

FILLS_TOPIC = "fills"
FUNDING_TOPIC = "funding"
DELIVERY_TOPIC = "deliveries"
DELIVERY_TYPE = "delivery"
"""Stands for the order type where a position ended without an order."""
BALANCES_TOPIC = "account.balances"
INTEREST_TOPIC = "interest"
INTEREST_REASON = "INTEREST"
INTEREST_PLACE = -2
"""Stands for the number of a fill where coins owed became more without one."""
START_REASON = "START"
END_REASON = "END"
"""Reason of the fills that close positions when the data ends: they belong to the books of that last instant."""


class BookedFill(NamedTuple):
    """What trades and equity need of a fill: signed size and price in 1e-8, fee in money units; `face` of an inverse contract.

    A fee that was taken from the base coin is off the size, and in `fee` at the price of the fill. `lot_e8` is the symbol's lot.
    `at_close` tells that the fill belongs to the books of the instant it is stamped with, rather than to the bar that follows.
    """

    time_ms: int
    symbol: str
    signed_e8: int
    price_e8: int
    fee: int
    reason: str
    order_type: str
    strategy_id: str
    at_close: bool
    lot_e8: int = 0
    face: int = 0
    position_side: PositionSide | None = None

    @property
    def leg(self) -> str:
        """The position that it traded (`domain/legs.py`)."""
        return leg_of(self.symbol, self.position_side)


_Words = tuple[str, str, str, str, PositionSide | None, int, bool]
"""(symbol, reason, type of order, strategy, side of hedge mode, lot in 1e-8, whether the fee is in base): what many fills share."""


class FillBook:
    """Fills in the order of the journal, packed in columns."""

    def __init__(self, fills: Iterable[Fill] = (), *, faces: Mapping[str, int] | None = None) -> None:
        """`faces` are those of inverse contracts, by symbol (`domain.contract_value`)."""
        self._faces = faces or {}
        self._time_ms = array("q")
        self._signed_e8 = array("q")
        self._price_e8 = array("q")
        self._fee_e8 = array("q")
        self._words = array("I")
        self._at_close = bytearray()
        self.payments: list[tuple[int, int]] = []
        """(time_ms, money units) of every payment of cash without a fill, received positive: funding, and interest on quote."""
        self.paid_on: list[str] = []
        """The symbol of each payment; empty of interest."""
        self.grown: list[tuple[int, BookedFill]] = []
        """Interest on coins, as what was sold of them at its price to pay it; with the number of the fill that it came before."""
        self.interest = 0
        """All interest charged, in money units: that on coins at the prices then."""
        self._interest_paid = 0
        self.openings: list[BookedFill] = []
        """Coins that the account began with, as what they would have been bought for; they are no fills."""
        self._index: dict[_Words, int] = {}
        self._known: list[_Words] = []
        for fill in fills:
            self.add(fill)

    def __len__(self) -> int:
        return len(self._time_ms)

    def add(self, fill: Fill) -> None:
        """Keep one more fill. Raises JournalError when it is older than the last one or beyond 92 billion units."""
        self._keep(fill, reason=fill.reason, order_type=fill.order_type.value, at_close=fill.bar_fill or fill.reason == END_REASON)

    def add_delivery(self, delivery: Delivery) -> None:
        """Keep the end of a position in a contract that has expired, as one more fill. Raises what `add` does."""
        self._keep(delivery, reason=DELIVERY_REASON, order_type=DELIVERY_TYPE, at_close=True)

    def _keep(self, fill: Fill | Delivery, *, reason: str, order_type: str, at_close: bool) -> None:
        times = self._time_ms
        require(not times or times[-1] <= fill.time_ms, "fill %s is older than the one before it", fill.fill_id, error=JournalError)
        size_e8 = e8_from_decimal(fill.qty)
        lot_e8 = size_e8 // max(1, fill.qty_lots)
        in_base = isinstance(fill, Fill) and fill.fee_in_base
        words = (fill.symbol, reason, order_type, fill.strategy_id, fill.position_side, lot_e8, in_base)
        index = self._index.get(words)
        if index is None:
            index = self._index[words] = len(self._known)
            self._known.append(words)
        try:
            net_e8 = fill.net_e8 if isinstance(fill, Fill) and in_base else fill.side.sign * size_e8
            self._signed_e8.append(net_e8)
            self._price_e8.append(e8_from_decimal(fill.price))
            self._fee_e8.append(fill.fee_e8)
        except OverflowError:
            raise JournalError(f"fill {fill.fill_id}: size, price or fee is beyond 92 billion units") from None
        times.append(fill.time_ms)
        self._words.append(index)
        self._at_close.append(at_close)

    def __iter__(self) -> Iterator[BookedFill]:
        faces = self._faces
        columns = zip(self._time_ms, self._words, self._signed_e8, self._price_e8, self._fee_e8, self._at_close, strict=True)
        for time_ms, index, signed_e8, price_e8, fee_e8, at_close in columns:
            symbol, reason, order_type, strategy_id, side, lot_e8, in_base = self._known[index]
            face = faces.get(symbol, 0) if faces else 0
            fee, closes = fee_e8 * (price_e8 if in_base else FEE_STEP), bool(at_close)
            yield BookedFill(time_ms, symbol, signed_e8, price_e8, fee, reason, order_type, strategy_id, closes, lot_e8, face, side)

    def add_payment(self, paid: FundingPaid) -> None:
        """Keep one more funding payment."""
        self.payments.append((paid.time_ms, money_from_decimal(paid.amount)))
        self.paid_on.append(paid.symbol)

    def numbered(self) -> Iterator[tuple[int, BookedFill]]:
        """The fills, counted from 0."""
        return enumerate(self)

    def part(self, symbols: frozenset[str]) -> FillPart:
        """What belongs to these symbols."""
        return FillPart(self, symbols)

    def add_interest(self, charged: InterestCharged) -> None:
        """Keep one more charge of interest."""
        value, time_ms = charged.value, charged.time_ms
        self.interest += value
        if not charged.symbol:
            self._interest_paid += value
            self.payments.append((time_ms, -value))
            self.paid_on.append("")
            return
        price_e8, facts = e8_from_decimal(charged.price), (INTEREST_REASON, "", charged.strategy_id)
        self.grown.append(
            (len(self), BookedFill(time_ms, charged.symbol, -charged.amount_e8, price_e8, value, *facts, at_close=True))
        )

    def add_opening(self, deposit: CoinsDeposited) -> None:
        """Keep coins that the account began with."""
        price, facts = e8_from_decimal(deposit.price), (START_REASON, "", deposit.strategy_id)
        self.openings.append(BookedFill(deposit.time_ms, deposit.symbol, deposit.size_e8, price, 0, *facts, at_close=True))

    def funding(self) -> int:
        """All funding received less paid, in money units."""
        return sum(amount for _, amount in self.payments) + self._interest_paid

    def fees(self) -> int:
        """All fees paid, in money units; those in base at the prices of their fills."""
        if not any(words[-1] for words in self._known):
            return sum(self._fee_e8) * FEE_STEP
        return sum(fill.fee for fill in self)


class FillPart:
    """The fills and payments of some symbols of a book, as the whole book has them; nothing is borrowed in such a run."""

    def __init__(self, book: FillBook, symbols: frozenset[str]) -> None:
        self._book = book
        self._symbols = symbols
        self.openings = [opening for opening in book.openings if opening.symbol in symbols]
        self.payments = [paid for paid, symbol in zip(book.payments, book.paid_on, strict=True) if symbol in symbols]
        self.grown: list[tuple[int, BookedFill]] = []

    def __iter__(self) -> Iterator[BookedFill]:
        return (fill for _, fill in self.numbered())

    def numbered(self) -> Iterator[tuple[int, BookedFill]]:
        """The fills, with their numbers in the whole book."""
        return ((number, fill) for number, fill in enumerate(self._book) if fill.symbol in self._symbols)

    def fees(self) -> int:
        """All fees paid, in money units."""
        return sum(fill.fee for fill in self)

    def funding(self) -> int:
        """All funding received less paid, in money units."""
        return sum(amount for _, amount in self.payments)


def with_interest(fills: Iterable[BookedFill], grown: Sequence[tuple[int, BookedFill]]) -> Iterator[tuple[int, BookedFill]]:
    """The fills with their numbers, and between them what `FillBook.grown` has, as the number INTEREST_PLACE."""
    done = 0
    for place, fill in enumerate(fills):
        while done < len(grown) and grown[done][0] <= place:
            yield INTEREST_PLACE, grown[done][1]
            done += 1
        yield place, fill
    for _, charge in grown[done:]:
        yield INTEREST_PLACE, charge


Kept = Fill | FundingPaid | Delivery | CoinsDeposited | InterestCharged
"""The messages of a journal that a book keeps."""


def fills_of(lines: Iterable[JournalLine]) -> Iterator[Kept]:
    """The fills, payments of funding and interest, deliveries of positions and deposits among the lines of a journal, in order."""
    for line in lines:
        if line.topic == FILLS_TOPIC:
            yield decode_fill(line.raw)
        elif line.topic == FUNDING_TOPIC:
            yield decode_funding(line.raw)
        elif line.topic == DELIVERY_TOPIC:
            ended = decode_delivery(line.raw)
            if isinstance(ended, Delivery):
                yield ended
        elif line.topic == BALANCES_TOPIC:
            deposit = decode_deposit(line.raw)
            if isinstance(deposit, CoinsDeposited):
                yield deposit
        elif line.topic == INTEREST_TOPIC:
            yield decode_interest(line.raw)
