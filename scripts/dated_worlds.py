"""Contracts that end in random worlds, options and dated futures, and what must hold of their end (`simulate.py`)."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil
from typing import Any

from msgspec.structs import replace

from backtester import Market, SymbolSpec
from backtester.config.option_terms import with_contract
from backtester.data.columns import CandleColumns
from backtester.domain.delivery import ContractSettled, Delivery, Expiry
from backtester.domain.options import OptionKind
from backtester.domain.orders import Fill, LiquidationOrder, OrderAck, OrderTriggered

BAR_MS = 60_000
AVERAGED_MS = 30 * BAR_MS
FUTURE_FEE_FRAC = Fraction(5, 10_000)

Broken = tuple[Any, ...]
"""A rule and the facts that break it; empty where every rule holds."""


def with_ends(seed: int, specs: Mapping[str, SymbolSpec], *, start_ms: int, minutes: int) -> dict[str, SymbolSpec]:
    """The derivatives, in some worlds some of them delivered in the run or soon after it."""
    draw = random.Random(f"{seed} futures")
    if draw.random() > 0.25:
        return dict(specs)
    return {
        symbol: replace(spec, expires_ms=start_ms + draw.randint(5, minutes + 10) * BAR_MS) if draw.random() < 0.7 else spec
        for symbol, spec in specs.items()
    }


def option_symbols(seed: int, underlying: str, price: float) -> list[str]:
    """The names of one to three options on the coin of `underlying`, near the money; none in most worlds."""
    draw = random.Random(f"{seed} options")
    if draw.random() > 0.15:
        return []
    strikes = [max(1, round(price * draw.choice([0.8, 0.95, 1, 1.05, 1.3]))) for _ in range(draw.randint(1, 3))]
    names = [f"{underlying[:-4]}-7JAN25-{strike}-{draw.choice('CP')}-USDT" for strike in strikes]
    return list(dict.fromkeys(names))


def option_spec(seed: int, name: str, plain: SymbolSpec, *, start_ms: int, minutes: int) -> SymbolSpec:
    """The rules of an option with those of `plain` otherwise; it expires in the run or soon after it."""
    draw = random.Random(f"{seed} {name}")
    made = replace(
        plain, symbol=name, market=Market.OPTION, exchange=draw.choice(["bybit", "binance"]), base=name.partition("-")[0]
    )
    expires_ms = start_ms + draw.randint(10, minutes + 10) * BAR_MS
    return replace(with_contract(made, name), expires_ms=expires_ms, leverage_tiers=())


def broken_end_rule(
    messages: Sequence[Any], *, expiries: Sequence[Expiry], specs: Mapping[str, SymbolSpec], bars: Mapping[str, CandleColumns]
) -> Broken:
    """A contract is settled once, at its time, at the price that its index had; every position in it is delivered whole, at what it
    is worth, for the fee of its kind; and nothing happens in it afterwards. Options that are bought back leave no short one.
    """
    ends_ms = {one.symbol: one.time_ms for one in expiries}
    held: dict[str, int] = defaultdict(int)
    settled: dict[str, ContractSettled] = {}
    last_ms = messages[-1].time_ms
    for message in messages:
        if isinstance(message, ContractSettled):
            if message.symbol in settled or message.time_ms != ends_ms.get(message.symbol):
                return "a contract ends once, at its time", message
            settled[message.symbol] = message
            price, is_last = _settlement(specs[message.symbol], message.time_ms, specs, bars)
            if (Fraction(message.settlement_price), message.is_last) != (price, is_last):
                return "a contract is settled at the price of its index", message, float(price)
        elif isinstance(message, Delivery):
            lots, held[message.leg] = held[message.leg], 0
            if message.symbol not in settled or message.side.sign * message.qty_lots != -lots:
                return "a delivery closes what was held", message, lots
            if broken := _wrong_delivery(message, specs[message.symbol]):
                return broken
        elif isinstance(message, Fill):
            held[message.leg] += message.side.sign * message.qty_lots
            if message.symbol in settled:
                return "nothing trades after the end", message
        elif isinstance(message, OrderTriggered) and specs[message.symbol].option:
            return "no order on an option waits for a price", message
        elif isinstance(message, OrderAck) and message.symbol in settled:
            return "no order is taken after the end", message
        elif isinstance(message, LiquidationOrder) and specs[message.order.symbol].option and held[message.order.symbol] >= 0:
            return "only short options are bought back", message
    due = {symbol for symbol, time_ms in ends_ms.items() if time_ms < last_ms}
    if due - set(settled):
        return "every contract that ends in the run is settled", due
    left = {leg: lots for leg, lots in held.items() if lots and leg.partition(" ")[0] in settled}
    return ("nothing is held after the end", left) if left else ()


def _settlement(
    spec: SymbolSpec, time_ms: int, specs: Mapping[str, SymbolSpec], bars: Mapping[str, CandleColumns]
) -> tuple[Fraction, bool]:
    """The mean of the last half hour of closes, in 1e-8, where all are there; else the last close, said so."""
    of = next((key for key, other in specs.items() if other.market is Market.LINEAR and key == f"{spec.base}USDT"), spec.symbol)
    table = bars[of]
    closes = {
        int(start_ms): Fraction(repr(float(close)))
        for start_ms, close in zip(table.start_ms, table.close, strict=True)
        if start_ms + BAR_MS <= time_ms
    }
    wanted = [closes.get(start_ms) for start_ms in range(time_ms - AVERAGED_MS, time_ms, BAR_MS)]
    known = [close for close in wanted if close is not None]
    if len(known) < len(wanted):
        return closes[max(closes)], True
    return Fraction(int(sum(known) / len(known) * 10**8 + Fraction(1, 2)), 10**8), False


def _wrong_delivery(message: Delivery, spec: SymbolSpec) -> Broken:
    """Its price and its fee, from the settlement price; of an option's fee the bounds that all venues keep."""
    settlement, size = Fraction(message.settlement_price), Fraction(message.qty)
    if spec.option is None:
        value = size * Fraction(spec.contract_size) / settlement if spec.face else size * settlement
        fee = Fraction(ceil(value * FUTURE_FEE_FRAC * 10**8), 10**8)
        same = (Fraction(message.price), Fraction(message.fee)) == (settlement, fee)
        return () if same else ("a future is delivered at its settlement price for 5 bps", message, float(fee))
    sign = 1 if spec.option.kind is OptionKind.CALL else -1
    worth = max(Fraction(0), sign * (settlement - Fraction(spec.option.strike)))
    most = ceil(worth * size * Fraction(125, 1000) * 10**8)
    if Fraction(message.price) != worth or not 0 <= message.fee_e8 <= most or (worth > 0) != (message.fee_e8 > 0):
        return "an option is delivered at what it is worth, for a capped fee", message, float(worth)
    return ()
