"""Composition of a run: who is built from what, and who subscribes to which topic, in which order.

TOPOLOGY, the table of topics, stands in `backtester.app.topology`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

from backtester.account.account import Account
from backtester.account.books import Books
from backtester.account.deliveries import Deliveries
from backtester.account.hedged_account import HedgedAccount
from backtester.account.hedged_books import HedgedBooks, LegMarks, LegRoutes, specs_by_leg
from backtester.account.hedged_margins import HedgedLiquidations, HedgedMargins
from backtester.account.liquidations import Liquidations
from backtester.account.margins import Margins
from backtester.account.mark_prices import SeriesMarks
from backtester.account.option_liquidations import OptionLiquidations
from backtester.account.option_margins import OptionMargins
from backtester.account.portfolio import Portfolio
from backtester.account.portfolio_books import PortfolioBooks
from backtester.app.borrowing import put_on_borrowing
from backtester.app.exposure_limits import exposure_limits
from backtester.app.latency import run_latency
from backtester.app.plan import Plan
from backtester.app.portfolio_wiring import portfolio_of, put_portfolio_on_margin
from backtester.app.position_mode import is_hedged
from backtester.app.rule_book import RuleBook
from backtester.app.touch_fill import touch_fill
from backtester.data.mark_bars import MarkBars
from backtester.domain.borrowing import InterestDue, interest_instants
from backtester.domain.delivery import Expiry
from backtester.domain.legs import legs_of
from backtester.domain.money import money_from_decimal
from backtester.domain.rule_changes import RuleChange
from backtester.domain.settlement import Settlement
from backtester.domain.timeframe import parse_time_ms, timeframe_ms
from backtester.domain.vocabulary import Liquidity, Market
from backtester.engine.bus import Bus
from backtester.engine.clock import Clock
from backtester.engine.last_prices import LastPrices
from backtester.engine.loop import Loop
from backtester.engine.mailbox import Mailbox
from backtester.engine.ports import FinerData, IndexReader, Journal, MarketDataSource, QuoteReader
from backtester.engine.rng import RandomStreams
from backtester.engine.routes import Routes
from backtester.engine.schedule import Schedule
from backtester.engine.topics import (
    T_CONTROL,
    T_DELIVERIES,
    T_FILLS,
    T_INTEREST,
    T_LIQUIDATIONS,
    T_ORDERS_ACK,
    T_ORDERS_AMENDED,
    T_ORDERS_ATTACHED,
    T_ORDERS_CANCELED,
    T_ORDERS_INTENT,
    T_ORDERS_REFUSED,
    T_ORDERS_REJECTED,
    T_ORDERS_SANITIZED,
    T_ORDERS_TRIGGERED,
    T_RULES,
)
from backtester.execution.order_manager import OrderManager
from backtester.execution.working_orders import WorkingOrders
from backtester.risk.changing_rules import ChangingRounding
from backtester.risk.gate import RiskGate
from backtester.risk.limits import RiskLimits
from backtester.risk.unbooked import Unbooked
from backtester.sim.intrabar import Intrabar
from backtester.sim.latency import LatencyModel
from backtester.sim.liquidity import BarLiquidity
from backtester.sim.option_pricing import OptionPricing
from backtester.sim.pricing import FillPricing
from backtester.sim.quoted_spread import QuotedSpreads
from backtester.sim.received_fees import ReceivedFees
from backtester.sim.sim_models import FeeModel, checked_rate_bps
from backtester.sim.trigger_prices import TriggerPrices
from backtester.sim.venue import SimulatedVenue
from backtester.strategy.context import HedgedPositionTable, PositionTable, StrategyContext
from backtester.strategy.history import CandleHistory
from backtester.strategy.host import StrategyHost


class Engine(NamedTuple):
    """A wired run."""

    loop: Loop
    bus: Bus
    clock: Clock
    account: Account
    orders: OrderManager
    risk: RiskGate
    venue: SimulatedVenue
    plan: Plan


def build(
    plan: Plan,
    *,
    feed: MarketDataSource,
    journal: Journal,
    finer: FinerData | None = None,
    quotes: QuoteReader | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Engine:
    """Wire a run on the simulated venue, which asks `finer` about ambiguous bars. Subscription order is that of TOPOLOGY."""
    bus, clock = Bus(), Clock(plan.feed_start_ms)
    rule_book = RuleBook(plan, clock)
    plan = plan._replace(specs=rule_book.specs, fees=rule_book.fees)
    config, specs = plan.config, plan.specs
    schedule = Schedule(bus=bus, clock=clock)
    routes = Routes(symbols=specs, broadcast=config.engine.routing == "broadcast")
    marks = LastPrices()
    stored = plan.margin.open_marks()
    margin_marks = marks if stored is None else SeriesMarks(reader=stored, last=marks, clock=clock)
    positions = {strategy_id: _positions(plan) for strategy_id, _, _ in plan.strategies}
    equity_marks = margin_marks if plan.margin.marks_equity else marks
    account = _account(plan, equity_marks, closes=equity_marks, positions=positions, clock=clock, routes=routes)
    books = account.books
    index = plan.options.open_index(clock)
    _put_on_options(plan=plan, books=books, account=account, clock=clock, routes=routes, marks=margin_marks, index=index)
    put_on_borrowing(books, specs, plan.borrow, plan.fees)
    working = WorkingOrders(specs=specs)
    trigger_prices = plan.open_trigger_prices()
    risk = _gate(plan, rule_book, account, orders=working, marks=marks, clock=clock, trigger_prices=trigger_prices)
    latency = run_latency(config, clock)
    venue = _venue(
        plan,
        feed=feed,
        finer=finer,
        pricing=_pricing(plan, index, quotes, clock),
        books=books,
        risk=risk,
        latency=latency,
        schedule=schedule,
        routes=routes,
        clock=clock,
        marks=marks,
        trigger_prices=trigger_prices,
    )
    venue.bring(books.lots)
    _put_on_margin(
        plan=plan, books=books, account=account, venue=venue, clock=clock, routes=routes, stored=stored, marks=margin_marks
    )
    orders = OrderManager(gateway=venue, working=working)
    routes.open_to_all(venue=venue.on_bar, books=account.on_bar, margin=bool(plan.margin.terms))
    mailbox = Mailbox(schedule=schedule, response_ms=latency.response_ms)
    _subscribe(bus=bus, journal=journal, risk=risk, orders=orders, venue=venue, account=account, mailbox=mailbox)
    loop = Loop(
        feed=feed,
        bus=bus,
        clock=clock,
        schedule=schedule,
        routes=routes,
        marks=marks,
        account=account,
        venue=venue,
        deciders=_hosts(plan, rule_book, clock, positions, books, working),
        start_ms=plan.start_ms,
        end_ms=plan.end_ms,
        snapshot_every_ms=timeframe_ms(config.account.snapshot_every),
        settlements=_settlements(plan),
        rule_book=rule_book,
        kill_at_ms=None if config.risk.kill_at is None else parse_time_ms(config.risk.kill_at, what="risk.kill_at"),
        on_progress=on_progress,
    )
    return Engine(loop, bus, clock, account, orders, risk, venue, plan)


def _settlements(plan: Plan) -> list[RuleChange | Settlement | Expiry | InterestDue]:
    """All that changes, or is charged or delivered, at a set time."""
    interest = interest_instants(start_ms=plan.start_ms, end_ms=plan.end_ms) if plan.borrow is not None else ()
    ends = (*plan.options.expiries, *plan.futures.expiries)
    return sorted((*plan.rule_changes, *plan.settlements, *ends, *interest), key=lambda one: one.time_ms)


def _venue(
    plan: Plan,
    *,
    feed: MarketDataSource,
    finer: FinerData | None,
    pricing: FillPricing,
    books: Books,
    risk: RiskGate,
    latency: LatencyModel,
    schedule: Schedule,
    routes: Routes,
    clock: Clock,
    marks: Mapping[str, float],
    trigger_prices: TriggerPrices,
) -> SimulatedVenue:
    specs, sim = plan.specs, plan.config.sim
    may_trigger, covers, note = risk.hold_at_trigger, risk.covers_fill if plan.borrow else None, None
    if not plan.borrow and (plan.margin.terms or plan.options.terms):
        unbooked = Unbooked(books=books, reservations=risk.reservations, may_trigger=risk.hold_at_trigger, covers=risk.covers_fill)
        may_trigger, covers, note = unbooked.may_trigger, unbooked.covers, unbooked.note
    return SimulatedVenue(
        specs=specs,
        bars=feed,
        pricing=pricing,
        liquidity=BarLiquidity(sim.participation_bps),
        latency=latency,
        schedule=schedule,
        routes=routes,
        clock=clock,
        marks=marks,
        intrabar=Intrabar(specs=specs, path=sim.path, seed=plan.config.run.seed, finer=finer),
        touch=sim.limit_fill == "touch",
        touch_fill=touch_fill(plan.config, plan.specs),
        carry=sim.remainder == "carry",
        work_bars=sim.work_bars,
        rules=plan.rules,
        trigger_prices=trigger_prices,
        may_trigger=may_trigger,
        may_amend=risk.amendments.hold,
        covers_fill=covers,
        on_fill=note,
        borrows=plan.borrow is not None,
    )


def _gate(
    plan: Plan,
    rule_book: RuleBook,
    account: Account,
    *,
    orders: WorkingOrders,
    marks: Mapping[str, float],
    clock: Clock,
    trigger_prices: TriggerPrices,
) -> RiskGate:
    books = account.books
    limits = _limits(plan, books.options)
    rule_book.follow(limits, account, without_fee=_paying_in_base(plan))
    return RiskGate(
        specs=plan.specs,
        limits=limits,
        rounding=ChangingRounding(plan.rules, account=books) if plan.rule_changes else None,
        account=books,
        orders=orders,
        marks=marks,
        clock=clock,
        rules=plan.rules,
        trigger_prices=trigger_prices.require,
        borrowing=books.borrowing,
        portfolio=books if isinstance(books, PortfolioBooks) else None,
    )


def _account(
    plan: Plan,
    marks: Mapping[str, float],
    *,
    closes: Mapping[str, float],
    positions: dict[str, PositionTable],
    clock: Clock,
    routes: Routes,
) -> Account:
    risk, hedge = plan.config.risk, is_hedged(plan.config)
    rails: dict[str, Any] = {
        "daily_loss": risk.daily_loss_limit,
        "flatten": risk.daily_loss_action == "flatten",
        "drawdown": risk.max_drawdown,
        "drawdown_flatten": risk.max_drawdown_action == "flatten",
        "kill_flatten": risk.kill_switch == "flatten",
    }
    if plan.currency is not None:
        known: dict[str, Any] = {"positions": positions, "clock": clock, "routes": routes, "rails": rails, "hedge": hedge}
        return portfolio_of(plan.currency, plan.specs, marks=marks, closes=closes, **known)
    return (HedgedAccount if hedge else Account)(
        books=_books(plan, marks),
        specs=specs_by_leg(plan.specs) if hedge else plan.specs,
        positions=positions,
        clock=clock,
        routes=LegRoutes(routes) if hedge else routes,
        uses_last=not plan.margin.marks_equity,
        opening=plan.opening,
        **rails,
    )


def _books(plan: Plan, marks: Mapping[str, float]) -> Books:
    """The account at its start."""
    cash, specs, make = money_from_decimal(plan.config.account.starting_cash), plan.specs, Books
    if is_hedged(plan.config):
        specs, make, marks = specs_by_leg(specs), HedgedBooks, LegMarks(marks)
    quote = next(iter(specs.values())).money_asset
    in_coins = _paying_in_base(plan) | frozenset(_brought(plan)) | plan.uneven_coins
    exact = frozenset(specs) if plan.borrow is not None else in_coins
    return make(specs=specs, starting_cash=cash, quote=quote, marks=marks, exact=exact)


def _brought(plan: Plan) -> dict[str, int]:
    """By symbol the whole 1e-8 of the coin that the account begins with."""
    return {deposit.symbol: deposit.size_e8 for deposit in plan.opening}


def _paying_in_base(plan: Plan) -> frozenset[str]:
    """The symbols of which a buy's fee is taken from the coin bought."""
    received = plan.config.sim.spot_fee == "received"
    return frozenset(symbol for symbol, spec in plan.specs.items() if received and spec.market is Market.SPOT)


