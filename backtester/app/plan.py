"""Everything that decides a run, resolved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from backtester.app.currency import CurrencyPlan
from backtester.app.future_plan import FuturePlan
from backtester.app.margin import MarginPlan
from backtester.app.option_plan import OptionPlan
from backtester.config.run_config import RunConfig
from backtester.domain.borrowing import BorrowTerms
from backtester.domain.deposits import CoinsDeposited
from backtester.domain.instruments import SymbolSpec
from backtester.domain.rule_changes import RuleChange
from backtester.domain.settlement import Settlement
from backtester.domain.venue_rules import VenueRules
from backtester.domain.vocabulary import Market
from backtester.sim.sim_models import FeeModel, SlippageModel
from backtester.sim.slippage_models import SymbolSlippage
from backtester.sim.trigger_prices import LastPricesOnly, TriggerPrices
from backtester.strategy.base import Strategy


class Plan(NamedTuple):
    """Everything that decides a run, resolved: what `wiring.build` turns into an engine."""

    config: RunConfig
    specs: Mapping[str, SymbolSpec]
    strategies: Sequence[tuple[str, Strategy, tuple[str, ...]]]
    """(strategy id, instance, timeframes delivered to it; the first one is its own)."""
    feed_start_ms: int
    start_ms: int
    end_ms: int
    slippage: SlippageModel | SymbolSlippage
    fees: FeeModel
    rules: Mapping[str, VenueRules] = {}
    """Venue rules by symbol; a symbol without is treated as on a venue of which nothing is known."""
    settlements: Sequence[Settlement] = ()
    margin: MarginPlan = MarginPlan()
    open_trigger_prices: Callable[[], TriggerPrices] = LastPricesOnly
    """The mark and index prices that orders may wait for, from the beginning."""
    options: OptionPlan = OptionPlan()
    opening: Sequence[CoinsDeposited] = ()
    """Coins that the account begins with."""
    futures: FuturePlan = FuturePlan()
    borrow: BorrowTerms | None = None
    """Set where spot borrows."""
    currency: CurrencyPlan | None = None
    """The reporting currency of a run that settles in several assets."""
    rule_changes: Sequence[RuleChange] = ()
    """In order of time, after `start_ms`."""

    @property
    def uneven_coins(self) -> frozenset[str]:
        """The spot symbols of which less than a lot may come to be held, because lots change."""
        specs = (*self.specs.values(), *(change.spec for change in self.rule_changes))
        return frozenset(spec.symbol for spec in specs if spec.market is Market.SPOT and spec.lot_step != 1)
