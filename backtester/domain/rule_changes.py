"""Trading rules that change within a run: what is known of it before, and what the journal is told."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from backtester.domain.instruments import SymbolSpec
from backtester.domain.margin_terms import MarginTerms
from backtester.domain.message import Message


class RulesChanged(Message, frozen=True, gc=False, tag="rules_changed", omit_defaults=True):
    """From now on other rules hold for the orders of `symbol`: those in `after`, by name, in place of those in `before`, as text.

    `ended`: trading has ended, and the orders that worked end.
    """

    symbol: str
    before: dict[str, str]
    after: dict[str, str]
    ended: bool = False


class RuleChange(NamedTuple):
    """At `time_ms` the rules of a symbol become `spec`, in the units of the run (`SymbolSpec.tick_step`).

    `fees_bps` are what makers and takers pay from then on, `margin` the terms of its positions; None where they stay.
    """

    time_ms: int
    spec: SymbolSpec
    before: Mapping[str, str]
    after: Mapping[str, str]
    ended: bool = False
    fees_bps: tuple[Decimal, Decimal] | None = None
    margin: MarginTerms | None = None

    @property
    def symbol(self) -> str:
        """Whose rules they are."""
        return self.spec.symbol