def _positions(plan: Plan) -> PositionTable:
    """A strategy's own positions, none yet."""
    return HedgedPositionTable(plan.specs) if is_hedged(plan.config) else PositionTable(dict.fromkeys(plan.specs, Decimal(0)))


def _put_on_margin(
    *,
    plan: Plan,
    books: Books,
    account: Account,
    venue: SimulatedVenue,
    clock: Clock,
    routes: Routes,
    stored: MarkBars | None,
    marks: Mapping[str, float],
) -> None:
    """In a run with leverage above 1 the account has margins and is liquidated; any other knows nothing of it."""
    margin = plan.margin
    if not margin.terms:
        return
    lots, cost, stops = books.lots, books.cost, venue.stops_before
    if isinstance(account, Portfolio):
        given: dict[str, Any] = {"stops": stops, "clock": clock, "routes": routes, "stored": stored, "marks": marks}
        put_portfolio_on_margin(account, margin, plan.specs, hedge=is_hedged(plan.config), **given)
        return
    if is_hedged(plan.config):
        specs, terms = specs_by_leg(plan.specs), {leg: found for key, found in margin.terms.items() for leg in legs_of(key)}
        legs = HedgedMargins(terms=terms, specs=specs, mode=margin.mode, lots=lots, cost=cost, marks=LegMarks(marks))
        books.margins, by_leg = legs, LegRoutes(routes)
        account.liquidations = HedgedLiquidations(
            margins=legs, books=books, specs=specs, clock=clock, routes=by_leg, stops_before=stops, series=stored
        )
        return
    margins = Margins(terms=margin.terms, specs=plan.specs, mode=margin.mode, lots=lots, cost=cost, marks=marks)
    books.margins = margins
    account.liquidations = Liquidations(
        margins=margins, books=books, specs=plan.specs, clock=clock, routes=routes, stops_before=stops, series=stored
    )


