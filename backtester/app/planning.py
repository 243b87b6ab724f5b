"""From a resolved configuration to a plan: instances, specs, costs, warm-up, and the assumptions in force."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from backtester.app.assumptions import assumptions_in_force
from backtester.app.borrowing import borrow_notes, plan_borrowing
from backtester.app.currency import CurrencyPlan, plan_currency, settles_in_several, without_spot_trading
from backtester.app.delisting import plan_delistings
from backtester.app.funding import stored_funding
from backtester.app.future_plan import plan_futures
from backtester.app.latency import latency_text, recorded_series
from backtester.app.margin import plan_margin
from backtester.app.market_data import MarketData
from backtester.app.opening import coins_notes, opening_coins
from backtester.app.option_plan import plan_options
from backtester.app.plan import Plan
from backtester.app.position_mode import check_position_mode
from backtester.app.resolve import ResolvedRun
from backtester.app.rule_plan import plan_rule_changes
from backtester.app.slippage import own_costs_text, run_slippage, slippage_text
from backtester.app.specs import ChosenSpecs, choose_specs, specs_of
from backtester.app.trigger_prices import StoredTriggerPrices
from backtester.audit.run_store import Assumption
from backtester.config.fees import bnb_discount_bps, entry_tier_bps, tier_bps
from backtester.config.option_terms import with_contract
from backtester.config.run_config import RunConfig, Section
from backtester.config.venue_rules import venue_rules
from backtester.domain.closing_order import ENGINE_OWNERS
from backtester.domain.deposits import CoinsDeposited
from backtester.domain.instruments import SymbolSpec, SymbolSpecs
from backtester.domain.money import CALCULATION
from backtester.domain.timeframe import timeframe_ms
from backtester.domain.vocabulary import Market
from backtester.sim.sim_models import FeeModel, ScaledFees, SlippageModel, SymbolFees
from backtester.strategy.base import Strategy, build_params
from backtester.strategy.importing import CreationGuard

_ALWAYS_TOLD = frozenset(
    {
        *(
            f"sim.{key}"
            for key in (
                *("order_latency_ms", "cancel_latency_ms", "response_latency_ms", "latency_jitter_ms", "spread_bps"),
                *("slippage_bps", "slippage_model", "fee_bps", "maker_bps", "taker_bps", "limit_fill", "participation_bps"),
                *("remainder", "work_bars", "funding", "funding_hole"),
            )
        ),
        *(f"account.{key}" for key in ("starting_cash", "leverage", "snapshot_every")),
        *(
            f"risk.{key}"
            for key in (
                *("price_collar_bps", "max_open_orders", "max_position_notional", "daily_loss_limit", "daily_loss_action"),
                *("orders_per_second", "order_burst"),
            )
        ),
        "end.close",
    }
)
"""Settings that stand in every event stream; a younger one only where it is not its default, so that digests stay."""


class Models(NamedTuple):
    """Cost models handed over in Python, in place of the configured ones."""

    slippage: SlippageModel | None = None
    fees: FeeModel | None = None


class PlannedRun(NamedTuple):
    """A plan, the timeframes its feed must deliver, and what a reader of the result should know was assumed."""

    plan: Plan
    signal_ms: tuple[int, ...]
    assumptions: Sequence[Assumption]


def plan_run(
    resolved: ResolvedRun, *, market: MarketData, specs: SymbolSpecs | None = None, models: Models = Models()
) -> PlannedRun:
    """The plan of a resolved run. Raises ConfigError for a symbol without a spec, or one of several assets without a currency."""
    config = resolved.config
    chosen, notes, changes = _chosen_specs(resolved, specs)
    check_position_mode(config, chosen)
    borrow = plan_borrowing(config, chosen)
    strategies = _strategies(resolved)
    warm_up_ms = max(strategy.warmup_bars * timeframe_ms(timeframes[0]) for _, strategy, timeframes in strategies)
    rates = {key: _rates(config, spec) for key, spec in chosen.items()}
    funding = stored_funding(config, resolved.refs, start_ms=resolved.start_ms, end_ms=resolved.end_ms)
    fees = _scaled(models.fees or SymbolFees({key: rate[:2] for key, rate in rates.items()}), config.sim.cost_factor)
    margin = plan_margin(config, resolved.refs, chosen, fees, start_ms=resolved.start_ms, end_ms=resolved.end_ms)
    options = plan_options(config, resolved.refs, chosen, market=market, start_ms=resolved.start_ms, end_ms=resolved.end_ms)
    opening: tuple[CoinsDeposited, ...] = ()
    currency = _currency(resolved, chosen, market)
    if config.account.balances and currency is None:
        first = market.open(signal_ms=(), start_ms=resolved.start_ms, end_ms=resolved.end_ms)
        owner = strategies[0][0]
        opening = opening_coins(config.account.balances, chosen, feed=first, start_ms=resolved.start_ms, strategy_id=owner)
    futures = plan_futures(config, resolved.refs, chosen, market=market, start_ms=resolved.start_ms, end_ms=resolved.end_ms)
    futures = futures.joined(
        plan_delistings(config, resolved.refs, changes, market=market, start_ms=resolved.start_ms, in_one_asset=currency is None)
    )

    def rates_of(spec: SymbolSpec) -> FeeModel | None:
        return None if models.fees else _scaled(SymbolFees({spec.symbol: _rates(config, spec)[:2]}), config.sim.cost_factor)

    plan = Plan(
        config=config,
        specs=chosen,
        strategies=strategies,
        feed_start_ms=resolved.start_ms - warm_up_ms,
        start_ms=resolved.start_ms,
        end_ms=resolved.end_ms,
        slippage=models.slippage or run_slippage(config, chosen, market, start_ms=resolved.start_ms, end_ms=resolved.end_ms),
        fees=fees,
        rules={key: venue_rules(spec.exchange, spec.market.value) for key, spec in chosen.items()},
        settlements=funding.settlements,
        margin=margin,
        open_trigger_prices=partial(StoredTriggerPrices, config, resolved.refs, start_ms=resolved.start_ms, end_ms=resolved.end_ms),
        options=options,
        opening=opening,
        futures=futures,
        borrow=borrow,
        currency=currency,
        rule_changes=plan_rule_changes(changes, chosen, fees=fees, rates_of=rates_of, margin=margin),
    )
    lengths = sorted({timeframe_ms(name) for _, _, timeframes in strategies for name in timeframes})
    said = (*_notes(resolved, rates, models), *_finer_notes(config, market), *funding.notes, *margin.notes)
    return PlannedRun(
        plan,
        tuple(lengths),
        assumptions_in_force(
            config,
            (
                *said,
                *options.notes,
                *futures.notes,
                *coins_notes(opening),
                *borrow_notes(borrow),
                *(currency.notes if currency is not None else ()),
                *notes,
            ),
        ),
    )


def _chosen_specs(resolved: ResolvedRun, specs: SymbolSpecs | None) -> ChosenSpecs:
    keys = [ref.key for ref in resolved.refs]
    known = specs_of(resolved) if specs is None else specs
    chosen = choose_specs(known, keys, start_ms=resolved.start_ms, end_ms=resolved.end_ms)
    for ref in resolved.refs:
        if ref.market == Market.OPTION.value and chosen.specs[ref.key].option is None:  # handed over in Python
            chosen.specs[ref.key] = with_contract(chosen.specs[ref.key], ref.name)
            chosen = _with_specs(chosen, partial(_as_option, ref.key, ref.name))
    if settles_in_several(resolved.config, chosen.specs):
        chosen = _with_specs(chosen, lambda spec: without_spot_trading({spec.symbol: spec})[spec.symbol])
        return chosen._replace(specs=without_spot_trading(chosen.specs))
    return chosen


def _as_option(key: str, name: str, spec: SymbolSpec) -> SymbolSpec:
    return with_contract(spec, name) if spec.symbol == key else spec


def _with_specs(chosen: ChosenSpecs, made: Callable[[SymbolSpec], SymbolSpec]) -> ChosenSpecs:
    """The same with `made` of each spec that comes into force."""
    return chosen._replace(changes=tuple(change._replace(spec=made(change.spec)) for change in chosen.changes))


def _currency(resolved: ResolvedRun, specs: Mapping[str, SymbolSpec], market: MarketData) -> CurrencyPlan | None:
    """How a run of several settlement assets is told in one; None for any other run."""
    if not settles_in_several(resolved.config, specs):
        return None
    first = partial(market.open, signal_ms=(), start_ms=resolved.start_ms, end_ms=resolved.end_ms)
    return plan_currency(resolved.config, specs, open_feed=first, start_ms=resolved.start_ms)


def strategy_ids(resolved: ResolvedRun) -> tuple[str, ...]:
    """The ids that the run's strategies get, in order; one that is taken gets a number."""
    taken = sorted(ENGINE_OWNERS)
    own = len(taken)
    for section, loaded in zip(resolved.config.strategies, resolved.strategies, strict=True):
        base = section.strategy_id or loaded.strategy_id
        strategy_id, number = base, 1
        while strategy_id in taken:
            number += 1
            strategy_id = f"{base}_{number}"
        taken.append(strategy_id)
    return tuple(taken[own:])


