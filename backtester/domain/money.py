"""Money as whole numbers of 10**-16 of an asset (ADR 006).

Prices and sizes have at most 8 decimals each, so price x size is always a whole number of these units: a notional value is
exact and never rounded. `Decimal` appears only at the edge, made from whole numbers, so no decimal context can change it.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow, Rounded
from functools import lru_cache

MONEY_DECIMALS = 16
MONEY_ONE: int = 10**MONEY_DECIMALS
PRICE_DECIMALS = 8
PRICE_ONE: int = 10**PRICE_DECIMALS
_PRICE_SCALE = float(PRICE_ONE)
FEE_STEP = 10**8
"""Fees are whole multiples of 1e-8 of the asset (coin precision): 10**8 money units."""

CURRENCIES = frozenset(("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "DAI", "USD", "EUR", "GBP", "TRY", "quote"))
"""What amounts of two decimals are usual of."""

CALCULATION = Context(
    prec=60,
    rounding=ROUND_HALF_EVEN,
    Emin=-999_999,
    Emax=999_999,
    capitals=1,
    clamp=0,
    flags=[],
    traps=[InvalidOperation, DivisionByZero, Overflow],
)
"""For quotients and products of rates: every attribute is given, so that nothing comes from settings of the process."""
_EXACT = CALCULATION.copy()
_EXACT.traps[Rounded] = True
_scaleb = _EXACT.scaleb
_TO_MONEY, _TO_PRICE = Decimal(-MONEY_DECIMALS), Decimal(-PRICE_DECIMALS)
"""Exponents as `scaleb` wants them, made once."""


def money_from_decimal(amount: Decimal) -> int:
    """Whole money units of `amount`. Raises ValueError when it has more than 16 decimals or is not finite."""
    return _scaled(amount, MONEY_DECIMALS, "amount")


def e8_from_decimal(amount: Decimal) -> int:
    """Whole 1e-8 units of `amount`. Raises ValueError when it has more than 8 decimals or is not finite."""
    return _scaled(amount, PRICE_DECIMALS, "value")


def _scaled(amount: Decimal, decimals: int, what: str) -> int:
    if not amount.is_finite():
        raise ValueError(f"{what} must be finite, was {amount}")
    numerator, denominator = amount.as_integer_ratio()
    number, rest = divmod(numerator * 10**decimals, denominator)
    if rest:
        raise ValueError(f"{what} {amount} has more than {decimals} decimals")
    return int(number)


def decimal_from_money(units: int) -> Decimal:
    """`units` as a Decimal, exact; 8 decimals where they suffice, 16 otherwise."""
    if units % FEE_STEP:
        return _scaleb(units, _TO_MONEY)
    return _scaleb(units // FEE_STEP, _TO_PRICE)


def decimal_from_e8(units: int) -> Decimal:
    """Whole 1e-8 units as a Decimal with 8 decimals, exact."""
    return _scaleb(units, _TO_PRICE)


@lru_cache(maxsize=8192)
def size_from_e8(units: int) -> Decimal:
    """`decimal_from_e8` for sizes, which repeat."""
    return decimal_from_e8(units)


def format_money(units: int) -> str:
    """Plain decimal text of `units`: at least 8 decimals, more only where they are not zero."""
    return format_scaled(units, MONEY_DECIMALS)


def format_scaled(units: int, decimals: int, *, least: int = 8) -> str:
    """Plain decimal text of `units` of 10**-decimals: at least `least` decimals, no exponent, no '-0'."""
    sign = "-" if units < 0 else ""
    whole, part = divmod(abs(units), 10**decimals)
    text = f"{part:0{decimals}d}" if decimals else ""
    if len(text) > least:
        text = text[:least] + text[least:].rstrip("0")
    return f"{sign}{whole}.{text.ljust(least, '0')}"


def shown_decimals(asset: str) -> int:
    """How many decimals amounts of an asset are shown with: 2 of a currency or a coin that stands for one, else 8 of a coin."""
    return 2 if asset in CURRENCIES or not asset else PRICE_DECIMALS


def shown_amount(units: int, asset: str) -> str:
    """Money units as people read them, rounded down."""
    decimals = shown_decimals(asset)
    return f"{units // 10 ** (MONEY_DECIMALS - decimals) / 10**decimals:.{decimals}f}"


def amount_text(amount: float | Decimal, asset: str, *, sign: bool = False) -> str:
    """An amount of an asset as people read it, with separators of thousands."""
    decimals = shown_decimals(asset)
    return f"{amount:+,.{decimals}f}" if sign else f"{amount:,.{decimals}f}"


def ceil_div(numerator: int, denominator: int) -> int:
    """The smallest whole number not below numerator / denominator (denominator > 0)."""
    return -(-numerator // denominator)


def price_e8(price: float) -> int:
    """Whole 1e-8 units nearest to a market price; exact for prices with up to 8 decimals below 9 million."""
    return round(price * _PRICE_SCALE)