def _subscribe(
    *,
    bus: Bus,
    journal: Journal,
    risk: RiskGate,
    orders: OrderManager,
    venue: SimulatedVenue,
    account: Account,
    mailbox: Mailbox,
) -> None:
    bus.observe(journal.append)
    bus.subscribe(T_ORDERS_INTENT, risk.on_intent)
    bus.subscribe(T_ORDERS_SANITIZED, orders.on_sanitized)
    bus.subscribe(T_ORDERS_REFUSED, mailbox.on_refused)
    bus.subscribe(T_ORDERS_ACK, orders.on_ack)
    bus.subscribe(T_ORDERS_TRIGGERED, orders.on_triggered)
    bus.subscribe(T_ORDERS_ATTACHED, orders.on_attached)
    bus.subscribe(T_ORDERS_AMENDED, risk.on_amended)
    bus.subscribe(T_ORDERS_AMENDED, orders.on_amended)
    bus.subscribe(T_ORDERS_REJECTED, risk.on_rejected)
    bus.subscribe(T_ORDERS_REJECTED, orders.on_rejected)
    bus.subscribe(T_ORDERS_REJECTED, mailbox.on_rejected)
    bus.subscribe(T_ORDERS_CANCELED, risk.on_canceled)
    bus.subscribe(T_ORDERS_CANCELED, orders.on_canceled)
    bus.subscribe(T_ORDERS_CANCELED, mailbox.on_canceled)
    bus.subscribe(T_FILLS, risk.on_fill)
    bus.subscribe(T_FILLS, orders.on_fill)
    bus.subscribe(T_FILLS, account.on_fill)
    bus.subscribe(T_FILLS, mailbox.on_fill)
    bus.subscribe(T_CONTROL, risk.on_control)
    bus.subscribe(T_LIQUIDATIONS, orders.on_liquidation)
    bus.subscribe(T_LIQUIDATIONS, venue.on_liquidation)
    bus.subscribe(T_DELIVERIES, venue.on_delivery)
    bus.subscribe(T_INTEREST, venue.on_interest)
    rounding = risk.rounding
    bus.subscribe(T_RULES, rounding.on_rules)
    bus.subscribe(T_RULES, venue.on_rules)
    bus.subscribe(T_RULES, account.on_rules)


