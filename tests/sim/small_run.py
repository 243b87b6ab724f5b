"""Small runs told as text: bars and orders in, what became of them out.

A bar is `HH:MM open high low close volume` and lasts a minute; a minute without a row is a gap. An order is
`HH:MM id buy|sell qty [stop|target price] [trail distance|Nbps] [from activation]
[tp price] [sl price] [at price] [ioc|fok|gtd HH:MM] [reduce] [post] [whole] [close] [by mark|index] [long|short]`
or `HH:MM id buy|sell qty oco limit trigger [stop limit or -] [reduce]` or `HH:MM exits id [tp price] [sl price] [by mark|index]` or `HH:MM cancel id|all`
or `HH:MM amend id [qty n] [at price] [stop price]`, sent when the minute before HH:MM has closed.
A qty of `$100` is a value, `all` is none. Unless a scenario says otherwise: no latency, no costs, no cap on volume, a linear market with ticks of 0.1 and lots of 0.001.
`account` are keys of [account] such as leverage.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from backtester import Candle, Strategy
from backtester.app.borrowing import plan_borrowing
from backtester.app.currency import CurrencyPlan, plan_currency, settles_in_several, without_spot_trading
from backtester.app.delisting import plan_delistings
from backtester.app.future_plan import plan_futures
from backtester.app.margin import plan_margin
from backtester.app.market_data import SymbolRef, from_columns
from backtester.app.opening import opening_coins
from backtester.app.option_plan import plan_options
from backtester.app.plan import Plan
from backtester.app.rule_plan import plan_rule_changes
from backtester.app.specs import choose_specs
from backtester.app.wiring import Engine, build
from backtester.config.option_terms import with_contract
from backtester.config.run_config import AccountSection, EngineSection, RiskSection, RunConfig, RunSection, SimSection
from backtester.data.columns import CandleColumns, slice_columns
from backtester.data.feed import CandleFeed, SymbolStream
from backtester.data.finer_bars import FinerBars, FinerSource
from backtester.domain.account import AccountSnapshot
from backtester.domain.deposits import CoinsDeposited
from backtester.domain.errors import DataUnavailableError
from backtester.domain.instruments import SymbolSpec, SymbolSpecs
from backtester.domain.intents import (
    AmendOrderIntent,
    AnyIntent,
    CancelAllIntent,
    CancelOrderIntent,
    LimitOrderIntent,
    MarketOrderIntent,
    OcoOrderIntent,
    PositionExitsIntent,
    StopOrderIntent,
    TakeProfitOrderIntent,
    TrailingStopIntent,
)
from backtester.domain.orders import Fill, OrderAck, OrderAmended, OrderCanceled, OrderRefused, OrderRejected
from backtester.domain.run_events import ControlEvent
from backtester.domain.settlement import Settlement
from backtester.domain.timeframe import timeframe_ms
from backtester.domain.venue_rules import GENERIC, VenueRules
from backtester.domain.vocabulary import ExitSize, Market, PositionSide, RejectReason, Side, TimeInForce, TriggerBy
from backtester.engine.topics import T_BALANCES
from backtester.sim.sim_models import FixedSlippage, SymbolFees

MINUTE = 60_000
MIDNIGHT = 1_736_121_600_000
"""2025-01-06 00:00 UTC, a Monday."""
A, B = "AAAUSDT", "BBBUSDT"


def ms(text: str) -> int:
    """Epoch milliseconds of `HH:MM[:SS[.mmm]]` on the day of the scenario; hours may go past 24."""
    hours, minutes, *seconds = text.split(":")
    return MIDNIGHT + int(hours) * 3_600_000 + int(minutes) * MINUTE + round(float(seconds[0] if seconds else 0) * 1000)


def clock_text(time_ms: int) -> str:
    """`HH:MM`, with seconds only where there are some."""
    minutes, rest = divmod(time_ms - MIDNIGHT, MINUTE)
    seconds = f":{rest // 1000:02d}" + (f".{rest % 1000:03d}" if rest % 1000 else "") if rest else ""
    return f"{minutes // 60:02d}:{minutes % 60:02d}{seconds}"


def rows(text: str) -> list[list[str]]:
    """The words of each line; what follows a # is a remark."""
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    return [line for line in lines if line]


def columns(text: str) -> CandleColumns:
    """The bars of a text."""
    table = rows(text)
    starts = np.array([ms(row[0]) for row in table], dtype=np.int64)
    return CandleColumns(starts, *(np.array([float(row[index]) for row in table]) for index in range(1, 6)))


