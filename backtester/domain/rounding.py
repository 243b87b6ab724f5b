"""Rounding to the instrument, always against the trader (exchange_semantics.md, section 2: G09)."""

from __future__ import annotations

from decimal import Decimal

from backtester.domain.errors import InvalidPriceError, InvalidQuantityError
from backtester.domain.instruments import SymbolSpec
from backtester.domain.intents import Number
from backtester.domain.money import PRICE_ONE, ceil_div, decimal_from_e8, size_from_e8
from backtester.domain.vocabulary import BUY, RejectReason, Side


def exact_decimal(value: Number, *, what: str) -> Decimal:
    """`value` as a finite Decimal above 0; a float is taken at its shortest decimal form. Raises a DomainError."""
    error = InvalidPriceError if what == "price" else InvalidQuantityError
    if isinstance(value, bool) or not isinstance(value, (Decimal, int, float, str)):
        raise error(f"{what} must be a Decimal, int, float or text, was {type(value).__name__}")
    try:
        number = Decimal(float.__repr__(value)) if isinstance(value, float) else Decimal(value)
    except ArithmeticError:
        raise error(f"{what} {_short(value)} is not a number") from None
    if not number.is_finite() or number.is_signed() or not number:
        raise error(f"{what} must be finite and above 0, was {_short(number)}")
    if number.adjusted() > 18 or number.adjusted() < -18:
        raise error(f"{what} is out of any market's range: its first digit stands at 10^{number.adjusted()}")
    return number


def _short(value: object) -> str:
    """`value` as text for a message, which may have been handed a book."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def price_ticks(price: Number, *, spec: SymbolSpec, side: Side) -> int:
    """Whole ticks of a limit price, never worse for the trader's fill than asked: a buy is rounded down, a sell up."""
    numerator, denominator = exact_decimal(price, what="price").as_integer_ratio()
    numerator, denominator = numerator * PRICE_ONE, denominator * spec.tick_e8
    ticks = int(numerator // denominator) if side is BUY else ceil_div(numerator, denominator)
    return ticks if spec.tick_step == 1 else on_step(ticks, spec.tick_step, up=side is not BUY)


def qty_lots(qty: Number, *, spec: SymbolSpec) -> int:
    """Whole lots of a quantity, rounded down; 0 when it is below one lot."""
    numerator, denominator = exact_decimal(qty, what="qty").as_integer_ratio()
    lots = int(numerator * PRICE_ONE // (denominator * spec.lot_e8))
    return lots if spec.lot_step == 1 else on_step(lots, spec.lot_step, up=False)


def on_step(count: int, step: int, *, up: bool) -> int:
    """The nearest whole multiple of `step` that is not below `count` (`up`), or not above it.

    Ticks and lots of a run whose tick or lot changes are counted in parts of it (`SymbolSpec.tick_step`, `lot_step`).
    """
    return -(-count // step) * step if up else count // step * step


def fill_price_ticks(reference_e8: int, numerator: int, denominator: int, side: Side, tick_e8: int = 1) -> int:
    """Ticks of a taker fill: reference x numerator / denominator, rounded once, last, against the trader; at least 1.

    A tick is `tick_e8`; left out, the denominator has it in it already.
    """
    denominator *= tick_e8
    if side is BUY:
        return -(-reference_e8 * numerator // denominator)
    return max(1, reference_e8 * numerator // denominator)


def ticks_decimal(ticks: int, spec: SymbolSpec) -> Decimal:
    """The price of whole ticks."""
    return decimal_from_e8(ticks * spec.tick_e8)


def lots_decimal(lots: int, spec: SymbolSpec) -> Decimal:
    """The size of whole lots."""
    return size_from_e8(lots * spec.lot_e8)


def smallest_opening_lots(*, spec: SymbolSpec, price: Number) -> int:
    """The fewest whole lots that open a position at `price`: at least the minimum quantity and the minimum notional.

    Source: exchange_semantics.md, section 1.4 (min notional); golden G18.
    """
    numerator, denominator = exact_decimal(price, what="price").as_integer_ratio()
    if spec.face:
        numerator, denominator = spec.face, PRICE_ONE**2
    by_notional = ceil_div(spec.min_notional_e8 * denominator, spec.lot_e8 * numerator)
    return on_step(max(1, ceil_div(spec.min_qty_e8, spec.lot_e8), by_notional), spec.lot_step, up=True)


def size_breach(*, lots: int, price: Number, spec: SymbolSpec, is_closing: bool) -> RejectReason | None:
    """MIN_QTY, MAX_QTY, MIN_NOTIONAL or MAX_NOTIONAL, whichever a rounded size breaks first; None when it breaks none.

    An order that only closes is exempt from notional limits and from the maximum, not from the minimum quantity.
    Source: exchange_semantics.md, sections 1.4 and 2; golden G09, G18.
    """
    qty_e8 = lots * spec.lot_e8
    if lots <= 0 or qty_e8 < spec.min_qty_e8:
        return RejectReason.MIN_QTY
    if is_closing:
        return None
    numerator, denominator = exact_decimal(price, what="price").as_integer_ratio()
    return opening_breach(lots, numerator, denominator, spec)


def opening_breach(lots: int, numerator: int, denominator: int, spec: SymbolSpec) -> RejectReason | None:
    """MAX_QTY, MIN_NOTIONAL or MAX_NOTIONAL of an order that opens at a price given as a fraction; None when it breaks none."""
    qty_e8 = lots * spec.lot_e8
    if spec.max_qty_e8 is not None and qty_e8 > spec.max_qty_e8:
        return RejectReason.MAX_QTY
    if spec.face:  # a contract has its value in the quote currency, whatever the price
        numerator, denominator = spec.face, PRICE_ONE**2
    notional = qty_e8 * numerator
    if notional < spec.min_notional_e8 * denominator:
        return RejectReason.MIN_NOTIONAL
    if spec.max_notional_e8 is not None and notional > spec.max_notional_e8 * denominator:
        return RejectReason.MAX_NOTIONAL
    return None
