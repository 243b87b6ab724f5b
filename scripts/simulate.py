"""Random worlds against the rules that must hold in all of them; prints one line, or the seed that breaks one (exit 1).

    python scripts/simulate.py --seeds 0:200           seeds 0 to 199
    python scripts/simulate.py --seeds 17:18 --tell    one seed, with its orders and what became of them

A world has one to three symbols on a venue with its own rules, bars with gaps, halts and leaps, costs and latencies, and a
strategy that sends anything; some have funding, options, futures that are delivered, several settlement assets, borrowing, finer
data inside their bars, quotes, or rules that change. Each seed runs twice: with calls by interest and with every call made (even
seeds), or with another future after some instant (odd seeds).
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import defaultdict
from decimal import Decimal
from time import perf_counter
from typing import Any

import numpy as np
from borrow_worlds import broken_borrow_rule
from dated_worlds import broken_end_rule
from finer_worlds import WIDEST_HALF_FRAC
from margin_worlds import broken_margin_rule
from msgspec.structs import replace
from rule_worlds import Held, broken_order_rule
from settled_worlds import assets_of, broken_funding_rule, of_symbols
from standing_worlds import broken_standing_rule
from worlds import MINUTE_MS, START_MS, Happened, World, run, world_of

from backtester import (
    Liquidity,
    Market,
    RejectReason,
    Side,
)
from backtester.account.currency_replay import CurrencyReplay
from backtester.account.replay import LedgerReplay
from backtester.data.columns import CandleColumns
from backtester.domain.account import AccountSnapshot
from backtester.domain.borrowing import InterestCharged
from backtester.domain.delivery import Delivery
from backtester.domain.deposits import CoinsDeposited
from backtester.domain.errors import BacktesterError
from backtester.domain.legs import split_leg
from backtester.domain.money import money_from_decimal
from backtester.domain.orders import (
    Fill,
    LiquidationOrder,
    OrderAck,
    OrderAmended,
    OrderAttached,
    OrderCanceled,
    OrderRefused,
    OrderRejected,
    SanitizedOrder,
)
from backtester.domain.run_events import ControlAction, ControlEvent
from backtester.domain.settlement import FundingPaid
from backtester.domain.vocabulary import FillNote

LASTING = {
    ControlAction.DRAWDOWN_HALT,
    ControlAction.DRAWDOWN_FLATTEN,
    ControlAction.KILL_HALT,
    ControlAction.KILL_FLATTEN,
    ControlAction.BORROW_LIQUIDATION,
}
FLATTENING = {ControlAction.DRAWDOWN_FLATTEN, ControlAction.KILL_FLATTEN, ControlAction.BORROW_LIQUIDATION}


class Broken(Exception):  # noqa: N818 - what it is called where it is caught
    """A rule that must hold in every world does not."""


# -- rules -----------------------------------------------------------------------------------------------------------------


def require(condition: bool, rule: str, *facts: object) -> None:
    """Raise Broken with the rule and its facts unless the condition holds."""
    if not condition:
        raise Broken(f"{rule}: {', '.join(map(str, facts))}")


def check(world: World, happened: Happened) -> None:
    """Every rule on one run."""
    orders: dict[str, SanitizedOrder] = {}
    fills: dict[str, list[Fill]] = defaultdict(list)
    for message in happened.messages:
        if isinstance(message, SanitizedOrder):
            orders[message.order_id] = message
        elif isinstance(message, (OrderAttached, LiquidationOrder)):
            orders[message.order.order_id] = message.order
        elif isinstance(message, OrderAmended):
            check_amendment(message, sum(fill.qty_lots for fill in fills[message.order_id]))
            values = {"qty_lots": message.qty_lots, "price_ticks": message.price_ticks, "trigger_ticks": message.trigger_ticks}
            orders[message.order_id] = replace(orders[message.order_id], **values)
        elif isinstance(message, Fill):
            fills[message.order_id].append(message)
            check_price(world, orders[message.order_id], message)
    check_life(happened, orders, fills)
    check_positions(world, happened, orders)
    check_targets(world, happened, orders)
    check_margin(world, happened)
    check_share(world, orders, fills)
    broken = broken_order_rule(happened.messages, specs=world.specs, changes=happened.engine.plan.rule_changes)
    require(not broken, *map(str, broken or ("",)))
    broken = broken_standing_rule(happened.messages, rules=world.rules, specs=world.specs)
    require(not broken, *map(str, broken or ("",)))
    check_ledger(world, happened)
    check_halts(world, happened)
    check_ends(world, happened)


def check_ends(world: World, happened: Happened) -> None:
    """What ends at a set time, and what is settled at one, is what the contract and the series say."""
    plan, messages = happened.engine.plan, happened.messages
    expiries = (*plan.futures.expiries, *plan.options.expiries)
    broken = broken_end_rule(messages, expiries=expiries, specs=world.specs, bars=happened.bars)
    require(not broken, *map(str, broken or ("",)))
    broken = broken_funding_rule(messages, settlements=plan.settlements, specs=world.specs)
    require(not broken, *map(str, broken or ("",)))


def check_halts(world: World, happened: Happened) -> None:
    """Under a switch that is not armed again nothing new opens a position; where all is closed, only what cannot trade stays."""
    held = Held(world.specs, happened.engine.plan.rule_changes)
    halted = flattened = False
    closing: set[str] = set()
    for message in happened.messages:
        held.see(message)
        if isinstance(message, ControlEvent):
            halted |= message.action in LASTING
            flattened |= message.action in FLATTENING
        elif isinstance(message, SanitizedOrder):
            if message.order_id.startswith("risk-"):
                require(message.qty_lots > 0 and message.reduce_only, "a switch only closes", message)
            elif halted:
                within = message.qty_lots <= -held.lots(message.leg) * message.side.sign
                require(message.reduce_only or within, "nothing opens while entries are halted", message, held.lots(message.leg))
        elif isinstance(message, OrderCanceled) and message.reason in {RejectReason.END_OF_RUN, RejectReason.BANKRUPT}:
            closing.add(message.symbol)
    if flattened:
        left = {split_leg(leg)[0] for leg in held.sizes if held.lots(leg) and not held.was_dust(leg)}
        require(left <= closing, "what was closed stays closed", held.sizes)


def check_amendment(amended: OrderAmended, done: int) -> None:
    """An amended order has something open, and what is filled of it stays filled."""
    require(0 < amended.open_lots == amended.qty_lots - done, "what is filled stays filled", amended, done)


def check_life(happened: Happened, orders: dict[str, SanitizedOrder], fills: dict[str, list[Fill]]) -> None:
    """Each order ends exactly once, with no more filled than ordered; times never decrease."""
    ended: dict[str, Any] = {}
    last_ms = 0
    for message in happened.messages:
        require(message.time_ms >= last_ms, "times never decrease", message)
        last_ms = message.time_ms
        if isinstance(message, OrderCanceled) or (isinstance(message, OrderRejected) and message.ends_order):
            require(message.order_id not in ended, "an order ends once", message)
            ended[message.order_id] = message
        if isinstance(message, (Fill, OrderAmended)):
            require(message.order_id not in ended, "nothing happens to an order after its end", message)
        if isinstance(message, OrderRefused):
            require(message.order_id not in orders or message.order_id in {*orders}, "a refusal is no order", message)
    for order_id, order in orders.items():
        done = sum(fill.qty_lots for fill in fills[order_id])
        require(done <= order.qty_lots, "never more than ordered", order, done)
        whole = done == order.qty_lots
        require(whole != (order_id in ended), "no order is unaccounted for", order, done, ended.get(order_id))


def check_price(world: World, order: SanitizedOrder, fill: Fill) -> None:
    """A taker trades inside the bar, but for costs, never beyond a limit; a maker at its limit, when the bar trades through it."""
    if order.order_id.startswith("liq-"):
        return  # a settlement and not a trade: see check_margin
    tick_e8 = world.specs[fill.symbol].tick_e8
    if order.price_ticks:
        better = fill.price_ticks <= order.price_ticks if order.side is Side.BUY else fill.price_ticks >= order.price_ticks
        require(better, "never against the limit", order, fill)
    table = world.bars[fill.symbol]
    row = row_of(world, fill)
    low, high = float(table.low[row]), float(table.high[row])
    sim = world.config.sim
    if fill.liquidity is Liquidity.MAKER:
        limit = order.price_ticks * tick_e8 / 1e8
        met = low <= limit + 1e-9 if order.side is Side.BUY else high >= limit - 1e-9
        require(fill.price_ticks == order.price_ticks and met, "a maker trades at its limit, when it is reached", order, fill)
        return
    spread_bps = sim.spread_bps if world.specs[fill.symbol].option is None else sim.option_spread_bps
    room = float(spread_bps / 2 + sim.slippage_bps) / 10_000 * 1.01 + (0.11 if fill.over_share else 0)
    room += WIDEST_HALF_FRAC * 1.01 if sim.spread == "quotes" else 0
    price = fill.price_ticks * tick_e8 / 1e8
    tick = tick_e8 * coarsest_step(world, fill.symbol) / 1e8 + 1e-9
    require(low * (1 - room) - tick <= price <= high * (1 + room) + tick, "inside the bar but for costs", fill, low, high)
    adverse = price >= low - 1e-9 if fill.side is Side.BUY else price <= high + 1e-9
    require(adverse, "costs are against the trader", fill, low, high)


def coarsest_step(world: World, symbol: str) -> int:
    """Of how many parts the largest tick of the world is."""
    steps = (change.spec.tick_step for change in world.changes if change.spec.symbol == symbol)
    return max(world.specs[symbol].tick_step, *steps, 1)


def check_positions(world: World, happened: Happened, orders: dict[str, SanitizedOrder]) -> None:
    """Positions are the sum of fills; reduce-only never enlarges nor flips; spot is never short, no side turns into the other; the
    exits of a fill are no larger than the position that they close.
    """
    held = Held(world.specs, happened.engine.plan.rule_changes)
    borrows = world.config.account.borrow == "on"
    for fill in happened.messages:
        before = held.sizes[fill.leg] if isinstance(fill, Fill) else 0
        held.see(fill)
        if isinstance(fill, OrderAttached) and not fill.order.oco_id:
            exit_, closable = fill.order, -fill.order.side.sign * held.sizes[fill.order.leg]
            within = 0 < exit_.qty_lots * world.specs[exit_.symbol].lot_e8 <= closable
            require(within, "exits are no larger than what they close", exit_, closable)
        if not isinstance(fill, Fill):
            continue
        after = held.sizes[fill.leg]
        if orders[fill.order_id].reduce_only:
            require(before * after >= 0 and abs(after) < abs(before), "reduce-only reduces", fill, before, after)
        if fill.position_side is not None:
            require(after * fill.position_side.opens.sign >= 0, "a side never turns into the other", fill, after)
        if world.specs[fill.symbol].market is Market.SPOT:
            require(after >= 0 or borrows, "spot is never short", fill, after)
            received = world.config.sim.spot_fee == "received"
            rebate = fill.fee_e8 < 0 or (fill.fee_e8 == 0 and fill.liquidity is Liquidity.MAKER)
            in_base = received and (fill.side is Side.BUY) is not rebate
            require(fill.fee_in_base is in_base or fill.fee_e8 == 0, "a fee is taken from the coin received", fill)
    books = happened.engine.account.books
    lots = {position: held.lots(position) for position in held.sizes if held.lots(position)}
    require({position: lots for position, lots in books.lots.items() if lots} == lots, "positions are fills", lots)
    exact = {symbol: size * books.step_e8[symbol] for symbol, size in books.sizes.items() if size}
    require(exact == {position: size for position, size in held.sizes.items() if size}, "coins are fills less their fees", exact)
    require(not happened.engine.risk.reservations.total, "nothing stays reserved", happened.engine.risk.reservations.total)
    if world.specs[next(iter(world.specs))].market is Market.SPOT:
        require(books.cash >= 0 or borrows, "a spot account is not overdrawn", books.cash)


def check_targets(world: World, happened: Happened, orders: dict[str, SanitizedOrder]) -> None:
    """A take-profit that has the size of the position closes nothing that its bar has added, unless finer data told when."""
    held = Held(world.specs, happened.engine.plan.rule_changes)
    stood: dict[str, int] = {}
    grown: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for place, message in enumerate(happened.messages):
        order_id = message.order.order_id if isinstance(message, OrderAttached) else getattr(message, "order_id", "")
        if isinstance(message, (OrderAttached, OrderAck)):
            stood[order_id] = place
        before = held.sizes[message.leg] if isinstance(message, Fill) else 0
        held.see(message)
        if not isinstance(message, Fill):
            continue
        after, row = held.sizes[message.leg], row_of(world, message)
        if abs(after) > abs(before) or before * after < 0:
            grown[message.leg].append((place, row, abs(after) - (abs(before) if before * after > 0 else 0)))
        order = orders[order_id]
        if order.follows_position and not order.order_type.is_stop and message.bar_fill and message.note is not FillNote.RESOLVED:
            added = sum(size for since, at, size in grown[message.leg] if at == row and since > stood[order_id])
            require(abs(after) >= added, "what a bar has added its target does not close", message, before, added)


def row_of(world: World, fill: Fill) -> int:
    """Which bar of its symbol a fill was made in."""
    return int(np.searchsorted(world.bars[fill.symbol].start_ms, fill.time_ms - (1 if fill.bar_fill else 0), side="right")) - 1


def check_margin(world: World, happened: Happened) -> None:
    """Liquidations happen when they must, and cost what they may; where several assets settle, in each by itself."""
    plan, wallets = happened.engine.plan.margin, _wallets(world, happened)
    changes = happened.engine.plan.rule_changes
    for asset, specs in assets_of(world.specs).items():
        own = plan._replace(terms={symbol: terms for symbol, terms in plan.terms.items() if symbol in specs})
        told = of_symbols(happened.messages, specs)
        broken = broken_margin_rule(told, plan=own, specs=specs, bars=world.bars, cash=wallets[asset], changes=changes)
        require(not broken, *map(str, broken or ("",)))
    terms, start = happened.engine.plan.borrow, world.config.account.starting_cash
    broken = broken_borrow_rule(happened.messages, terms=terms, specs=world.specs, bars=world.bars, cash=start)
    require(not broken, *map(str, broken or ("",)))


def check_ledger(world: World, happened: Happened) -> None:
    """The ledger can be rebuilt from the messages alone, and every snapshot is what its postings say."""
    faces, currency = {symbol: spec.face for symbol, spec in world.specs.items()}, happened.engine.plan.currency
    if currency is not None:
        told = CurrencyReplay(currency=currency.currency, time_ms=START_MS, faces=faces)
        for deposit in currency.deposits:
            told.deposited(deposit)
    replay = told if currency is not None else _replay(world, happened, faces)
    for message in happened.messages:
        if isinstance(message, (Fill, FundingPaid, CoinsDeposited, InterestCharged, Delivery)):
            replay.book(message)
        elif isinstance(message, AccountSnapshot):
            require(not replay.differences(message), "equity is the sum of postings and unrealised", replay.differences(message))
    ledger = happened.engine.account.ledger
    require(replay.ledger.state_hash() == ledger.state_hash(), "the ledger is what the messages say", ledger.balances)


def _replay(world: World, happened: Happened, faces: dict[str, int]) -> LedgerReplay:
    """The ledger of one asset at its start."""
    coins = {symbol: spec.base if spec.option is None else "" for symbol, spec in world.specs.items() if spec.market.is_outright}
    cash = money_from_decimal(world.config.account.starting_cash)
    asset = happened.engine.account.books.quote
    return LedgerReplay(asset=asset, starting_cash=cash, time_ms=START_MS, coins=coins, faces=faces)


def _wallets(world: World, happened: Happened) -> dict[str, int]:
    """What there is of each settlement asset at the start, in money units."""
    currency = happened.engine.plan.currency
    if currency is not None:
        return {one.asset: money_from_decimal(one.amount) for one in currency.deposits}
    return dict.fromkeys(assets_of(world.specs), money_from_decimal(world.config.account.starting_cash))


def check_share(world: World, orders: dict[str, SanitizedOrder], fills: dict[str, list[Fill]]) -> None:
    """Orders that may be held back never take more of a bar together than the share allows."""
    share = world.config.sim.participation_bps
    if not share:
        return
    taken: dict[tuple[str, int], int] = defaultdict(int)
    for order_id, parts in fills.items():
        order = orders[order_id]
        if order.reduce_only or (order.order_type.is_conditional and not order.price_ticks):
            continue
        for fill in parts:
            taken[fill.symbol, row_of(world, fill)] += fill.qty_lots
    for (symbol, row), lots in taken.items():
        volume = Decimal(repr(float(world.bars[symbol].volume[row])))
        allowed = volume * share / 10_000 / Decimal(world.specs[symbol].lot_e8).scaleb(-8)
        require(lots <= allowed + 1, "never more than the volume share", symbol, row, lots, allowed)


def check_seed(seed: int) -> Happened:
    """Both runs of a seed keep every rule. Raises Broken."""
    world = world_of(seed)
    happened = run(world)
    check(world, happened)
    if seed % 2 == 0:
        again = run(world, routing="broadcast")
        require(again.digest == happened.digest, "calls by interest and by broadcast agree", seed)
        return happened
    cut_ms = START_MS + random.Random(seed).randint(5, 60) * MINUTE_MS
    other = run(world, bars={symbol: _other_future(table, cut_ms) for symbol, table in world.bars.items()})
    known = [line for time_ms, line in happened.lines if time_ms < cut_ms]
    require(known == [line for time_ms, line in other.lines if time_ms < cut_ms], "nobody knows the future", seed, cut_ms)
    return happened


def _other_future(table: CandleColumns, cut_ms: int) -> CandleColumns:
    """The same bars up to an instant, others after it."""
    later = table.start_ms >= cut_ms
    open_, high, low, close = (np.where(later, np.round(column * 1.3, 1), column) for column in table[1:5])
    return CandleColumns(table.start_ms, open_, high, low, close, np.where(later, table.volume * 0.5, table.volume))


def main() -> int:
    """Parse the command line, run the seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0:200", metavar="A:B", help="half-open (default 0:200)")
    parser.add_argument("--tell", action="store_true", help="print what happened")
    arguments = parser.parse_args()
    first, last = (int(word) for word in arguments.seeds.split(":"))
    started_s = perf_counter()
    fills = orders = 0
    for seed in range(first, last):
        try:
            happened = check_seed(seed)
        except (Broken, BacktesterError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            print(
                f"seed {seed}: {type(error).__name__}: {error}\nagain: python scripts/simulate.py --seeds {seed}:{seed + 1} --tell"
            )
            return 1
        fills += sum(isinstance(message, Fill) for message in happened.messages)
        orders += sum(isinstance(message, SanitizedOrder) for message in happened.messages)
        if arguments.tell:
            for _, line in happened.lines:
                print(line.decode())
    seconds = perf_counter() - started_s
    each = seconds / max(1, last - first)
    print(f"{last - first} worlds, {orders:,} orders, {fills:,} fills: every rule holds ({each:.2f} s a world)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
