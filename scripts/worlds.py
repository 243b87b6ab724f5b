"""The random worlds of `simulate.py`: symbols, venues, costs, rails and a strategy that sends anything, all decided by a seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np
from borrow_worlds import borrow_of
from dated_worlds import option_spec, option_symbols, with_ends
from finer_worlds import RandomQuotes, finer_bars, finer_of, has_quotes
from margin_worlds import is_hedged, leverage_of, tiers_of
from msgspec.structs import replace
from other_prices import OtherPrices
from rule_worlds import rules_of, stored_fees
from settled_worlds import settled_apart, settlements_of, settles_apart, wallets_of
from standing_worlds import with_few_standing

from backtester import (
    AmendOrderIntent,
    CancelAllIntent,
    CancelOrderIntent,
    Candle,
    ExitSize,
    LimitOrderIntent,
    Market,
    MarketOrderIntent,
    OcoOrderIntent,
    OpenOrder,
    PositionExitsIntent,
    PositionSide,
    RejectReason,
    SelfTrade,
    Side,
    StopOrderIntent,
    Strategy,
    SymbolSpec,
    TakeProfitOrderIntent,
    TimeInForce,
    TrailingStopIntent,
    TriggerBy,
)
from backtester.app.borrowing import plan_borrowing
from backtester.app.currency import CurrencyPlan, plan_currency, settles_in_several
from backtester.app.future_plan import plan_futures
from backtester.app.margin import plan_margin
from backtester.app.market_data import SymbolRef, from_columns
from backtester.app.opening import opening_coins
from backtester.app.option_plan import plan_options
from backtester.app.plan import Plan
from backtester.app.rule_plan import plan_rule_changes
from backtester.app.specs import SpecChange
from backtester.app.wiring import Engine, build
from backtester.audit.journal import MemoryJournal
from backtester.config.run_config import AccountSection, EngineSection, RiskSection, RunConfig, RunSection, SimSection
from backtester.config.venue_rules import venue_table
from backtester.data.columns import CandleColumns
from backtester.data.feed import CandleFeed, SymbolStream
from backtester.domain.deposits import CoinsDeposited
from backtester.domain.orders import (
    Fill,
)
from backtester.domain.settlement import Settlement
from backtester.domain.timeframe import iso_text
from backtester.domain.venue_rules import GENERIC, VenueRules
from backtester.engine.topics import T_BALANCES
from backtester.sim.sim_models import FixedSlippage, SymbolFees

MINUTE_MS = 60_000
START_MS = 1_736_121_600_000
TICK = Decimal("0.1")


class World(NamedTuple):
    """Everything that a seed decides."""

    seed: int
    bars: dict[str, CandleColumns]
    specs: dict[str, SymbolSpec]
    config: RunConfig
    rules: VenueRules
    fees: tuple[Decimal, Decimal]
    settlements: tuple[Settlement, ...]
    finer: tuple[str, ...]
    """Kinds of finer data that are stored."""
    changes: tuple[SpecChange, ...] = ()


class Happened(NamedTuple):
    """One run of a world."""

    engine: Engine
    messages: list[Any]
    lines: list[tuple[int, bytes]]
    """(time_ms, JSON) of every event."""
    digest: str
    bars: dict[str, CandleColumns]


def world_of(seed: int) -> World:
    """The world of a seed; the same on every machine."""
    draw = random.Random(seed)
    market = draw.choice([Market.LINEAR, Market.LINEAR, Market.SPOT])
    symbols = ["AAAUSDT", "BBBUSDT", "CCCUSDT"][: draw.randint(1, 3)]
    count = draw.randint(40, 120)
    bars = {symbol: _bars(draw, count) for symbol in symbols}
    specs = {symbol: replace(_spec(symbol, market, draw), leverage_tiers=tiers_of(seed)) for symbol in symbols}
    sim: dict[str, Any] = {
        "spread_bps": Decimal(draw.choice(["0", "1", "20"])),
        "slippage_bps": Decimal(draw.choice(["0", "1", "15"])),
        "participation_bps": Decimal(draw.choice(["0", "1000", "100"])),
        "order_latency_ms": draw.choice([0, 125, 30_000, 60_000, 90_000]),
        "cancel_latency_ms": draw.choice([0, 125, 61_000]),
        "response_latency_ms": draw.choice([0, 125, 59_999]),
        "latency_jitter_ms": draw.choice([0, 0, 400]),
        "limit_fill": draw.choice(["through", "touch"]),
        "remainder": draw.choice(["carry", "cancel"]),
        "work_bars": draw.choice([1, 60]),
    }
    if market is Market.SPOT:
        sim["spot_fee"] = random.Random(5 * seed + 3).choice(["quote", "received"])
    options = option_symbols(seed, symbols[0], float(bars[symbols[0]].open[0])) if market is Market.LINEAR else []
    is_apart = market is Market.LINEAR and len(symbols) > 1 and not options and settles_apart(seed)
    if options:
        specs |= {name: option_spec(seed, name, specs[symbols[0]], start_ms=START_MS, minutes=count) for name in options}
        bars |= {name: _bars(random.Random(f"{seed} {name} bars"), count, leaps=1) for name in options}
    elif is_apart:
        specs = settled_apart(seed, specs)
    elif market is Market.LINEAR:
        specs = {symbol: _inverse(seed, spec) for symbol, spec in specs.items()}
        specs = with_ends(seed, specs, start_ms=START_MS, minutes=count)
    coins = {"AAA": Decimal("1.23456789")} if market is Market.SPOT and random.Random(7 * seed + 1).random() < 0.4 else {}
    leverage = leverage_of(seed, symbols) if market is Market.LINEAR and not options else {}
    if leverage and is_hedged(seed):
        leverage["position_mode"] = "hedge"
    if is_apart:
        leverage |= wallets_of(seed, specs)
    if market is Market.SPOT:
        leverage = borrow_of(seed, bars)
    if leverage.get("borrow"):  # hours in which something is owed
        sim["spot_fee"] = "quote"
        longer = random.Random(13 * seed + 6)
        bars = {symbol: _bars(longer, 250) for symbol in symbols}
    sim |= _models(seed, sim["limit_fill"])
    if has_quotes(seed):
        sim["spread"] = "quotes"
    cash = Decimal(draw.choice(["300", "10000", "1000000"]))
    config = RunConfig(
        run=RunSection(seed=seed, execution_timeframe="1m"),
        sim=SimSection(**sim),
        account=AccountSection(**{"starting_cash": cash, "snapshot_every": "10m", "balances": coins, **leverage}),
        risk=_risk(seed, symbols, count),
    )
    rules = with_few_standing(seed, draw.choice([GENERIC, *venue_table().values()]))
    fees = (Decimal(draw.choice(["-1", "0", "2"])), Decimal(draw.choice(["0", "5"])))
    prices = {symbol: float(table.open[0]) for symbol, table in bars.items()}
    settlements = settlements_of(seed, specs, start_ms=START_MS, minutes=count, prices=prices)
    last_ms = max(int(table.start_ms[-1]) for table in bars.values()) + MINUTE_MS
    chosen = rules_of(seed, specs, start_ms=min(int(table.start_ms[0]) for table in bars.values()), end_ms=last_ms)
    return World(seed, bars, chosen.specs, config, rules, fees, settlements, finer_of(seed), chosen.changes)


def _models(seed: int, limit_fill: str) -> dict[str, Any]:
    """What is assumed where a bar leaves it open, and how far latencies are from constant."""
    draw = random.Random(f"{seed} models")
    model = draw.choice(["constant", "constant", "uniform", "lognormal", "gamma"])
    spread = {} if model == "constant" else {"latency_model": model, "latency_jitter_ms": 0}
    return spread | {
        "path": draw.choice(["worst", "worst", "ohlc", "olhc", "adaptive", "seeded", "best"]),
        "limit_fill": draw.choice([limit_fill, limit_fill, "probabilistic", "queue"]),
        "latency_factor": Decimal(draw.choice([1, 1, 4])),
    }


def _risk(seed: int, symbols: list[str], count: int) -> RiskSection:
    """Rails that bite: each is on in some of the worlds."""
    draw = random.Random(3 * seed + 2)
    action: Any = draw.choice(["halt", "flatten"])
    moment_ms = START_MS + draw.randint(0, count) * MINUTE_MS + draw.choice([0, 125, 30_000])
    rails: dict[str, Any] = {
        "price_collar_bps": draw.choice([None, Decimal(500)]),
        "daily_loss_limit": draw.choice([None, Decimal("0.2")]),
        "daily_loss_action": action,
        "max_drawdown": draw.choice([None, None, Decimal("0.05")]),
        "max_drawdown_action": action,
        "max_leverage": draw.choice([None, None, Decimal("0.5")]),
        "max_symbol_exposure": draw.choice([None, None, Decimal("0.3")]),
        "max_total_exposure": draw.choice([None, None, Decimal("0.6")]),
        "kill_switch": draw.choice(["halt", "flatten"]),
        "kill_at": draw.choice([None, None, None, iso_text(moment_ms)]),
    }
    if len(symbols) > 1 and draw.random() < 0.3:
        rails |= {"max_correlated_exposure": Decimal("0.4"), "correlated_groups": (tuple(symbols[:2]),)}
    return RiskSection(**rails)


def _bars(draw: random.Random, count: int, *, leaps: int = 8) -> CandleColumns:
    """Bars on a grid of half ticks' doubles: walks, leaps, flats, bars without volume, and minutes left out; leaps are at most
    a `leaps`-th of the price.
    """
    rows: list[tuple[int, float, float, float, float, float]] = []
    price = draw.choice([20, 1000, 50_000])
    for minute in range(count):
        if draw.random() < 0.04:
            continue
        leap = draw.choice([0, 0, 0, 0, 0, 0, 1]) * draw.randint(-price // leaps, price // leaps)
        open_ = max(10, price + leap)
        reach = max(1, open_ // draw.choice([20, 200, 2000]))
        high, low = open_ + draw.randint(0, reach), max(5, open_ - draw.randint(0, reach))
        close = draw.randint(low, high)
        volume = draw.choice([0, 1, 10, 1000]) * draw.random()
        rows.append((START_MS + minute * MINUTE_MS, open_ / 10, high / 10, low / 10, close / 10, volume))
        price = close
    if not rows:
        rows.append((START_MS, 2.0, 2.0, 2.0, 2.0, 1.0))
    columns = list(zip(*rows, strict=True))
    return CandleColumns(np.array(columns[0], dtype=np.int64), *(np.array(column, dtype=np.float64) for column in columns[1:]))


def _spec(symbol: str, market: Market, draw: random.Random) -> SymbolSpec:
    return SymbolSpec(
        symbol=symbol,
        exchange="simulated",
        market=market,
        base=symbol[:3],
        quote="USDT",
        tick_size=TICK,
        lot_size=Decimal("0.001"),
        min_qty=Decimal("0.001"),
        min_notional=Decimal(draw.choice([0, 5])),
    )


def _inverse(seed: int, spec: SymbolSpec) -> SymbolSpec:
    """Inverse contracts, all settled in one coin, in a third of the worlds of derivatives."""
    draw = random.Random(7 * seed + 5)
    if draw.random() > 0.34:
        return spec
    contract_size = Decimal(draw.choice(["1", "100", "20000", "0.01"]))
    return replace(spec, market=Market.INVERSE, settle="COIN", contract_size=contract_size)


class _Anything(Strategy):
    """Sends anything, decided by the seed and by what it has seen: random orders of every kind."""

    seed: ClassVar[int]
    is_hedged: ClassVar[bool]

    def on_start(self) -> None:
        self.draw = random.Random(self.seed * 2 + 1)

    def on_candle(self, candle: Candle) -> list[Any]:
        return list(self._intents(candle)) if self.draw.random() < 0.5 else []

    def on_fill(self, fill: Fill) -> list[Any]:
        if self.draw.random() < 0.3:
            side = fill.side.opposite
            price = float(fill.price) * (0.97 if side is Side.SELL else 1.03)
            return [
                StopOrderIntent(
                    symbol=fill.symbol,
                    side=side,
                    qty=fill.qty,
                    trigger_price=round(price, 2),
                    reduce_only=True,
                    position_side=fill.position_side,
                )
            ]
        return []

    def _intents(self, candle: Candle) -> Iterator[Any]:
        draw, symbol, close = self.draw, candle.symbol, candle.close
        for _ in range(draw.randint(1, 3)):
            side = draw.choice([Side.BUY, Side.SELL])
            qty = draw.choice([0.001, 0.01, 0.5, 3.0, 40.0]) * draw.random()
            off = close * (1 + draw.choice([-0.1, -0.01, -0.002, 0, 0.002, 0.01, 0.1]))
            facts: dict[str, Any] = {"symbol": symbol, "side": side, "qty": qty, "reduce_only": draw.random() < 0.3}
            if self.is_hedged:  # now and then without
                facts["position_side"] = draw.choice([*PositionSide, *PositionSide, *PositionSide, None])
            good_till_ms = self.ctx.now_ms + draw.randint(-1000, 20 * MINUTE_MS)
            dated: dict[str, Any] = {"tif": TimeInForce.GTD, "good_till_ms": good_till_ms} if draw.random() < 0.2 else {}
            exits: dict[str, Any] = {"take_profit": close * 1.02, "stop_loss": close * 0.98} if draw.random() < 0.3 else {}
            closing: dict[str, Any] = {"close_on_trigger": True} if draw.random() < 0.2 else {}
            if closing and draw.random() < 0.5:
                closing["qty"] = None
            by = random.Random(f"{self.seed} {self.ctx.now_ms} {qty}").choice([None, None, *TriggerBy])
            waiting = {**facts, **closing, "trigger_by": by}
            exits |= {"trigger_by": by} if exits else {}
            kind = draw.randint(0, 10)
            if self.ctx.spec(symbol).option is not None and draw.random() < 0.8:  # most of the rest an option refuses
                all_cash = max(0.0, float(self.ctx.cash)) / close * draw.choice([0.2, 1, 3])
                kind, exits, facts["qty"] = kind % 3, {}, draw.choice([qty, 10 * qty, all_cash])
            if exits:
                exits["exit_size"] = draw.choice(list(ExitSize))
            if kind == 0 and draw.random() < 0.3:
                yield MarketOrderIntent(symbol=symbol, side=side, quote_qty=close * qty)
            elif kind == 0:
                yield MarketOrderIntent(**facts, **exits, tif=draw.choice([TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK]))
            elif kind in {1, 2}:
                tif: dict[str, Any] = {} if dated else {"tif": draw.choice([TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK])}
                stp = draw.choice([None, None, *SelfTrade])
                yield LimitOrderIntent(**facts, **exits, price=off, post_only=draw.random() < 0.3, stp=stp, **dated, **tif)
            elif kind == 3:
                yield StopOrderIntent(**waiting, trigger_price=off, price=draw.choice([None, off, close]), **dated)
            elif kind == 4:
                yield TakeProfitOrderIntent(**waiting, trigger_price=off, price=draw.choice([None, off]), **dated)
            elif kind == 5:
                activation = draw.choice([None, off])
                yield TrailingStopIntent(
                    **waiting, distance=close * draw.choice([0.002, 0.02]), activation_price=activation, **dated
                )
            elif kind == 6:
                orders = self.ctx.open_orders()
                if orders:
                    chosen = draw.choice(orders)
                    yield CancelOrderIntent(symbol=chosen.symbol, order_id=chosen.order_id)
            elif kind == 7:
                orders = self.ctx.open_orders()
                if orders:
                    yield self._amended(draw.choice(orders), off)
            elif kind == 8:
                away = close * draw.choice([0.002, 0.02]) * side.sign
                stop = draw.choice([None, close + 2 * away])
                yield OcoOrderIntent(**facts, price=close - away, trigger_price=close + away, stop_price=stop, **dated)
            elif kind == 9:
                near, far = draw.choice([None, close * 0.98]), draw.choice([None, close * 1.02])
                own = facts.get("position_side")
                yield PositionExitsIntent(symbol=symbol, take_profit=near, stop_loss=far, position_side=own)
                yield PositionExitsIntent(symbol=symbol, take_profit=far, stop_loss=near, position_side=own)
            elif draw.random() < 0.2:
                yield CancelAllIntent()

    def _amended(self, order: OpenOrder, off: float) -> AmendOrderIntent:
        draw = self.draw
        return AmendOrderIntent(
            order_id=order.order_id,
            qty=draw.choice([None, order.qty / 2, order.qty * 2, order.filled_qty or None]),
            price=draw.choice([None, off]) if order.price else None,
            trigger_price=draw.choice([None, off]) if order.trigger_price else None,
        )


def anything(seed: int, *, is_hedged: bool) -> type[Strategy]:
    """The strategy of a seed."""
    return type("Anything", (_Anything,), {"seed": seed, "is_hedged": is_hedged})


def run(world: World, *, bars: dict[str, CandleColumns] | None = None, routing: str = "interest") -> Happened:
    """The world's run."""
    tables = bars or world.bars
    config = RunConfig(
        run=world.config.run,
        sim=world.config.sim,
        account=world.config.account,
        risk=world.config.risk,
        engine=EngineSection(routing=routing),  # type: ignore[arg-type] # one of the two words
    )
    first_ms = min(int(table.start_ms[0]) for table in tables.values())
    end_ms = max(int(table.start_ms[-1]) for table in tables.values()) + MINUTE_MS
    fees = SymbolFees(dict.fromkeys(tables, world.fees))
    refs = [SymbolRef(symbol, spec.exchange, spec.market.value, symbol) for symbol, spec in world.specs.items()]
    opening: tuple[CoinsDeposited, ...] = ()
    currency: CurrencyPlan | None = None

    def first() -> CandleFeed:
        return CandleFeed(_streams(tables), execution_ms=MINUTE_MS, signal_ms=(), start_ms=first_ms, end_ms=end_ms)

    if settles_in_several(config, world.specs):
        currency = plan_currency(config, world.specs, open_feed=first, start_ms=first_ms)
    elif config.account.balances:
        opening = opening_coins(config.account.balances, world.specs, feed=first(), start_ms=first_ms, strategy_id="s")
    known: dict[str, Any] = {"market": from_columns(tables, config), "start_ms": first_ms, "end_ms": end_ms}
    margin = plan_margin(config, refs, world.specs, fees, start_ms=first_ms, end_ms=end_ms)
    changes = plan_rule_changes(world.changes, world.specs, fees=fees, rates_of=stored_fees, margin=margin)
    plan = Plan(
        config=config,
        specs=world.specs,
        strategies=[("s", anything(world.seed, is_hedged=config.account.position_mode == "hedge")(), ("1m",))],
        feed_start_ms=first_ms,
        start_ms=first_ms,
        end_ms=end_ms,
        slippage=FixedSlippage(config.sim.slippage_bps),
        fees=fees,
        rules=dict.fromkeys(tables, world.rules),
        open_trigger_prices=partial(OtherPrices, world.seed, world.bars),
        margin=margin,
        rule_changes=changes,
        opening=opening,
        borrow=plan_borrowing(config, world.specs),
        settlements=[one for one in world.settlements if first_ms < one.time_ms <= end_ms],
        futures=plan_futures(config, refs, world.specs, **known),
        options=plan_options(config, refs, world.specs, **known),
        currency=currency,
    )
    feed = CandleFeed(_streams(tables), execution_ms=MINUTE_MS, signal_ms=(MINUTE_MS,), start_ms=first_ms, end_ms=end_ms)
    journal = MemoryJournal()
    quotes = RandomQuotes(world.seed, list(tables), start_ms=first_ms, end_ms=end_ms) if config.sim.spread == "quotes" else None
    engine = build(plan, feed=feed, journal=journal, finer=finer_bars(world.seed, tables, world.finer), quotes=quotes)
    for deposit in opening:
        engine.bus.publish(T_BALANCES, deposit)
    for wallet in currency.deposits if currency is not None else ():
        engine.bus.publish(T_BALANCES, wallet)
    engine.bus.drain()
    reason = asyncio.run(engine.loop.run())
    engine.loop.expire_orders(RejectReason.BANKRUPT if reason == "bankrupt" else RejectReason.END_OF_RUN)
    engine.loop.end_strategies()
    engine.account.check()
    journal.close()
    lines = list(journal.lines())
    messages = [line.event() for line in lines]
    stamped = [(message.time_ms, line.raw) for line, message in zip(lines, messages, strict=True)]
    return Happened(engine, messages, stamped, journal.digest(), tables)


def _streams(tables: dict[str, CandleColumns]) -> list[SymbolStream]:
    return [SymbolStream(symbol, iter([table]), symbol) for symbol, table in tables.items()]
