"""Rules that change within random worlds, and what must hold of orders then (`simulate.py`)."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from backtester.app.specs import ChosenSpecs, choose_specs
from backtester.domain.borrowing import InterestCharged
from backtester.domain.delivery import Delivery
from backtester.domain.deposits import CoinsDeposited
from backtester.domain.instruments import SymbolSpec, SymbolSpecs
from backtester.domain.legs import split_leg
from backtester.domain.orders import Fill, SanitizedOrder
from backtester.domain.position import whole_lots
from backtester.domain.rule_changes import RuleChange, RulesChanged
from backtester.domain.tiers import LeverageTier
from backtester.domain.vocabulary import Liquidity, Market, OrderType
from backtester.sim.sim_models import SymbolFees

Broken = tuple[Any, ...]
"""A rule and the facts that break it; empty where every rule holds."""

_HARSH = (LeverageTier(floor=Decimal(0), maintenance_frac=Decimal("0.015"), leverage_max=Decimal(20)),)


def rules_of(seed: int, specs: Mapping[str, SymbolSpec], *, start_ms: int, end_ms: int) -> ChosenSpecs:
    """The rules of a world: in a third of them they change, up to three times for each symbol."""
    draw = random.Random(f"{seed} rules")
    rows = list(specs.values())
    for spec in specs.values() if draw.random() < 0.34 else ():
        times_ms = sorted(draw.sample(range(start_ms + 60_000, end_ms - 60_000, 30_000), draw.randint(0, 3)))
        for time_ms in times_ms:
            before = _taken(rows, spec.symbol)
            rows += [replace(before, valid_to_ms=time_ms), replace(before, valid_from_ms=time_ms, **_other_rules(draw))]
    return choose_specs(SymbolSpecs(rows), list(specs), start_ms=start_ms, end_ms=end_ms)


def _taken(rows: list[SymbolSpec], symbol: str) -> SymbolSpec:
    """The last row of a symbol, taken out."""
    return rows.pop(max(index for index, row in enumerate(rows) if row.symbol == symbol))


def _other_rules(draw: random.Random) -> dict[str, Any]:
    """Some of the rules, other ones."""
    lot = Decimal(draw.choice(["0.001", "0.01", "0.25", "0.0004"]))
    drawn: dict[str, Any] = {
        "tick_size": Decimal(draw.choice(["0.1", "0.5", "0.02", "1"])),
        "lot_size": lot,
        "min_notional": Decimal(draw.choice([0, 5, 100])),
        "tradable": draw.random() < 0.7,
        "leverage_tiers": draw.choice([(), _HARSH]),
        "max_market_qty": draw.choice([None, Decimal(2)]),
    }
    chosen = {name: drawn[name] for name in sorted(drawn) if draw.random() < 0.5}
    if "lot_size" in chosen:
        chosen["min_qty"] = lot
    if draw.random() < 0.3:
        chosen |= {"maker_bps": Decimal(draw.choice(["-1", "1"])), "taker_bps": Decimal(draw.choice(["2", "7"]))}
    return chosen


def stored_fees(spec: SymbolSpec) -> SymbolFees | None:
    """The fees that stand with an instrument."""
    if spec.maker_bps is None or spec.taker_bps is None:
        return None
    return SymbolFees({spec.symbol: (spec.maker_bps, spec.taker_bps)})


class Held:
    """What the messages so far have left in each position (`sizes`, in 1e-8), and by which rules."""

    def __init__(self, specs: Mapping[str, SymbolSpec], changes: Sequence[RuleChange]) -> None:
        self.rules = dict(specs)
        self.sizes: dict[str, int] = defaultdict(int)
        self._coming = list(changes)
        self._all = [*specs.values(), *(change.spec for change in changes)]

    def was_dust(self, position: str) -> bool:
        """Whether it is a coin of which less is held than a lot was at some time: it may not have been tradable then. A debt of it
        grows by its interest since.
        """
        size = self.sizes[position] if self.sizes[position] > 0 else -self.sizes[position] // 2
        own = [spec for spec in self._all if spec.symbol == split_leg(position)[0] and spec.market is Market.SPOT]
        return any(size < spec.lot_e8 * spec.lot_step for spec in own)

    def see(self, message: Any) -> None:
        """Take the next message."""
        if isinstance(message, RulesChanged):
            self.rules[message.symbol] = self._coming.pop(0).spec
        elif isinstance(message, CoinsDeposited):
            self.sizes[message.symbol] += message.size_e8
        elif isinstance(message, InterestCharged) and message.symbol:
            self.sizes[message.symbol] -= message.amount_e8
        elif isinstance(message, Delivery):
            self.sizes[message.leg] = 0
        elif isinstance(message, Fill):
            self.sizes[message.leg] += message.net_e8

    def lots(self, position: str) -> int:
        """What of it can be traded, in what the run counts in: of a coin, whole lots in force."""
        spec = self.rules[split_leg(position)[0]]
        step = spec.lot_step if spec.market is Market.SPOT else 1
        return whole_lots(self.sizes[position], spec.lot_e8 * step) * step


def broken_order_rule(messages: Sequence[Any], *, specs: Mapping[str, SymbolSpec], changes: Sequence[Any]) -> Broken:
    """Orders and takers' fills are by the tick and lot in force when they are made, but to close a derivative's position whole;
    where a symbol is not tradable, nothing opens.
    """
    held = Held(specs, changes)
    coming = list(changes)
    orders: dict[str, SanitizedOrder] = {}
    for message in messages:
        held.see(message)
        if isinstance(message, RulesChanged):
            change = coming.pop(0)
            if (change.symbol, change.time_ms) != (message.symbol, message.time_ms):
                return "rules change when they are to change", message, change
        elif isinstance(message, SanitizedOrder):
            orders[message.order_id] = message
            spec, lots = held.rules[message.symbol], held.lots(message.leg)
            closes = message.reduce_only or message.qty_lots <= -lots * message.side.sign
            whole = spec.market is not Market.SPOT and message.qty_lots == abs(lots)
            if message.order_id.startswith("risk-") or message.quote_e8:
                continue
            if message.qty_lots % spec.lot_step and not (closes and whole):
                return "sizes are whole lots in force", message, spec.lot_size
            if (message.price_ticks % spec.tick_step) or (message.trigger_ticks % spec.tick_step):
                return "prices are whole ticks in force", message, spec.tick_size
            if not spec.tradable and not closes:
                return "nothing opens where nothing is tradable", message
        elif isinstance(message, Fill):
            spec, order = held.rules[message.symbol], orders.get(message.order_id)
            if order is None or order.order_id.startswith("liq-") or message.liquidity is Liquidity.MAKER:
                continue
            at_limit = order.order_type in {OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT}
            if message.price_ticks % spec.tick_step and not at_limit and message.price_ticks != order.price_ticks:
                return "takers trade at whole ticks in force", message, spec.tick_size
    return ()
