"""The assumptions in force in a run, for its manifest: what, by which rule, by which setting.

docs/simulation.md has them all in one table. A key of the configuration that changes how orders meet the market stands there, in
the column "Change it", and here; tests/architecture/test_assumptions.py holds both against the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from backtester.audit.run_store import Assumption
from backtester.config.run_config import RunConfig

ASSUMED: Mapping[str, tuple[str, str]] = {
    "data.gap_policy": ("bars that are missing", "{value}"),
    "sim.order_latency_ms": ("order on its way", "arrives {value} ms after the decision"),
    "sim.cancel_latency_ms": ("cancel on its way", "arrives {value} ms after the decision"),
    "sim.response_latency_ms": ("report on its way", "reaches the strategy {value} ms after the event"),
    "sim.latency_jitter_ms": ("chance in latency", "0 to {value} ms more on each leg, drawn from the seed"),
    "sim.latency_model": ("latencies that differ", "{value}"),
    "sim.latency_spread_frac": ("width of drawn latencies", "{value} of the leg, where they are drawn"),
    "sim.latency_file": ("recorded latencies", "{value}"),
    "sim.latency_factor": ("latency", "each leg x {value}"),
    "sim.spread": ("where the spread is from", "{value}"),
    "sim.spread_bps": ("spread", "a taker pays half of {value} bps"),
    "sim.slippage_bps": ("slippage", "a taker pays {value} bps"),
    "sim.slippage_model": ("slippage model", "{value}"),
    "sim.slippage_ticks": ("slippage in ticks", "{value}, where the model is ticks"),
    "sim.slippage_jitter_bps": ("chance in slippage", "0 to {value} bps more, drawn from the seed"),
    "sim.impact_half_life": ("lasting impact", "halves every {value}, where the model has any"),
    "sim.symbols": ("costs of single symbols", "{value}"),
    "sim.spot_fee": ("coin of a spot fee", "{value}"),
    "sim.cost_factor": ("costs", "spread, slippage and fees x {value}"),
    "sim.limit_fill": ("resting limit", "{value}"),
    "sim.touch_fill_frac": ("chance of a touched limit", "{value} a bar, where limits fill by chance"),
    "sim.queue_ahead_frac": ("queue before a limit", "{value} of a bar's volume, where limits queue"),
    "sim.path": ("order of events inside a bar", "{value}"),
    "sim.resolve": ("finer data inside a bar", "{value}"),
    "sim.participation_bps": ("size", "at most {value} bps of a bar's volume; 0 is no cap"),
    "sim.remainder": ("what a bar's share leaves of a market order", "{value}"),
    "sim.work_bars": ("market order at work", "at later opens, for at most {value} bars"),
    "sim.funding": ("funding", "{value}"),
    "sim.funding_hole": ("hole in the funding series", "{value}"),
    "sim.option_spread_bps": ("spread of options", "a taker pays half of {value} bps, where sim.symbols gives no other"),
    "sim.underlying": ("index of options", "{value}"),
    "account.balances": ("coins at the start", "{value}"),
    "account.currency": ("currency of results", "{value}"),
    "account.peg": ("assets that count one for one", "{value}"),
    "account.leverage": ("leverage", "{value}"),
    "account.leverage_by_symbol": ("leverage of single symbols", "{value}"),
    "account.position_mode": ("positions of a symbol", "{value}"),
    "account.margin": ("margin, with leverage above 1", "{value}"),
    "account.mark": ("price of equity and margin", "{value}"),
    "account.borrow": ("spot beyond holdings and cash", "{value}"),
    "account.borrow_rates": ("interest on what is borrowed", "{value}"),
    "account.borrow_liquidation": (
        "end of what is borrowed on",
        "equity / borrowed value of {value} closes all, where spot borrows",
    ),
    "risk.price_collar_bps": ("price collar", "a limit may be {value} bps through the mark"),
    "risk.max_open_orders": ("orders that work", "at most {value}"),
    "risk.max_position_notional": ("value of a position", "at most {value}"),
    "risk.daily_loss_limit": ("daily loss", "a fraction of {value} of equity at 00:00 UTC ends trading for the day"),
    "risk.daily_loss_action": ("after the daily loss", "{value}"),
    "risk.max_drawdown": ("fall of equity from its peak", "a fraction of {value} ends trading"),
    "risk.max_drawdown_action": ("after that fall", "{value}"),
    "risk.max_leverage": ("leverage of the account", "at most {value} x equity"),
    "risk.max_symbol_exposure": ("exposure in one symbol", "at most {value} x equity"),
    "risk.max_total_exposure": ("exposure in total", "at most {value} x equity"),
    "risk.max_correlated_exposure": ("exposure in a group", "at most {value} x equity"),
    "risk.correlated_groups": ("groups of symbols that move together", "{value}"),
    "risk.kill_switch": ("kill switch", "{value}"),
    "risk.kill_at": ("the kill switch is thrown", "at {value}"),
    "risk.kill_file": ("the kill switch is thrown by a file", "{value}"),
    "risk.orders_per_second": ("orders a second", "at most {value}"),
    "risk.order_burst": ("orders at once", "at most {value}, where orders a second are limited"),
    "end.close": ("open positions at the end", "{value}"),
}
"""What and rule by key; `{value}` is the value, or what a word means (`MEANINGS`)."""

MEANINGS: Mapping[tuple[str, str], str] = {
    ("data.gap_policy", "skip"): "nothing happens there",
    ("data.gap_policy", "flat"): "one is put in that is flat at the last close and has no volume",
    ("data.gap_policy", "fail"): "the run does not start",
    ("sim.limit_fill", "through"): "fills when a bar trades through it by a tick",
    ("sim.limit_fill", "touch"): "fills when a bar reaches it",
    ("sim.limit_fill", "probabilistic"): "fills when a bar trades through it, by chance when a bar touches it",
    ("sim.limit_fill", "queue"): "fills when a bar trades through it, or once what stood ahead of it has traded at its price",
    ("sim.latency_model", "constant"): "each leg is always the same",
    ("sim.latency_file", ""): "none",
    ("sim.symbols", ""): "no symbol has costs of its own",
    ("sim.spot_fee", "quote"): "the quote asset, on buys too",
    ("sim.spot_fee", "received"): "the coin received: a buy's is taken from what it bought",
    ("sim.path", "worst"): "the worse for the trader, stop before target",
    ("sim.path", "best"): "the better for the trader",
    ("sim.spread", "model"): "the model",
    ("sim.spread", "quotes"): "the last quote; the model where there is none, the larger of both where it is over a minute old",
    ("sim.resolve", "finer"): "tells the order of events where it is stored",
    ("sim.resolve", "off"): "not looked at",
    ("sim.remainder", "carry"): "works on at later opens",
    ("sim.remainder", "cancel"): "ends",
    ("sim.funding", "stored"): "charged at the stored settlements",
    ("sim.funding", "off"): "not charged",
    ("sim.funding_hole", "fail"): "the run does not start",
    ("sim.funding_hole", "charge"): "1 bp per 8 hours against the position",
    ("sim.underlying", ""): "the stored prices of BASE and quote, each run says which",
    ("account.balances", ""): "none",
    ("account.currency", ""): "the one settlement asset",
    ("account.peg", ""): "none",
    ("account.leverage_by_symbol", ""): "that of all",
    ("account.position_mode", "one_way"): "one: buys and sells net",
    ("account.position_mode", "hedge"): "two, a long and a short one",
    ("account.margin", "cross"): "the wallet stands for all positions",
    ("account.margin", "isolated"): "each position stands for itself",
    (
        "account.mark",
        "last",
    ): "the last price; liquidations by the mark where it is stored finely enough",
    ("account.mark", "mark"): "the stored mark price",
    ("account.mark", "index"): "the stored index price",
    ("account.borrow", "off"): "refused",
    ("account.borrow", "on"): "borrowed, up to (leverage - 1) x equity",
    ("account.borrow_rates", ""): "none: nothing is borrowed",
    ("risk.daily_loss_action", "halt"): "entries end and are refused",
    ("risk.daily_loss_action", "flatten"): "entries end and are refused, positions are closed",
    ("risk.max_drawdown_action", "halt"): "entries end and are refused",
    ("risk.max_drawdown_action", "flatten"): "entries end and are refused, positions are closed",
    ("risk.correlated_groups", ""): "none",
    ("risk.kill_switch", "halt"): "entries end and are refused",
    ("risk.kill_switch", "flatten"): "entries end and are refused, positions are closed",
    ("end.close", "true"): "closed at the last closes with a taker's costs",
    ("end.close", "false"): "stay open, marked at the last close",
}

FEE_KEYS = ("sim.maker_bps", "sim.taker_bps", "sim.fee_bps", "sim.fee_tier", "sim.bnb_discount")
"""The settings of fees, whose rule is told for each symbol with where it is from."""

_LEFT_OUT = ("off", "false", "")


def assumptions_in_force(config: RunConfig, notes: Sequence[str]) -> list[Assumption]:
    """One assumption for each key of `ASSUMED`, as the run has it, then the `notes` about its own data and costs."""
    found = [_of_key(config, key, *said) for key, said in ASSUMED.items()]
    for note in notes:
        is_fee = "fees maker" in note or note.startswith("fees of")
        found.append(
            Assumption(what="fees" if is_fee else "this run", rule=note, setting=_text_of(config, FEE_KEYS) if is_fee else "")
        )
    return found


def _of_key(config: RunConfig, key: str, what: str, rule: str) -> Assumption:
    value = _value(config, key)
    said = "no limit" if value == "off" and key != "sim.funding" else rule.format(value=MEANINGS.get((key, value), value))
    return Assumption(what=what, rule=said, setting=f"{key}={value}")


def _text_of(config: RunConfig, keys: Sequence[str]) -> str:
    """The settings among `keys` that are given, as `--set` takes them; the names of all where none is."""
    given = [f"{key}={value}" for key in keys if (value := _value(config, key)) not in _LEFT_OUT]
    return ", ".join(given or keys)


def _value(config: RunConfig, key: str) -> str:
    """The value as `--set` takes it."""
    section, _, name = key.partition(".")
    value = getattr(getattr(config, section), name)
    if value is None:
        return "off"
    if isinstance(value, Mapping):
        return ", ".join(value)
    if isinstance(value, tuple):
        return "; ".join(group if isinstance(group, str) else " ".join(group) for group in value)
    if isinstance(value, bool):
        return str(value).lower()
    return format(value, "f") if isinstance(value, Decimal) else str(value)
