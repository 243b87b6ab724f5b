"""What a change of rules within a run means for fees and margin, worked out before the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from backtester.app.margin import MarginPlan, terms_of
from backtester.app.specs import SpecChange
from backtester.domain.instruments import SymbolSpec
from backtester.domain.rule_changes import RuleChange
from backtester.domain.vocabulary import Liquidity
from backtester.sim.sim_models import ChangingFees, FeeModel

RatesOf = Callable[[SymbolSpec], FeeModel | None]
"""The fees that follow from a symbol's rules; None where its rules do not decide them."""


def plan_rule_changes(
    changes: Sequence[SpecChange], specs: Mapping[str, SymbolSpec], *, fees: FeeModel, rates_of: RatesOf, margin: MarginPlan
) -> tuple[RuleChange, ...]:
    """The changes in order, with the fees and the margin terms that come into force; `specs` and `fees` are those of the start.

    Terms that no longer allow the run's leverage stay possible: what is open is kept at them, and nothing more is opened.
    """
    in_force = dict(specs)
    charged = ChangingFees(fees)
    planned: list[RuleChange] = []
    for change in changes:
        symbol, spec = change.spec.symbol, change.spec
        model, fees_bps, terms = rates_of(spec), None, None
        if model is not None and (rates := _rates_bps(model, symbol)) != _rates_bps(charged, symbol):
            fees_bps = rates
            charged.change(symbol, *rates)
        if symbol in margin.terms and (fees_bps is not None or _margin_rules(spec) != _margin_rules(in_force[symbol])):
            terms = terms_of(spec, margin.terms[symbol].leverage, charged, must_fit=False)
        in_force[symbol] = spec
        planned.append(RuleChange(change.time_ms, spec, change.before, change.after, change.ended, fees_bps, terms))
    return tuple(planned)


def _rates_bps(fees: FeeModel, symbol: str) -> tuple[Decimal, Decimal]:
    maker, taker = (fees.rate_bps(symbol=symbol, liquidity=liquidity) for liquidity in Liquidity)
    return maker, taker


def _margin_rules(spec: SymbolSpec) -> tuple[object, ...]:
    return spec.leverage_tiers, spec.max_leverage