def _strategies(resolved: ResolvedRun) -> list[tuple[str, Strategy, tuple[str, ...]]]:
    """(id, instance, timeframes) of each configured strategy, in order."""
    made: list[tuple[str, Strategy, tuple[str, ...]]] = []
    for section, loaded, strategy_id in zip(resolved.config.strategies, resolved.strategies, strategy_ids(resolved), strict=True):
        with CreationGuard(f"strategy {loaded.name}"):
            strategy = loaded.strategy(build_params(loaded.strategy, section.params))
        own = section.timeframe or resolved.config.run.timeframe
        made.append((strategy_id, strategy, tuple(dict.fromkeys((own, *strategy.extra_timeframes)))))
    return made


def _rates(config: RunConfig, spec: SymbolSpec) -> tuple[Decimal, Decimal, str]:
    """(maker, taker, where from): configured, else of the tier, else as stored with the instrument, else the entry tier."""
    sim = config.sim
    if sim.fee_bps is not None:
        return sim.fee_bps, sim.fee_bps, "configured"
    if sim.maker_bps is not None and sim.taker_bps is not None:
        return sim.maker_bps, sim.taker_bps, "configured"
    if sim.fee_tier:
        maker, taker, source = tier_bps(spec.exchange, spec.market.value, sim.fee_tier)
    elif spec.maker_bps is not None and spec.taker_bps is not None:
        maker, taker, source = spec.maker_bps, spec.taker_bps, "stored with the instrument"
    else:
        maker, taker, source = entry_tier_bps(spec.exchange, spec.market.value)
    if sim.bnb_discount:
        off_bps = bnb_discount_bps(spec.exchange, spec.market.value)
        left = CALCULATION.scaleb(CALCULATION.subtract(Decimal(10_000), off_bps), -4)
        maker, taker = (rate if rate < 0 else _short(CALCULATION.multiply(rate, left)) for rate in (maker, taker))
        source = f"{source}; paid in BNB, {off_bps} bps off"
    return (
        maker if sim.maker_bps is None else sim.maker_bps,
        taker if sim.taker_bps is None else sim.taker_bps,
        source,
    )