def option(name: str, *, exchange: str = "bybit", **rules: Any) -> SymbolSpec:
    """Trading rules of the option of this name: ticks of 0.1, lots of 0.001, no minimums."""
    return with_contract(replace(spec(name, market=Market.OPTION, **rules), exchange=exchange, base=name.partition("-")[0]), name)


def finer_bars(texts: Mapping[int, str]) -> FinerBars:
    """Finer data of the symbol A, by the length of its rows."""

    def source(length_ms: int, text: str) -> FinerSource:
        lines = [" ".join([row[0], *[row[1]] * 4, row[2]]) for row in rows(text)] if not length_ms else [text]
        held = columns("\n".join(lines))

        def read(start_ms: int, end_ms: int) -> Iterator[CandleColumns]:
            yield slice_columns(held, *held.start_ms.searchsorted((start_ms, end_ms)).tolist())

        return FinerSource(length_ms, read)

    return FinerBars({A: [source(length_ms, text) for length_ms, text in texts.items()]})


def flat(first: str, count: int, *, price: float = 100, volume: float = 1000) -> str:
    """`count` minutes at one price."""
    start = (ms(first) - MIDNIGHT) // MINUTE
    return "\n".join(
        f"{(start + n) // 60:02d}:{(start + n) % 60:02d} {price} {price} {price} {price} {volume}" for n in range(count)
    )


def side_of(words: Sequence[str]) -> PositionSide | None:
    """`long` or `short` among the words: the position of hedge mode that is meant."""
    return next((PositionSide(word) for word in words if word in ("long", "short")), None)


def intent_of(words: Sequence[str], symbol: str = A) -> AnyIntent:
    """The intent that a line of orders asks for (without its time)."""
    if words[0] == "cancel":
        return CancelAllIntent() if words[1] == "all" else CancelOrderIntent(symbol=symbol, order_id=words[1])
    if words[0] == "amend":
        names = {"qty": "qty", "at": "price", "stop": "trigger_price"}
        return AmendOrderIntent(order_id=words[1], **{names[word]: words[words.index(word) + 1] for word in words[2::2]})
    if words[0] == "exits":
        prices = {"tp": "take_profit", "sl": "stop_loss"}
        given = {prices[word]: words[words.index(word) + 1] for word in words[2:] if word in prices}
        sides = {"trigger_by": _trigger_by(words), "position_side": side_of(words)}
        return PositionExitsIntent(symbol=symbol, order_id=words[1], **sides, **given)
    order_id, side, qty, *rest = words
    if ":" in order_id:
        order_id, symbol = order_id.split(":")
    tif = next((TimeInForce(word) for word in rest if word in ("ioc", "fok", "gtd")), TimeInForce.GTC)
    facts: dict[str, Any] = {"symbol": symbol, "order_id": order_id, "side": Side(side), "qty": qty, "tif": tif}
    facts["reduce_only"] = "reduce" in rest
    facts["position_side"] = side_of(rest)
    if qty == "all":
        del facts["qty"]
    elif qty.startswith("$"):
        facts["quote_qty"] = facts.pop("qty")[1:]
    if "close" in rest:
        facts["close_on_trigger"] = True
    price = rest[rest.index("at") + 1] if "at" in rest else None
    exits = {name: rest[rest.index(word) + 1] for word, name in (("tp", "take_profit"), ("sl", "stop_loss")) if word in rest}
    good_till_ms = ms(rest[rest.index("gtd") + 1]) if "gtd" in rest else 0
    if "oco" in rest:
        limit, trigger, stop = rest[rest.index("oco") + 1 :][:3]
        levels = {"price": limit, "trigger_price": trigger, "stop_price": None if stop == "-" else stop}
        return OcoOrderIntent(good_till_ms=good_till_ms, **levels, **facts)
    waits = {"tp", "sl", "trail", "stop", "target"} & set(rest)
    if waits:
        facts["trigger_by"] = _trigger_by(rest)
    if "trail" in rest:
        trail = rest[rest.index("trail") + 1]
        follow = {"trail_bps": trail[:-3]} if trail.endswith("bps") else {"distance": trail}
        activation = rest[rest.index("from") + 1] if "from" in rest else None
        return TrailingStopIntent(activation_price=activation, good_till_ms=good_till_ms, **follow, **facts)
    for word, kind in (("stop", StopOrderIntent), ("target", TakeProfitOrderIntent)):
        if word in rest:
            return kind(trigger_price=rest[rest.index(word) + 1], price=price, good_till_ms=good_till_ms, **facts)
    if "whole" in rest:
        facts["exit_size"] = ExitSize.WHOLE
    if price is None:
        return MarketOrderIntent(**exits, **facts)
    return LimitOrderIntent(price=price, post_only="post" in rest, good_till_ms=good_till_ms, **exits, **facts)


