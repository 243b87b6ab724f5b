"""Leverage of random worlds, and the rules of margin that must hold in them (`simulate.py`)."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from backtester.account.liquidations import REASON
from backtester.app.margin import MarginPlan
from backtester.data.columns import CandleColumns
from backtester.domain.contract_value import book_fill, price_of
from backtester.domain.delivery import Delivery
from backtester.domain.instruments import SymbolSpec
from backtester.domain.legs import split_leg
from backtester.domain.liquidation import Reach, liquidation_value
from backtester.domain.margin_terms import MarginMode, MarginTerms
from backtester.domain.money import FEE_STEP, MONEY_ONE, PRICE_ONE, e8_from_decimal, money_from_decimal
from backtester.domain.orders import Fill, LiquidationOrder
from backtester.domain.rule_changes import RuleChange
from backtester.domain.settlement import FundingPaid
from backtester.domain.tiers import LeverageTier

BAR_MS = 60_000
ROUNDING = 10
"""Money units by which sums of rounded parts may differ."""

Broken = tuple[Any, ...]
"""A rule and the facts that break it; empty where every rule holds."""


def leverage_of(seed: int, symbols: Sequence[str]) -> dict[str, Any]:
    """Keys of [account]: leverage from 1 to 50, of all symbols or of one, in either mode."""
    draw = random.Random(f"{seed} leverage")
    times = draw.choice([Decimal(1), Decimal(2), Decimal("7.5"), Decimal(50)])
    own = {draw.choice(list(symbols)): Decimal(draw.choice([1, 20]))} if draw.random() < 0.3 else {}
    return {"leverage": times, "leverage_by_symbol": own, "margin": draw.choice(["cross", "isolated"])}


def is_hedged(seed: int) -> bool:
    """Whether the derivatives of a seed are traded in hedge mode."""
    return random.Random(f"{seed} hedge").random() < 0.3


def tiers_of(seed: int) -> tuple[LeverageTier, ...]:
    """None, one rate, or a table in which large positions need more."""
    tables = ((), ((0, "0.005", 100),), ((0, "0.004", 50), (2000, "0.02", 20), (50_000, "0.1", 5)))
    rows = random.Random(f"{seed} tiers").choice(tables)
    caps = [Decimal(floor) for floor, _, _ in rows[1:]]
    return tuple(
        LeverageTier(floor=Decimal(floor), cap=cap, maintenance_frac=Decimal(rate), leverage_max=Decimal(most))
        for (floor, rate, most), cap in zip(rows, [*caps, None], strict=False)
    )


def broken_margin_rule(
    messages: Sequence[Any],
    *,
    plan: MarginPlan,
    changes: Sequence[RuleChange],
    specs: Mapping[str, SymbolSpec],
    bars: Mapping[str, CandleColumns],
    cash: int,
) -> Broken:
    """An isolated liquidation happens at a mark that has reached the price shown and loses no more than the margin of its part; a
    cross one leaves no debt, unless what was lost before is more than a price can give back; what a bar has left without margin
    is liquidated; and no isolated position is opened or enlarged without its margin.
    """
    isolated = plan.mode is MarginMode.ISOLATED
    books: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for message in messages:
        if isinstance(message, LiquidationOrder) and isolated:
            shown = message.liquidation_price
            if shown is None or message.order.side.sign * (message.mark - shown) < 0:
                return "a mark liquidates that has reached the price shown", message
        if isinstance(message, FundingPaid):
            cash += money_from_decimal(message.amount)
        if isinstance(message, Delivery):
            cash += _booked(books, message, specs[message.symbol]) - message.fee_e8 * FEE_STEP
        if not isinstance(message, Fill) or message.symbol not in plan.terms:
            continue
        lots, cost = books[message.leg]
        realised = _booked(books, message, specs[message.symbol])
        cash += realised - message.fee_e8 * FEE_STEP
        if message.reason != REASON:
            enlarges = abs(books[message.leg][0]) == abs(lots) + message.qty_lots
            if isolated and enlarges and not changes and (missing := _missing(books, plan, cash)) > ROUNDING:
                return "an opening fill has its margin, whatever the fills before it have left", message, missing
            continue
        if isolated:
            margin = plan.terms[message.symbol].initial(abs(cost)) * message.qty_lots // abs(lots)
            if realised < -margin - ROUNDING:
                return "isolated, no more than the margin is lost", message, realised, margin
        elif cash < 0 and message.price_ticks > 1 and not any(held for held, _ in books.values()):
            return "a cross liquidation leaves no debt", message, cash
    return _survivor(messages, plan=plan, changes=changes, specs=specs, bars=bars) if isolated else ()


def _missing(books: Mapping[str, tuple[int, int]], plan: MarginPlan, cash: int) -> int:
    """Money units by which a wallet does not cover the isolated margins of these positions and the fees to close them."""
    need = 0
    for leg, (lots, cost) in books.items():
        if lots:
            terms = plan.terms[split_leg(leg)[0]]
            need += terms.initial(abs(cost)) + terms.close_fee(abs(cost), 1 if cost > 0 else -1)
    return need - cash


def _booked(books: dict[str, tuple[int, int]], fill: Fill | Delivery, spec: SymbolSpec) -> int:
    """What the fill realised; the position is in `books`."""
    lots, cost = books[fill.leg]
    signed_e8 = fill.qty_lots * fill.side.sign * spec.lot_e8
    price = e8_from_decimal(fill.price)
    booked = book_fill(lots=lots * spec.lot_e8, cost=cost, signed_lots=signed_e8, price_e8=price, face=spec.face)
    books[fill.leg] = booked.lots // spec.lot_e8, booked.cost
    return booked.realised


def _survivor(
    messages: Sequence[Any],
    *,
    plan: MarginPlan,
    changes: Sequence[RuleChange],
    specs: Mapping[str, SymbolSpec],
    bars: Mapping[str, CandleColumns],
) -> Broken:
    """An isolated position that stood through a bar whose extreme was a tick and more beyond its liquidation price."""
    moves = [message for message in messages if isinstance(message, (Fill, Delivery))]
    for leg in dict.fromkeys(message.leg for message in moves):
        symbol = split_leg(leg)[0]
        if symbol not in plan.terms:
            continue
        terms, spec = plan.terms[symbol], specs[symbol]
        own: list[Any] = [message for message in moves if message.leg == leg]
        own = sorted([*own, *(change for change in changes if change.symbol == symbol)], key=lambda one: one.time_ms)
        books = {leg: (0, 0)}
        for event, following in zip(own, [*own[1:], None], strict=False):
            if isinstance(event, (Fill, Delivery)):
                _booked(books, event, spec)
            else:
                terms, spec = event.margin or terms, event.spec
            lots, cost = books[leg]
            price = _price(terms, lots, cost, spec)
            if price is None:
                continue
            table, tick = bars[symbol], float(spec.tick_size) * 1.1
            until_ms = (following or messages[-1]).time_ms
            within = (table.start_ms >= event.time_ms) & (table.start_ms + BAR_MS < until_ms)
            beyond = table.low < price - tick if lots > 0 else table.high > price + tick
            if (within & beyond).any():
                return "what is short of margin is liquidated", event, price
    return ()


def _price(terms: MarginTerms, lots: int, cost: int, spec: SymbolSpec) -> float | None:
    """The liquidation price of an isolated position that has all its margin; None where there is no such price or position."""
    if not lots:
        return None
    reach, value, _ = liquidation_value(
        entry_value=Fraction(abs(cost), MONEY_ONE),
        margin=Fraction(terms.initial(abs(cost)), MONEY_ONE),
        loses_as_value_falls=cost > 0,
        tiers=terms.tiers,
    )
    return float(price_of(value * MONEY_ONE, abs(lots) * spec.lot_e8, spec.face) / PRICE_ONE) if reach is Reach.AT_PRICE else None
