"""Random worlds that settle in several assets, funding in all of derivatives, and what must hold of both (`simulate.py`)."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any

from msgspec.structs import replace

from backtester import Market, SymbolSpec
from backtester.domain.delivery import Delivery
from backtester.domain.legs import split_leg
from backtester.domain.money import MONEY_ONE
from backtester.domain.orders import Fill
from backtester.domain.settlement import FundingPaid, Settlement

MINUTE_MS = 60_000

Broken = tuple[Any, ...]
"""A rule and the facts that break it; empty where every rule holds."""


def settles_apart(seed: int) -> bool:
    """Whether a world of derivatives settles in several assets."""
    return random.Random(f"{seed} assets").random() < 0.2


def settled_apart(seed: int, specs: Mapping[str, SymbolSpec]) -> dict[str, SymbolSpec]:
    """The first symbol linear, in USDT; each other one inverse, in a coin of its own."""
    draw = random.Random(f"{seed} coins")
    first, *others = specs
    found = {first: replace(specs[first], market=Market.LINEAR, settle=None, contract_size=Decimal(1))}
    for symbol in others:
        contract_size = Decimal(draw.choice(["1", "100", "0.01"]))
        found[symbol] = replace(
            specs[symbol], market=Market.INVERSE, quote="USD", settle=specs[symbol].base, contract_size=contract_size
        )
    return found


def wallets_of(seed: int, specs: Mapping[str, SymbolSpec]) -> dict[str, Any]:
    """Keys of [account] of such a world: all is told in USDT, dollars are the same, and there is something of each coin."""
    draw = random.Random(f"{seed} wallets")
    coins = {spec.settle: Decimal(draw.choice(["0.5", "20", "3000"])) for spec in specs.values() if spec.settle}
    return {"currency": "USDT", "peg": ("USD=USDT",), "balances": coins}


def settlements_of(
    seed: int, specs: Mapping[str, SymbolSpec], *, start_ms: int, minutes: int, prices: Mapping[str, float]
) -> tuple[Settlement, ...]:
    """Settlements at full minutes, of either sign, with a mark or without, some of them assumed in a hole; none in some worlds."""
    draw = random.Random(f"{seed} funding")
    if draw.random() < 0.3:
        return ()
    found = []
    for symbol, spec in specs.items():
        if spec.market not in {Market.LINEAR, Market.INVERSE} or spec.expires_ms is not None:
            continue
        for minute in sorted(draw.sample(range(1, minutes), 4)):
            rate = Decimal(draw.randint(-300, 300)).scaleb(-5)
            is_assumed = draw.random() < 0.15
            mark_e8 = draw.choice([None, round(prices[symbol] * draw.uniform(0.9, 1.1) * 10**8)])
            found.append(Settlement(start_ms + minute * MINUTE_MS, symbol, abs(rate) if is_assumed else rate, mark_e8, is_assumed))
    return tuple(sorted(found, key=lambda one: one.time_ms))


def broken_funding_rule(messages: Sequence[Any], *, settlements: Sequence[Settlement], specs: Mapping[str, SymbolSpec]) -> Broken:
    """Each settlement meets what is held just then, once, on each side: -size x mark x rate (inverse: / mark), rounded down; one
    that is assumed costs either side. Nothing is paid where nothing is held, or at another time.
    """
    due = {(one.time_ms, one.symbol): one for one in settlements}
    held: dict[str, int] = defaultdict(int)
    paid: set[tuple[int, str]] = set()
    for message in messages:
        if isinstance(message, Fill):
            held[message.leg] += message.side.sign * message.qty_lots
        elif isinstance(message, Delivery):
            held[message.leg] = 0
        elif isinstance(message, FundingPaid):
            one = due.get((message.time_ms, message.symbol))
            if one is None or (message.time_ms, message.leg) in paid:
                return "funding is paid once, at a settlement", message
            paid.add((message.time_ms, message.leg))
            if broken := _wrong_payment(message, one, held[message.leg], specs[message.symbol]):
                return broken
    return ()


def _wrong_payment(paid: FundingPaid, settlement: Settlement, lots: int, spec: SymbolSpec) -> Broken:
    size, mark = Fraction(lots) * Fraction(spec.lot_e8, 10**8), Fraction(paid.mark)
    if settlement.mark_e8 is not None and mark != Fraction(settlement.mark_e8, 10**8):
        return "funding is paid at the mark of the settlement", paid
    value = size * Fraction(spec.contract_size) / mark if spec.face else size * mark
    value = abs(value) if settlement.is_assumed else value
    owed = Fraction(floor(-value * Fraction(settlement.rate) * MONEY_ONE), MONEY_ONE)
    if not lots or Fraction(paid.qty) != size or Fraction(paid.amount) != owed:
        return "funding is -size x mark x rate of what is held", paid, float(owed), float(size)
    return ()


def assets_of(specs: Mapping[str, SymbolSpec]) -> dict[str, dict[str, SymbolSpec]]:
    """The specs by the asset that they settle in."""
    found: dict[str, dict[str, SymbolSpec]] = defaultdict(dict)
    for symbol, spec in specs.items():
        found[spec.money_asset][symbol] = spec
    return dict(found)


def of_symbols(messages: Sequence[Any], symbols: Mapping[str, SymbolSpec]) -> list[Any]:
    """The messages about these symbols, and those about none."""
    return [message for message in messages if split_leg(_symbol(message))[0] in {"", *symbols}]


def _symbol(message: Any) -> str:
    order = getattr(message, "order", None)
    return str(order.symbol if order is not None else getattr(message, "symbol", ""))
