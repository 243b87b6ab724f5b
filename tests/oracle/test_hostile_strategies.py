"""A strategy that attacks its surroundings changes no number, or is stopped with a named error; none sees the future."""

from __future__ import annotations

import decimal
import gc
import random
from collections.abc import Callable, Iterable, Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from backtester import Candle, Fill, Strategy
from backtester.domain.errors import BacktesterError
from backtester.domain.intents import AnyIntent
from tests.oracle.driver import run_engine, scripted
from tests.oracle.generate import make_bars
from tests.oracle.scenario import Action, Bar, Rules, Script

SYMBOLS = ("AAAUSDT", "BBBUSDT")
CALM = decimal.Context(prec=28)
RULES = Rules(signal_ms=300_000)


@pytest.fixture(autouse=True)
def ambient() -> Iterator[None]:
    """Put the global decimal context and random state back after each attack."""
    context, state, numpy_state = decimal.getcontext().copy(), random.getstate(), np.random.get_state()
    yield
    decimal.setcontext(context)
    random.setstate(state)
    np.random.set_state(numpy_state)


def market() -> dict[str, list[Bar]]:
    """Two symbols with gaps and empty bars."""
    return {symbol: make_bars(seed, 200) for seed, symbol in enumerate(SYMBOLS)}


def busy_script() -> Script:
    """Market, limit and closing orders on both symbols, some larger than a bar allows."""
    actions: dict[tuple[str, int], list[Action]] = {}
    for index in range(1, 38):
        for number, symbol in enumerate(SYMBOLS):
            order_id = f"{symbol}-{index}"
            if index % 7 == number:
                actions[symbol, index] = [Action("flatten", order_id)]
            elif index % 3 == 0:
                actions[symbol, index] = [Action("market", order_id, index % 2 == number, 40 * index)]
            else:
                actions[symbol, index] = [Action("limit", order_id, index % 2 == number, 25, -3 if index % 2 == number else 3)]
    return Script(actions, {})


def attacked(attack: Callable[[Any, Any], None]) -> type[Strategy]:
    """The polite scripted strategy, followed by an attack after each hook that was handed something."""
    polite: Any = scripted(busy_script(), RULES)

    class Hostile(polite):  # type: ignore[misc]  # the base is made at run time
        def on_start(self) -> None:
            super().on_start()
            self.kept: list[Any] = []

        def on_candle(self, candle: Candle) -> list[AnyIntent]:
            return self.answer(super().on_candle, candle)

        def on_fill(self, fill: Fill) -> list[AnyIntent]:
            return self.answer(super().on_fill, fill)

        def answer(self, hook: Callable[[Any], Iterable[AnyIntent]], message: Any) -> list[AnyIntent]:
            with decimal.localcontext(CALM):
                intents = list(hook(message))
            attack(self, message)
            self.kept += [message, intents, *intents]
            return intents

    return Hostile


def change_decimals(strategy: Any, message: Any) -> None:
    decimal.getcontext().prec = 1
    decimal.getcontext().rounding = decimal.ROUND_UP
    decimal.getcontext().Emax = 1


def trap_decimals(strategy: Any, message: Any) -> None:
    decimal.setcontext(decimal.Context(prec=2, traps=[decimal.Inexact, decimal.Rounded, decimal.FloatOperation]))


def reseed_random(strategy: Any, message: Any) -> None:
    random.seed(0)
    np.random.seed(0)


def force_fields(strategy: Any, message: Any) -> None:
    """Write nonsense into every number of what was handed in, now and before."""
    for kept in (message, *strategy.kept):
        if isinstance(kept, list):
            kept.append("rubbish")
        if not isinstance(kept, msgspec.Struct):
            continue
        for name in kept.__struct_fields__:
            value = getattr(kept, name)
            if isinstance(value, (int, float, decimal.Decimal)) and not isinstance(value, bool):
                msgspec.structs.force_setattr(kept, name, type(value)(7))


def set_fields(strategy: Any, message: Any) -> None:
    """The same through `object.__setattr__`, which a frozen message may or may not refuse."""
    for name in ("close", "price", "qty", "price_ticks", "qty_lots", "end_ms", "symbol"):
        if hasattr(message, name):
            try:
                object.__setattr__(message, name, 7)
            except (AttributeError, TypeError):
                continue