def _trigger_by(words: Sequence[str]) -> TriggerBy | None:
    return TriggerBy(words[words.index("by") + 1]) if "by" in words else None


def script_of(text: str) -> dict[int, list[AnyIntent]]:
    """Intents by the time at which they are sent."""
    script: dict[int, list[AnyIntent]] = {}
    for time, *words in rows(text):
        script.setdefault(ms(time), []).append(intent_of(words))
    return script


def follows(text: str) -> type[Strategy]:
    """A strategy that sends the orders of a text."""
    script = script_of(text)

    class Follower(Strategy):
        def on_candle(self, candle: Candle) -> list[AnyIntent] | None:
            return script.pop(candle.end_ms, None)

    return Follower


def spec(symbol: str = A, *, market: Market = Market.LINEAR, **rules: Any) -> SymbolSpec:
    """Trading rules of a symbol: ticks of 0.1, lots of 0.001, no minimums."""
    given = {"tick_size": Decimal("0.1"), "lot_size": Decimal("0.001"), "min_qty": Decimal("0.001")} | rules
    return SymbolSpec(symbol=symbol, exchange="test", market=market, base=symbol[:-4], quote="USDT", **given)


class OtherPrices:
    """Mark and index prices of a text."""

    def __init__(self, texts: Mapping[TriggerBy, str]) -> None:
        self._rows = {by: list(zip(*(column.tolist() for column in columns(text)[:5]), strict=True)) for by, text in texts.items()}

    def require(self, symbol: str, by: TriggerBy) -> None:
        if by not in self._rows:
            raise DataUnavailableError(f"no {by.value} prices of {symbol}")

    def now(self, symbol: str, by: TriggerBy, time_ms: int) -> float:
        return next(float(row[4]) for row in reversed(self._rows[by]) if row[0] + MINUTE <= time_ms)

    def bar(self, symbol: str, by: TriggerBy, start_ms: int, end_ms: int) -> Candle:
        found = self.between(symbol, by, start_ms, end_ms, inward=False)
        if found is None:
            raise DataUnavailableError(f"no {by.value} prices of {symbol} at {start_ms}")
        return found

    def between(self, symbol: str, by: TriggerBy, start_ms: int, end_ms: int, *, inward: bool) -> Candle | None:
        start_ms = -(-start_ms // MINUTE) * MINUTE if inward else start_ms // MINUTE * MINUTE
        rows = [row for row in self._rows[by] if start_ms <= row[0] < end_ms]
        if not rows or rows[0][0] != start_ms:
            return None
        high, low = max(row[2] for row in rows), min(row[3] for row in rows)
        return Candle(symbol, "", start_ms, end_ms, rows[0][1], high, low, rows[-1][4], 0.0)


class Recorder:
    """A journal that keeps what it is handed."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, int, str, Any]] = []

    def append(self, seq: int, cause: int, topic: str, message: Any) -> None:
        self.entries.append((seq, cause, topic, message))

    def flush(self) -> None:
        """Nothing is buffered."""

    def digest(self) -> str:
        return ""


class SmallRun(NamedTuple):
    """What happened, as messages and as text."""

    reason: str
    engine: Engine
    entries: list[tuple[int, int, str, Any]]

    def messages(self, *kinds: type) -> list[Any]:
        """The messages of these kinds, in order."""
        return [message for _, _, _, message in self.entries if isinstance(message, kinds)]

    @property
    def fills(self) -> list[Fill]:
        """All fills."""
        return self.messages(Fill)

    @property
    def snapshots(self) -> list[AccountSnapshot]:
        """All snapshots."""
        return self.messages(AccountSnapshot)

    def told(self, *kinds: type) -> list[str]:
        """One line per fill, amendment, end, refusal and rejection (or per message of `kinds`)."""
        wanted = kinds or (Fill, OrderAmended, OrderCanceled, OrderRefused, OrderRejected)
        return [_line(message) for message in self.messages(*wanted)]


def _line(message: Any) -> str:
    when = clock_text(message.time_ms)
    if isinstance(message, Fill):
        words = [
            when,
            message.order_id,
            message.side.value,
            _short(message.qty),
            "@",
            _short(message.price),
            message.liquidity.value,
        ]
        words += ["bar"] * message.bar_fill + [message.note.value] * bool(message.note.value) + ["over_share"] * message.over_share
        return " ".join(words)
    if isinstance(message, OrderAmended):
        prices = [str(ticks / 10) for ticks in (message.price_ticks, message.trigger_ticks) if ticks]
        words = [when, message.order_id, "amended", str(message.qty_lots / 1000), "@", *prices, *["keeps"] * message.keeps_place]
        return " ".join(word.removesuffix(".0") for word in words)
    if isinstance(message, OrderCanceled):
        return f"{when} {message.order_id} ends {message.reason.value} {_short(message.open_qty)}"
    if isinstance(message, OrderRefused):
        return f"{when} {message.order_id} refused {message.reason.value}"
    if isinstance(message, OrderRejected):
        return f"{when} {message.order_id} rejected {message.reason.value}"
    if isinstance(message, OrderAck):
        return f"{when} {message.order_id} ack"
    assert isinstance(message, ControlEvent)
    return f"{when} {message.action.value}"


def _short(number: Decimal) -> str:
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def small_run(
    bars: str | Mapping[str, str],
    orders: str | type[Strategy] | Sequence[type[Strategy]] = "",
    *,
    specs: Sequence[SymbolSpec] = (),
    market: Market = Market.LINEAR,
    cash: str = "1000000",
    fee_bps: tuple[str, str] = ("0", "0"),
    start: str = "",
    timeframe: str = "1m",
    snapshot_every: str = "1h",
    risk: Mapping[str, Any] | None = None,
    routing: str = "interest",
    venue: VenueRules = GENERIC,
    settlements: Sequence[Settlement] = (),
    seed: int = 42,
    prices: Mapping[TriggerBy, str] | None = None,
    finer: Mapping[int, str] | None = None,
    account: Mapping[str, Any] | None = None,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    **sim: Any,
) -> SmallRun:
    """Run orders (or strategies) on bars; `fee_bps` is (maker, taker), `sim` are keys of [sim], `start` ends a warm-up.

    `prices` are bars of mark or index, of every symbol. `finer` are rows below the minute by their
    length in ms, as bars with seconds; of length 0 they are trades: time, price, qty.
    `changes` are rules that are others from a time on (`HH:MM` of the symbol A, or `HH:MM SYMBOL`), with what changed before.
    """
    tables = {symbol: columns(text) for symbol, text in ({A: bars} if isinstance(bars, str) else bars).items()}
    rules = {rule.symbol: rule for rule in specs or [spec(symbol, market=market) for symbol in tables]}
    rules = without_spot_trading(rules) if (account or {}).get("currency") else rules
    free = {"order_latency_ms": 0, "cancel_latency_ms": 0, "response_latency_ms": 0, "spread_bps": 0, "slippage_bps": 0}
    config = RunConfig(
        run=RunSection(seed=seed, execution_timeframe="1m"),
        sim=SimSection(**(free | {"participation_bps": 0} | sim)),
        account=AccountSection(**{"starting_cash": Decimal(cash), "snapshot_every": snapshot_every, **(account or {})}),
        risk=RiskSection(**({"price_collar_bps": None} | dict(risk or {}))),
        engine=EngineSection(routing=routing),  # type: ignore[arg-type] # a wrong word is refused by the section
    )
    feed_start_ms = min(int(table.start_ms[0]) for table in tables.values())
    end_ms = max(int(table.start_ms[-1]) for table in tables.values()) + MINUTE
    rates = {symbol: (Decimal(fee_bps[0]), Decimal(fee_bps[1])) for symbol in rules}
    fees = SymbolFees(rates)
    start_ms = ms(start) if start else feed_start_ms
    chosen = choose_specs(_with_changes(rules, changes or {}), list(rules), start_ms=start_ms, end_ms=end_ms)
    rules, margin = chosen.specs, plan_margin(config, _refs(rules), rules, fees, start_ms=feed_start_ms, end_ms=end_ms)
    known: dict[str, Any] = {"market": from_columns(tables, config), "start_ms": start_ms}
    delistings = plan_delistings(config, _refs(rules), chosen.changes, **known)
    known["end_ms"] = end_ms
    plan = Plan(
        config=config,
        specs=rules,
        strategies=_strategies(orders, timeframe),
        feed_start_ms=feed_start_ms,
        start_ms=start_ms,
        end_ms=end_ms,
        slippage=FixedSlippage(config.sim.slippage_bps),
        fees=fees,
        rules=dict.fromkeys(rules, venue),
        settlements=tuple(settlements),
        open_trigger_prices=partial(OtherPrices, prices or {}),
        margin=margin,
        futures=plan_futures(config, _refs(rules), rules, **known).joined(delistings),
        rule_changes=plan_rule_changes(chosen.changes, rules, fees=fees, rates_of=_stored_fees, margin=margin),
        options=plan_options(config, _refs(rules), rules, **known),
        borrow=plan_borrowing(config, rules),
        opening=_opening(config, rules, tables, start_ms=start_ms, end_ms=end_ms),
        currency=_currency(config, rules, tables, start_ms=start_ms, end_ms=end_ms),
    )
    return _played(plan, tables, finer or {})


def _with_changes(rules: Mapping[str, SymbolSpec], changes: Mapping[str, Mapping[str, Any]]) -> SymbolSpecs:
    """The rules with their validity."""
    history = list(rules.values())
    for when, given in sorted(changes.items(), key=lambda item: ms(item[0].partition(" ")[0])):
        text, _, symbol = when.partition(" ")
        before = next(rule for rule in reversed(history) if rule.symbol == (symbol or A))
        history[history.index(before)] = replace(before, valid_to_ms=ms(text))
        history.append(replace(before, valid_from_ms=ms(text), valid_to_ms=None, **given))
    return SymbolSpecs(history)


def _stored_fees(rules: SymbolSpec) -> SymbolFees | None:
    """The fees that stand with an instrument."""
    maker, taker = rules.maker_bps, rules.taker_bps
    return None if maker is None or taker is None else SymbolFees({rules.symbol: (maker, taker)})


def _strategies(
    orders: str | type[Strategy] | Sequence[type[Strategy]], timeframe: str
) -> list[tuple[str, Strategy, tuple[str, ...]]]:
    """Those that send the orders; the first is `s`, the next `t`."""
    classes = [follows(orders)] if isinstance(orders, str) else [orders] if isinstance(orders, type) else list(orders)
    made = [strategy() for strategy in classes]
    return [(name, one, tuple(dict.fromkeys((timeframe, *one.extra_timeframes)))) for name, one in zip("stuv", made, strict=False)]


def _opening(
    config: RunConfig, rules: Mapping[str, SymbolSpec], tables: Mapping[str, CandleColumns], *, start_ms: int, end_ms: int
) -> tuple[CoinsDeposited, ...]:
    """The coins at the start."""
    if not config.account.balances or config.account.currency:
        return ()
    streams = [SymbolStream(symbol, iter([table]), symbol) for symbol, table in tables.items()]
    first = CandleFeed(streams, execution_ms=MINUTE, signal_ms=(), start_ms=start_ms, end_ms=end_ms)
    return opening_coins(config.account.balances, rules, feed=first, start_ms=start_ms, strategy_id="s")


def _currency(
    config: RunConfig, rules: Mapping[str, SymbolSpec], tables: Mapping[str, CandleColumns], *, start_ms: int, end_ms: int
) -> CurrencyPlan | None:
    """The reporting currency, where symbols settle in several assets."""
    if not settles_in_several(config, rules):
        return None

    def open_feed() -> CandleFeed:
        streams = [SymbolStream(symbol, iter([table]), symbol) for symbol, table in tables.items()]
        return CandleFeed(streams, execution_ms=MINUTE, signal_ms=(), start_ms=start_ms, end_ms=end_ms)

    return plan_currency(config, rules, open_feed=open_feed, start_ms=start_ms)


def _played(plan: Plan, tables: Mapping[str, CandleColumns], finer: Mapping[int, str]) -> SmallRun:
    """The run of a plan on these bars, to its end."""
    lengths = {timeframe_ms(name) for _, _, names in plan.strategies for name in names}
    feed = CandleFeed(
        [SymbolStream(symbol, iter([table]), symbol) for symbol, table in tables.items()],
        execution_ms=MINUTE,
        signal_ms=tuple(sorted(lengths)),
        start_ms=plan.feed_start_ms,
        end_ms=plan.end_ms,
    )
    recorder = Recorder()
    engine = build(plan, feed=feed, journal=recorder, finer=finer_bars(finer) if finer else None)
    for deposit in plan.opening:
        engine.bus.publish(T_BALANCES, deposit)
    for wallet in plan.currency.deposits if plan.currency is not None else ():
        engine.bus.publish(T_BALANCES, wallet)
    engine.bus.drain()
    reason = asyncio.run(engine.loop.run())
    engine.loop.expire_orders(RejectReason.BANKRUPT if reason == "bankrupt" else RejectReason.END_OF_RUN)
    engine.loop.end_strategies()
    engine.bus.post(engine.account.on_snapshot_due())
    engine.bus.drain()
    return SmallRun(reason, engine, recorder.entries)


def _refs(rules: Mapping[str, SymbolSpec]) -> list[SymbolRef]:
    return [SymbolRef(symbol, rule.exchange, rule.market.value, symbol) for symbol, rule in rules.items()]


def expect(text: str) -> list[str]:
    """The lines of a text, one space between words."""
    return [" ".join(row) for row in rows(text)]
