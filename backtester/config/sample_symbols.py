"""The symbols of the synthetic sample market: a table (`defaults/sample_symbols.toml`), and a rule for every other name."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from functools import cache

import msgspec

from backtester.config.files import PACKAGED, read_table

SAMPLE_EXCHANGE = "sample"
SAMPLE_LABEL = "synthetic sample"
"""What the terminal, the manifest and every artefact call these candles."""
_QUOTES = ("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "DAI", "USD", "EUR", "BTC", "ETH", "BNB")


class SampleSymbol(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one symbol looks and moves in the sample market.

    price         quote, on 2025-01-01
    beta, idio    its share of the market's move; the size of its own move, in units of the market's
    volume_quote  what a usual minute trades
    """

    symbol: str
    price: float
    tick_size: Decimal
    lot_size: Decimal
    beta: float
    idio: float
    volume_quote: float

    @property
    def ticks_per_unit(self) -> int:
        """Ticks in one unit of quote; steps of the sample market are powers of ten, so this is a whole number."""
        numerator, denominator = self.tick_size.as_integer_ratio()
        return denominator // numerator


class _SampleTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    samples: tuple[SampleSymbol, ...]


@cache
def sample_symbol(name: str) -> SampleSymbol:
    """The row of `name`; `BTCUSD` looks like `BTCUSDT`; a name without a row gets one that is a function of the name only."""
    row = _table().get(name)
    if row is None and name.endswith("USD") and (alike := _table().get(f"{name}T")):
        row = msgspec.structs.replace(alike, symbol=name)
    return row or _derived(name)


def base_and_quote(name: str) -> tuple[str, str]:
    """`BTCUSDT` as ('BTC', 'USDT'); a name that ends in no known quote asset is traded against USDT."""
    for quote in _QUOTES:
        if name.endswith(quote) and len(name) > len(quote):
            return name.removesuffix(quote), quote
    return name, "USDT"


@cache
def _table() -> dict[str, SampleSymbol]:
    rows = msgspec.convert(read_table(PACKAGED / "sample_symbols.toml"), _SampleTable).samples
    return {row.symbol: row for row in rows}


def _derived(name: str) -> SampleSymbol:
    digest = hashlib.sha256(name.encode()).digest()
    draws = [int.from_bytes(digest[index : index + 4], "big") for index in range(0, 20, 4)]
    exponent = draws[0] % 6 - 2
    digits = 1000 + draws[1] % 9000
    return SampleSymbol(
        symbol=name,
        price=_scaled(digits, exponent - 3),
        tick_size=_power_of_ten(exponent - 4),
        lot_size=_power_of_ten(-exponent - 1),
        beta=0.9 + draws[2] % 400 / 1000,
        idio=0.5 + draws[3] % 300 / 1000,
        volume_quote=20_000.0 * (1 + draws[4] % 20),
    )


def _power_of_ten(exponent: int) -> Decimal:
    return Decimal(10**exponent) if exponent >= 0 else Decimal((0, (1,), exponent))


def _scaled(digits: int, exponent: int) -> float:
    """digits x 10**exponent, rounded once."""
    return float(digits * 10**exponent) if exponent >= 0 else digits / 10**-exponent