def spoil_views(strategy: Any, message: Any) -> None:
    """Change what `ctx` hands out: candles of the history, open orders, the account."""
    for order in strategy.ctx.open_orders():
        for name in ("qty", "filled_qty", "price"):
            msgspec.structs.force_setattr(order, name, decimal.Decimal(9))
    history = strategy.ctx.history(message.symbol, "5m", 5)
    for candle in history:
        msgspec.structs.force_setattr(candle, "close", 1.0)
        msgspec.structs.force_setattr(candle, "end_ms", 1)
    if isinstance(history, list):
        history.clear()
    snapshot = strategy.ctx.account.snapshot()
    for thing in (snapshot, *snapshot.positions):
        for name in thing.__struct_fields__:
            if isinstance(getattr(thing, name), decimal.Decimal):
                msgspec.structs.force_setattr(thing, name, decimal.Decimal(5))


def spoil_spec(strategy: Any, message: Any) -> None:
    """Change the trading rules that `ctx` hands out."""
    spec = strategy.ctx.spec(message.symbol)
    for name in ("tick_e8", "lot_e8"):
        msgspec.structs.force_setattr(spec, name, 3)
    for name in ("tick_size", "lot_size", "min_qty", "min_notional"):
        msgspec.structs.force_setattr(spec, name, decimal.Decimal(3))


ATTACKS = [change_decimals, trap_decimals, reseed_random, force_fields, set_fields, spoil_views, spoil_spec]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_an_attack_changes_no_number_or_is_stopped(attack: Callable[[Any, Any], None]) -> None:
    bars = market()
    polite = run_engine(bars, busy_script(), RULES)
    assert len(polite.fills) > 40
    try:
        result = run_hostile(bars, attacked(attack))
    except BacktesterError:
        return
    assert result.fills.drop("strategy_id").to_dicts() == polite.fills.drop("strategy_id").to_dicts()
    assert result.trades.drop("strategy_id").to_dicts() == polite.trades.drop("strategy_id").to_dicts()
    assert result.equity.to_dicts() == polite.equity.to_dicts()


def run_hostile(bars: dict[str, list[Bar]], strategy: type[Strategy]) -> Any:
    """The engine's result of another strategy with the script's settings."""
    return run_engine(bars, busy_script(), RULES, strategy=strategy)


LEAVES = (str, bytes, int, float, bool, type(None), type, ModuleType, BuiltinFunctionType, CodeType, decimal.Decimal)


def reachable(root: Any, limit: int = 200_000) -> Iterator[Any]:
    """Every object that can be reached from `root` by attributes, items and closures; not modules, classes or globals."""
    seen: dict[int, Any] = {}
    todo = [root]
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, LEAVES):
            continue
        seen[id(thing)] = thing
        assert len(seen) < limit, "the crawl does not end"
        yield thing
        if isinstance(thing, FunctionType):
            todo += [cell.cell_contents for cell in thing.__closure__ or () if cell.cell_contents is not None]
            todo += list(thing.__defaults__ or ())
            continue
        todo += gc.get_referents(thing)
        names = list(getattr(thing, "__struct_fields__", ()))
        for kind in type(thing).__mro__:
            slots = kind.__dict__.get("__slots__", ())
            names += [slots] if isinstance(slots, str) else list(slots)
        todo += [getattr(thing, name) for name in names if hasattr(thing, name)]


def test_nothing_reachable_from_the_context_holds_the_future() -> None:
    looked: list[int] = []

    def crawl(strategy: Any, message: Any) -> None:
        now_ms = strategy.ctx.now_ms
        found = 0
        for thing in reachable(strategy.ctx):
            if isinstance(thing, Candle):
                found += 1
                assert thing.end_ms <= now_ms, thing
            assert not isinstance(thing, (pl.DataFrame, pl.Series, pl.LazyFrame, np.ndarray)), type(thing)
            kind = type(thing)
            assert not kind.__module__.startswith(("backtester.data", "backtester.sim", "backtester.engine.loop")), kind
        looked.append(found)

    run_hostile(market(), attacked(crawl))
    assert len(looked) > 50
    assert max(looked) > 0, "the crawl found no closed candle: it does not look where candles are"
