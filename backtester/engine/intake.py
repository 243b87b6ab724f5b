"""What hooks return: checked, and stamped with id, time and strategy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from itertools import count
from numbers import Integral
from typing import Any

from msgspec.structs import replace

from backtester.domain.closing_order import ENGINE_OWNERS
from backtester.domain.errors import StrategyError, StrategySettleError
from backtester.domain.intents import (
    INTENT_TYPES,
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
)
from backtester.engine.bus import DEPTH_LIMIT
from backtester.engine.clock import Clock

INTENTS_PER_HOOK_MAX = 100_000
"""A hook that returns more at once is taken to be out of control."""

_INTENT_CLASSES = frozenset(INTENT_TYPES)
_PLAIN = (Decimal, int, float, str)
_OF_ANOTHER = (AmendOrderIntent, CancelOrderIntent, CancelAllIntent)
"""Their order id is that of a working order, not one of their own."""
_NEEDED = {
    LimitOrderIntent: ("qty", "price"),
    StopOrderIntent: ("qty", "trigger_price"),
    TakeProfitOrderIntent: ("qty", "trigger_price"),
    OcoOrderIntent: ("qty", "price", "trigger_price"),
    AmendOrderIntent: (),
    PositionExitsIntent: (),
    CancelOrderIntent: (),
    CancelAllIntent: (),
}
_OPTIONAL = (
    "qty",
    "quote_qty",
    "price",
    "trigger_price",
    "distance",
    "trail_bps",
    "activation_price",
    "take_profit",
    "stop_loss",
    "stop_price",
)


class Intake:
    """Stamps intents. Ids are `<strategy id>-<n>`, n counting that strategy's orders: a function of what it did, no more."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._numbers: defaultdict[str, Iterator[int]] = defaultdict(partial(count, 1))
        self.retries: dict[str, int] = {}
        """By order id, how many refusals in a row led to it; orders that were not refused are `settled`."""

    def intents(
        self, strategy_id: str, returned: Any, *, hook: str, retries: int = 0, discard: bool = False
    ) -> Iterator[AnyIntent]:
        """Every intent of `returned`, stamped, in order. Raises StrategyError for anything that is no intent.

        With `discard` they are only looked at: what is not sent uses no id.
        """
        if returned.__class__ in _INTENT_CLASSES:
            returned = (returned,)
        try:
            given = iter(returned)
        except TypeError:
            raise self._rubbish(strategy_id, hook, returned) from None
        for number, intent in enumerate(given, start=1):
            if number > INTENTS_PER_HOOK_MAX:
                raise StrategyError(f"{strategy_id}.{hook} returned more than {INTENTS_PER_HOOK_MAX:,} intents at once")
            if not discard:
                yield self.only(strategy_id, intent, hook=hook, retries=retries)
            elif intent.__class__ in _INTENT_CLASSES:
                yield intent
            else:
                raise self._rubbish(strategy_id, hook, intent)

    def only(self, strategy_id: str, intent: Any, *, hook: str, retries: int = 0) -> AnyIntent:
        """One intent, stamped. Raises StrategyError when it is none."""
        kind = intent.__class__
        if kind not in _INTENT_CLASSES:
            raise self._rubbish(strategy_id, hook, intent)
        order_id: str = intent.order_id
        if not isinstance(intent.symbol, str) or not isinstance(order_id, str):
            raise StrategyError(f"{strategy_id}.{hook}: symbol and order_id of an intent must be text, was {intent!r:.200}")
        if (
            kind is not MarketOrderIntent
            or intent.qty.__class__ not in _PLAIN
            or intent.take_profit is not None
            or intent.stop_loss is not None
        ):
            intent = self._plain_numbers(strategy_id, intent, hook=hook)
        if kind not in _OF_ANOTHER:
            if kind is not PositionExitsIntent and not isinstance(intent.reason, str):
                raise StrategyError(f"{strategy_id}.{hook}: reason of an intent must be text, was {intent.reason!r:.100}")
            if order_id:
                self._check_chosen(strategy_id, order_id, hook=hook)
            else:
                order_id = f"{strategy_id}-{next(self._numbers[strategy_id])}"
        if retries:
            self.retries[order_id] = retries
        stamped: AnyIntent = replace(intent, order_id=order_id, strategy_id=strategy_id, time_ms=self._clock.now_ms)
        return stamped

    def retries_of(self, order_id: str, *, reason: str) -> int:
        """How many refusals in a row led to this order, counting its own now. Raises StrategySettleError past the limit."""
        retries = self.retries.pop(order_id, 0) + 1
        if retries > DEPTH_LIMIT:
            raise StrategySettleError(
                f"order {order_id} was refused ({reason}) and so were the {retries - 1} orders before it, each sent from "
                "on_reject: the strategy answers its own refusals for ever"
            )
        return retries

    def settled(self, order_id: str) -> None:
        """The order was not refused: it is no link of a chain any more."""
        self.retries.pop(order_id, None)

    @staticmethod
    def _check_chosen(strategy_id: str, order_id: str, *, hook: str) -> None:
        """Raises StrategyError for an id of the strategy's own that the engine could stamp."""
        owner, _, number = order_id.rpartition("-")
        if number.isdigit() and (owner == strategy_id or owner in ENGINE_OWNERS):
            raise StrategyError(f"{strategy_id}.{hook}: order ids of the form {order_id!r} are the engine's; choose another")

    def _plain_numbers(self, strategy_id: str, intent: Any, *, hook: str) -> Any:
        """The intent with NumPy scalars and the like as plain numbers."""
        changes: dict[str, Any] = {}
        for name in _numbers_of(intent):
            value = getattr(intent, name)
            if value.__class__ in _PLAIN:
                continue
            if isinstance(value, float):
                changes[name] = float(value)
            elif isinstance(value, Integral) and not isinstance(value, bool):
                changes[name] = int(value)
            else:
                raise StrategyError(
                    f"{strategy_id}.{hook}: {name} must be a Decimal, int, float or text, was {type(value).__name__}"
                )
        return replace(intent, **changes) if changes else intent

    @staticmethod
    def _rubbish(strategy_id: str, hook: str, value: object) -> StrategyError:
        return StrategyError(
            f"{strategy_id}.{hook} returned {type(value).__name__} {value!r:.100}, which is no intent; return a list of "
            "MarketOrderIntent, LimitOrderIntent, StopOrderIntent, CancelOrderIntent or another intent, or nothing"
        )


def _numbers_of(intent: Any) -> tuple[str, ...]:
    """The fields of an order intent that must hold numbers: those it needs, and those that were given."""
    needed = _NEEDED.get(intent.__class__, ("qty",))
    if (
        needed
        and intent.qty is None
        and (getattr(intent, "quote_qty", None) is not None or getattr(intent, "close_on_trigger", False))
    ):
        needed = needed[1:]  # a value, or a position, stands in its place
    return (*needed, *(name for name in _OPTIONAL if name not in needed and getattr(intent, name, None) is not None))
