"""What venues do differently, as data: one row a venue (`config/defaults/venue_rules.toml`), never a question for its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from backtester.domain.vocabulary import OrderStatus, RejectReason, SelfTrade, TriggerBy


class VenueRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one market of one venue treats orders (exchange_semantics.md, sections 1.2 to 1.4).

    `post_only_crossing` and `fok_short` are what an order becomes that would take, or cannot be filled whole: REJECTED (never
    accepted), CANCELED or EXPIRED (accepted, then ended). `good_till_least_ms` is how far ahead a good-till date must lie;
    `native_good_till` is false where the venue has none and the engine cancels at that time itself. `codes` are the venue's
    own words for our reasons, `words` those for the states of an order.

    `amend_keeps_place`: a quantity that is only lowered leaves an order its place in the queue; any other change never does.
    `amends_waiting`: orders that wait for a trigger can be amended. `amend_below_filled` is what becomes of an order whose quantity
    is amended to what is filled already: REJECTED (the request, and the order stands) or CANCELED (the order).
    `rejects_larger_reduce_only`: a reduce-only order larger than the position is rejected; elsewhere it is cut to the position.
    `close_on_trigger`: conditional orders may close the whole position. `stp` is what happens to an order that would trade with
    another of its account, where the order does not say. `triggers` are the prices that an order can wait for, the venue's own
    choice first; empty where no order can wait. `open_orders_max` orders may stand at once, `waiting_orders_max` of them waiting
    for a trigger, of a symbol, or (`open_orders_of`) of all contracts on a coin; None: no limit is known. `codes_low` are the codes
    of venues that have two for a reason: for a price that is too low (a sale below the band), for a trigger on the wrong side that
    waits for a fall, and for too many orders that wait.
    """

    name: str
    post_only_crossing: OrderStatus
    fok_short: OrderStatus
    native_good_till: bool = False
    good_till_least_ms: int = 0
    amend_keeps_place: bool = False
    amends_waiting: bool = True
    amend_below_filled: OrderStatus = OrderStatus.REJECTED
    rejects_larger_reduce_only: bool = False
    close_on_trigger: bool = True
    stp: SelfTrade = SelfTrade.CANCEL_TAKER
    open_orders_max: int | None = None
    waiting_orders_max: int | None = None
    open_orders_of: Literal["symbol", "coin"] = "symbol"
    triggers: tuple[TriggerBy, ...] = (TriggerBy.LAST, TriggerBy.MARK, TriggerBy.INDEX)
    codes: Mapping[str, str] = {}
    codes_low: Mapping[str, str] = {}
    words: Mapping[str, str] = {}
    source: str = ""

    def code_of(self, reason: RejectReason, *, is_low: bool = False) -> str:
        """The venue's own code of a reason; empty where it has none or none is known. With `is_low` that of `codes_low`, if any."""
        code = self.codes.get(reason.value, "")
        return self.codes_low.get(reason.value, code) if is_low else code

    def word_of(self, status: OrderStatus, *, is_partly_filled: bool = False) -> str:
        """The venue's own word for a state (exchange_semantics.md, section 1.3); empty where none is known.

        An order that ended with a part of it filled has a word of its own on some venues.
        """
        after_fill = self.words.get(f"{status.value}_partly_filled", "") if is_partly_filled else ""
        return after_fill or self.words.get(status.value, "")

    def word_of_immediate(self, *, is_partly_filled: bool, is_short: bool, all_or_nothing: bool) -> str:
        """The venue's word for a FOK, IOC or market order that has met the book; with its code where it refuses (section 1.2)."""
        if not is_short:
            return self.word_of(OrderStatus.FILLED)
        if all_or_nothing and self.fok_short is OrderStatus.REJECTED:
            return f"rejected {self.code_of(RejectReason.FOK)}"
        ended = self.fok_short if all_or_nothing else OrderStatus.EXPIRED
        return self.word_of(ended, is_partly_filled=is_partly_filled)


GENERIC = VenueRules(name="generic", post_only_crossing=OrderStatus.REJECTED, fok_short=OrderStatus.EXPIRED)
"""A venue of which nothing is known: what it would refuse is refused."""
