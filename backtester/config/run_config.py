"""The configuration of a run. Field names are the keys of `configs/backtest.toml` and of a run's `config.toml`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

import msgspec


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the configuration's tables: unknown keys are refused."""


class DataSection(Section, frozen=True, kw_only=True):
    """[data]: where candles come from. `source` is resolved: catalog, sample or memory."""

    data_path: str = "data"
    sample_seed: int = 1
    sample_days: int = 91
    source: str = ""


class RunSection(Section, frozen=True, kw_only=True):
    """[run]: what is run. Times are ISO text, UTC, `end` exclusive; empty means 'resolve from the data'."""

    seed: int = 42
    output: str = "runs"
    symbols: tuple[str, ...] = ()
    exchange: str = ""
    market: str = ""
    start: str = ""
    end: str = ""
    timeframe: str = ""
    execution_timeframe: str = ""


class StrategySection(Section, frozen=True, kw_only=True):
    """[[strategies]]: what decides. `name` is a built-in name, `module:Class` or `file.py[:Class]`."""

    name: str
    strategy_id: str = ""
    params: dict[str, Any] = {}


class SimSection(Section, frozen=True, kw_only=True):
    """[sim]: the simulated venue. Costs in basis points; `None` means the venue's entry tier (`fee_*`)."""

    order_latency_ms: int = 125
    cancel_latency_ms: int = 125
    response_latency_ms: int = 125
    latency_jitter_ms: int = 0
    spread_bps: Decimal = Decimal(1)
    slippage_bps: Decimal = Decimal(1)
    slippage_model: str = "fixed"
    fee_bps: Decimal | None = None
    maker_bps: Decimal | None = None
    taker_bps: Decimal | None = None
    limit_fill: Literal["through", "touch"] = "through"
    participation_bps: Decimal = Decimal(1000)
    remainder: Literal["carry", "cancel"] = "carry"
    work_bars: int = 60


class AccountSection(Section, frozen=True, kw_only=True):
    """[account]: money at the start, in the quote asset."""

    starting_cash: Decimal = Decimal(10000)
    leverage: Decimal = Decimal(1)
    snapshot_every: str = "1h"


class RiskSection(Section, frozen=True, kw_only=True):
    """[risk]: rails. An absent value switches that rail off."""

    price_collar_bps: Decimal | None = Decimal(500)
    max_open_orders: int | None = None
    max_position_notional: Decimal | None = None
    daily_loss_limit: Decimal | None = None
    daily_loss_action: Literal["halt", "flatten"] = "halt"
    orders_per_second: Decimal | None = None
    order_burst: int = 100


class EngineSection(Section, frozen=True, kw_only=True):
    """[engine]: how messages travel; no effect on any result."""

    routing: Literal["interest", "broadcast"] = "interest"


class EndSection(Section, frozen=True, kw_only=True):
    """[end]: what happens to open positions when the data ends."""

    close: bool = False


class RunConfig(Section, frozen=True, kw_only=True):
    """Everything that decides a run's result, and where it is written."""

    data: DataSection = DataSection()
    run: RunSection = RunSection()
    strategies: tuple[StrategySection, ...] = ()
    sim: SimSection = SimSection()
    account: AccountSection = AccountSection()
    risk: RiskSection = RiskSection()
    engine: EngineSection = EngineSection()
    end: EndSection = EndSection()
