"""The trading rules in force in a run: who reads them, and how they become other ones (ADR 023)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from msgspec.structs import replace

from backtester.account.account import Account
from backtester.account.margins import Margins
from backtester.account.portfolio import Portfolio
from backtester.app.borrowing import highest_fee_e8
from backtester.app.plan import Plan
from backtester.domain.instruments import SymbolSpec
from backtester.domain.legs import legs_of
from backtester.domain.rule_changes import RuleChange, RulesChanged
from backtester.domain.vocabulary import Liquidity
from backtester.engine.clock import Clock
from backtester.engine.topics import T_RULES, Published, on
from backtester.risk.limits import RiskLimits
from backtester.sim.sim_models import ChangingFees, FeeModel, checked_rate_bps


class RuleBook:
    """Holds the specs that everyone in a run reads. A change is in all of them before anyone is told of it."""

    def __init__(self, plan: Plan, clock: Clock) -> None:
        self.specs = dict(plan.specs)
        self._changing = ChangingFees(plan.fees) if plan.rule_changes else None
        self.fees: FeeModel = self._changing or plan.fees
        self._clock = clock
        self._views: list[dict[str, SymbolSpec]] = []
        self._limits: RiskLimits | None = None
        self._account: Account | None = None
        self._without_fee: frozenset[str] = frozenset()

    def view(self) -> dict[str, SymbolSpec]:
        """The specs in force, now and later, as copies: what a strategy does to them reaches nobody else."""
        mine = {symbol: replace(spec) for symbol, spec in self.specs.items()}
        self._views.append(mine)
        return mine

    def follow(self, limits: RiskLimits, account: Account, *, without_fee: Iterable[str]) -> None:
        """Limits and margins change with the rules; of the symbols `without_fee` Risk reserves none."""
        self._limits, self._account, self._without_fee = limits, account, frozenset(without_fee)

    def on_change(self, change: RuleChange) -> Sequence[Published]:
        """The rules in `change` are in force; the message that says so."""
        symbol, spec = change.symbol, change.spec
        self.specs[symbol] = spec
        for view in self._views:
            view[symbol] = replace(spec)
        if self._changing is not None and change.fees_bps is not None:
            self._changing.change(symbol, *change.fees_bps)
        if self._limits is not None:
            fee_bps = None if symbol in self._without_fee else self._highest_bps(symbol)
            self._limits.on_rules(symbol, fee_bps=fee_bps, margin=change.margin)
        for margins in self._all_margins():
            for position in (symbol, *legs_of(symbol)):
                margins.on_rules(position, spec, change.margin)
        if self._account is not None:
            books = self._account.books
            books.on_rules(symbol, lot_step=spec.lot_step)
            if books.borrowing is not None:
                books.borrowing.on_rules(symbol, fee_e8=highest_fee_e8(self.fees, symbol))
        changed = RulesChanged(self._clock.now_ms, symbol, dict(change.before), dict(change.after), change.ended)
        return (on(T_RULES, changed),)

    def _highest_bps(self, symbol: str) -> Decimal:
        return max(checked_rate_bps(self.fees.rate_bps(symbol=symbol, liquidity=liquidity)) for liquidity in Liquidity)

    def _all_margins(self) -> list[Margins]:
        account = self._account
        accounts = account.accounts.values() if isinstance(account, Portfolio) else () if account is None else (account,)
        return [one.liquidations.margins for one in accounts if one.liquidations is not None]