def _short(number: Decimal) -> Decimal:
    """The same number without zeros at its end."""
    return Decimal(format(CALCULATION.normalize(number), "f"))


def _scaled(fees: FeeModel, factor: Decimal) -> FeeModel:
    return fees if factor == 1 else ScaledFees(fees, factor)


def _notes(
    resolved: ResolvedRun,
    rates: Mapping[str, tuple[Decimal, Decimal, str]],
    models: Models,
) -> tuple[str, ...]:
    config = resolved.config
    sim = config.sim
    lines = []
    if config.data.source == "sample":
        lines.append("candles are a synthetic sample, not a market")
    for key, stored in resolved.joined:
        lines.append(f"{key}: bars of {config.run.execution_timeframe} are joined from stored candles of {stored}")
    if models.fees is not None:
        lines.append(f"fees of {type(models.fees).__name__}, handed over in Python")
    else:
        lines += [f"{key}: fees maker {maker} bps, taker {taker} bps ({source})" for key, (maker, taker, source) in rates.items()]
    own = models.slippage
    slippage = slippage_text(sim) if own is None else f"of {type(own).__name__}, handed over in Python,"
    lines.append(f"half of a spread of {sim.spread_bps} bps and slippage {slippage} on taker fills")
    lines += [f"{key}: {own_costs_text(sim.symbols[key])}" for key in rates if key in sim.symbols]
    lines.append(latency_text(config))
    return tuple(lines)


def _finer_notes(config: RunConfig, market: MarketData) -> list[str]:
    """What is finer than the bars, by symbol; and of which symbols quotes are missing, where the spread goes by them."""
    told = market.finer_timeframes.items()
    notes = [f"{key}: ambiguous bars are resolved on what is stored below them: {', '.join(names)}" for key, names in told]
    if config.sim.spread == "quotes":
        missing = [symbol for symbol in config.run.symbols if symbol not in market.quoted_symbols]
        notes += [f"{symbol}: no quotes are stored, the model says the spread" for symbol in missing]
    return notes


def settings_text(config: RunConfig) -> dict[str, str]:
    """What decides the event stream besides seed, symbols and strategy, as text; not the range, nor paths, nor routing."""
    tables: dict[str, Section] = {"sim": config.sim, "account": config.account, "risk": config.risk, "end": config.end}
    flat: dict[str, str] = {}
    for name, section in tables.items():
        usual = msgspec.structs.asdict(type(section)())
        for key, value in msgspec.structs.asdict(section).items():
            if value != usual[key] or f"{name}.{key}" in _ALWAYS_TOLD:
                flat[f"{name}.{key}"] = str(value)
    if config.sim.latency_file:  # what stands in it decides, not where it lies
        flat["sim.latency_file"] = recorded_series(Path(config.sim.latency_file))[1]
    flat.pop("risk.kill_file", None)  # where a file lies decides nothing
    if config.account.leverage_by_symbol:
        rows = sorted(config.account.leverage_by_symbol.items())
        flat["account.leverage_by_symbol"] = ", ".join(f"{symbol} = {leverage}" for symbol, leverage in rows)
    if config.account.balances:
        flat["account.balances"] = ", ".join(f"{asset} = {amount}" for asset, amount in config.account.balances.items())
    if config.account.peg:
        flat["account.peg"] = ", ".join(config.account.peg)
    if config.data.gap_policy == "flat":  # the others leave the candles as they are
        flat["data.gap_policy"] = config.data.gap_policy
    for index, section in enumerate(config.strategies):
        flat[f"strategies.{index}.params"] = msgspec.json.encode(section.params, order="sorted").decode()
    return flat


def strategy_names(strategies: Sequence[tuple[str, Strategy, tuple[str, ...]]]) -> tuple[str, ...]:
    """The ids of a plan's strategies."""
    return tuple(strategy_id for strategy_id, _, _ in strategies)