def _put_on_options(
    *,
    plan: Plan,
    books: Books,
    account: Account,
    clock: Clock,
    routes: Routes,
    marks: Mapping[str, float],
    index: IndexReader,
) -> None:
    """The account delivers what ends in the run; in one with options it margins and liquidates what is sold."""
    specs, terms = plan.specs, plan.options.terms
    if terms or plan.futures.expiries:
        account.deliveries = Deliveries(specs=specs, terms=terms)
    if not terms:
        return
    margins = OptionMargins(specs=specs, terms=terms, lots=books.lots, cost=books.cost, marks=marks, index=index)
    books.options = margins
    account.option_liquidations = OptionLiquidations(margins=margins, books=books, clock=clock, routes=routes)


def _pricing(plan: Plan, index: IndexReader, quotes: QuoteReader | None, clock: Clock) -> FillPricing:
    sim = plan.config.sim
    options = plan.options
    pricing = partial(OptionPricing, terms=options.terms, index=index) if options.terms else FillPricing
    made = pricing(
        specs=plan.specs,
        spread_bps=sim.spread_bps,
        spreads_bps=dict.fromkeys(options.terms, sim.option_spread_bps)
        | {key: own.spread_bps for key, own in sim.symbols.items() if own.spread_bps is not None},
        slippage=plan.slippage,
        fees=plan.fees,
        cost_factor=sim.cost_factor,
        quotes=None if quotes is None else QuotedSpreads(reader=quotes, clock=clock, factor=sim.cost_factor),
    )
    in_coin = sim.spot_fee == "received"
    if in_coin or plan.borrow is not None or plan.uneven_coins:
        made.received = ReceivedFees(specs=plan.specs, fees=plan.fees, held_e8=_brought(plan), in_coin=in_coin)
    return made


def _limits(plan: Plan, options: OptionMargins | None) -> RiskLimits:
    risk, sim = plan.config.risk, plan.config.sim
    in_base = _paying_in_base(plan)
    spread_bps = max(sim.spread_bps, sim.option_spread_bps) if options is not None else sim.spread_bps
    return RiskLimits(
        collar_bps=risk.price_collar_bps,
        max_open_orders=risk.max_open_orders,
        max_position_notional=risk.max_position_notional,
        orders_per_second=risk.orders_per_second,
        order_burst=risk.order_burst,
        margin=plan.margin.terms,
        fee_bps={
            symbol: Decimal(0) if symbol in in_base else max(_rate_bps(plan.fees, symbol, liquidity) for liquidity in Liquidity)
            for symbol in plan.specs
        },
        market_bps=(spread_bps + sim.slippage_bps) * sim.cost_factor,
        exposure=exposure_limits(risk, plan.specs),
        options=options,
        hedge=is_hedged(plan.config),
    )


def _rate_bps(fees: FeeModel, symbol: str, liquidity: Liquidity) -> Decimal:
    return checked_rate_bps(fees.rate_bps(symbol=symbol, liquidity=liquidity))


def _hosts(
    plan: Plan,
    rule_book: RuleBook,
    clock: Clock,
    positions: dict[str, PositionTable],
    books: Books,
    working: WorkingOrders,
) -> list[StrategyHost]:
    """Each strategy has its own history and its own random streams, so that none can disturb another or the engine."""
    hosts = []
    for strategy_id, strategy, timeframes in plan.strategies:
        history = CandleHistory(symbols=tuple(plan.specs), timeframes=timeframes, depth=strategy.history_bars)
        context = StrategyContext(
            strategy_id=strategy_id,
            symbols=tuple(plan.specs),
            timeframe=timeframes[0],
            specs=rule_book.view(),
            clock=clock,
            positions=positions[strategy_id],
            books=books,
            orders=working,
            history=history,
            streams=RandomStreams(plan.config.run.seed),
        )
        hosts.append(StrategyHost(strategy=strategy, context=context, history=history, timeframes=frozenset(timeframes)))
    return hosts
