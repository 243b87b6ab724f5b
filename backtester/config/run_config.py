"""The configuration of a run. Field names are the keys of `configs/backtest.toml` and of a run's `config.toml`."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, Literal

import msgspec

from backtester.domain.errors import ConfigError
from backtester.domain.timeframe import parse_time_ms, timeframe_ms

MAX_BPS = Decimal(10_000)
MAX_FACTOR = 100
MAX_TICKS = 10_000
MAX_SPREAD = 3
MAX_AMOUNT = Decimal(10**15)
"""More than any market holds; beyond it exact decimals would no longer fit what results are written with."""


def _exact(key: str, value: object) -> Decimal:
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        raise ConfigError(f"{key} must be a number; it is {value!r}") from None
    text = format(number, "f")  # never through the process-wide decimal context
    return Decimal(text.rstrip("0").rstrip(".")) if "." in text else Decimal(text)


def _check(holds: bool, rule: str, value: object) -> None:
    if not holds:
        raise ConfigError(f"{rule}; it is {value}")


def _check_bps(key: str, value: Decimal | None, *, least: Decimal) -> None:
    fits = value is None or (value.is_finite() and least <= value <= MAX_BPS)
    _check(fits, f"{key} must be between {least} and {MAX_BPS} basis points", value)


def _check_ticks(key: str, value: int | None) -> None:
    _check(value is None or 0 <= value <= MAX_TICKS, f"{key} must be between 0 and {MAX_TICKS}", value)


def _check_amount(key: str, value: Decimal | None, *, off: str = "") -> None:
    """An amount is above 0 and of a size that money has."""
    if value is None:
        return
    _check(value.is_finite() and value > 0, f"{key} must be above 0{off}", value)
    exponent = value.as_tuple().exponent
    fits = value <= MAX_AMOUNT and isinstance(exponent, int) and exponent >= -8
    _check(fits, f"{key} must be at most {MAX_AMOUNT:,}, with at most 8 decimals", value)


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the configuration's tables: unknown keys are refused."""

    def _make_exact(self, *keys: str) -> None:
        """Numbers become the Decimal that the field promises, written in one way: 1.0 and 1 are one configuration."""
        for key in keys:
            value = getattr(self, key)
            if value is not None:
                msgspec.structs.force_setattr(self, key, _exact(key, value))


class DataSection(Section, frozen=True, kw_only=True):
    """[data]: where candles come from, and what is done where bars are missing. `source` is resolved: catalog, sample or memory."""

    data_path: str = "data"
    sample_seed: int = 1
    sample_days: int = 91
    gap_policy: Literal["skip", "flat", "fail"] = "skip"
    source: str = ""

    def __post_init__(self) -> None:
        _check(self.sample_days >= 1, "data.sample_days must be at least 1", self.sample_days)
        _check(self.source in {"", "catalog", "sample", "memory"}, "data.source must be catalog, sample or memory", self.source)
        _check(self.data_path != "", "data.data_path must name a directory", self.data_path)


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

    def __post_init__(self) -> None:
        _check(self.seed >= 0, "run.seed must not be negative", self.seed)
        _check(self.output != "", "run.output must name a directory", self.output)
        repeated = [symbol for index, symbol in enumerate(self.symbols) if symbol in self.symbols[:index]]
        _check(not repeated, "run.symbols names a symbol twice", ", ".join(repeated))
        _check(all(self.symbols), "run.symbols must not hold an empty name", self.symbols)
        for key in ("timeframe", "execution_timeframe"):
            if getattr(self, key):
                timeframe_ms(getattr(self, key))


class StrategySection(Section, frozen=True, kw_only=True):
    """[[strategies]]: what decides. `name` is a built-in name, `module:Class` or `file.py[:Class]`.

    `timeframe` is that of its signals, resolved; empty means [run] timeframe, else its parameter `timeframe`, else the finest.
    """

    name: str
    strategy_id: str = ""
    timeframe: str = ""
    params: dict[str, Any] = {}

    def __post_init__(self) -> None:
        _check(self.name != "", "strategies.name must not be empty", self.name)
        if self.timeframe:
            timeframe_ms(self.timeframe)


SlippageName = Literal["fixed", "ticks", "volume_share", "zipline", "volatility", "square_root", "almgren_chriss"]


class SymbolCosts(Section, frozen=True, kw_only=True):
    """[sim.symbols.NAME]: what differs for one symbol; what is left out is as for the run."""

    spread_bps: Decimal | None = None
    slippage_model: SlippageName | None = None
    slippage_bps: Decimal | None = None
    slippage_ticks: int | None = None
    slippage_jitter_bps: Decimal | None = None
    daily_volume: Decimal | None = None
    daily_volatility_bps: Decimal | None = None

    def __post_init__(self) -> None:
        keys = ("spread_bps", "slippage_bps", "slippage_jitter_bps", "daily_volatility_bps")
        self._make_exact(*keys, "daily_volume")
        for key in keys:
            _check_bps(f"sim.symbols.{key}", getattr(self, key), least=Decimal(0))
        _check_amount("sim.symbols.daily_volume", self.daily_volume)
        _check_ticks("sim.symbols.slippage_ticks", self.slippage_ticks)
        together = (self.daily_volume is None) == (self.daily_volatility_bps is None)
        _check(together, "sim.symbols.daily_volume and daily_volatility_bps are given together or not at all", self.daily_volume)


class SimSection(Section, frozen=True, kw_only=True):
    """[sim]: the simulated venue. Costs in basis points; `None` means the venue's entry tier (`fee_*`)."""

    order_latency_ms: int = 125
    cancel_latency_ms: int = 125
    response_latency_ms: int = 125
    latency_jitter_ms: int = 0
    latency_model: Literal["constant", "uniform", "lognormal", "gamma", "recorded"] = "constant"
    latency_spread_frac: Decimal = Decimal("0.5")
    latency_file: str = ""
    spread: Literal["model", "quotes"] = "model"
    spread_bps: Decimal = Decimal(1)
    slippage_bps: Decimal = Decimal(1)
    slippage_model: SlippageName = "fixed"
    slippage_ticks: int = 1
    slippage_jitter_bps: Decimal = Decimal(0)
    impact_half_life: str = "1h"
    symbols: dict[str, SymbolCosts] = {}
    fee_bps: Decimal | None = None
    maker_bps: Decimal | None = None
    taker_bps: Decimal | None = None
    fee_tier: str = ""
    bnb_discount: bool = False
    spot_fee: Literal["quote", "received"] = "quote"
    limit_fill: Literal["through", "touch", "probabilistic", "queue"] = "through"
    touch_fill_frac: Decimal = Decimal("0.5")
    queue_ahead_frac: Decimal = Decimal(1)
    path: Literal["worst", "ohlc", "olhc", "adaptive", "seeded", "best"] = "worst"
    resolve: Literal["finer", "off"] = "finer"
    cost_factor: Decimal = Decimal(1)
    latency_factor: Decimal = Decimal(1)
    participation_bps: Decimal = Decimal(1000)
    remainder: Literal["carry", "cancel"] = "carry"
    work_bars: int = 60
    funding: Literal["stored", "off"] = "stored"
    funding_hole: Literal["fail", "charge"] = "fail"
    underlying: dict[str, str] = {}
    option_spread_bps: Decimal = Decimal(300)

    def __post_init__(self) -> None:
        self._make_exact("spread_bps", "slippage_bps", "participation_bps", "fee_bps", "maker_bps", "taker_bps")
        self._make_exact("cost_factor", "latency_factor", "slippage_jitter_bps", "latency_spread_frac")
        self._make_exact("touch_fill_frac", "queue_ahead_frac", "option_spread_bps")
        for key, most in (("touch_fill_frac", 1), ("queue_ahead_frac", MAX_FACTOR)):
            fraction = getattr(self, key)
            _check(fraction.is_finite() and 0 <= fraction <= most, f"sim.{key} must be between 0 and {most}", fraction)
        spread = self.latency_spread_frac
        _check(
            spread.is_finite() and 0 < spread <= MAX_SPREAD,
            f"sim.latency_spread_frac must be above 0, at most {MAX_SPREAD}",
            spread,
        )
        fits = self.latency_model != "uniform" or spread <= 1
        _check(fits, "sim.latency_spread_frac must be at most 1 for the model uniform", spread)
        constant = self.latency_model == "constant" or not self.latency_jitter_ms
        _check(constant, "sim.latency_jitter_ms belongs to sim.latency_model = constant", self.latency_jitter_ms)
        _check_bps("sim.slippage_jitter_bps", self.slippage_jitter_bps, least=Decimal(0))
        _check_ticks("sim.slippage_ticks", self.slippage_ticks)
        timeframe_ms(self.impact_half_life)
        msgspec.structs.force_setattr(self, "underlying", dict(sorted(self.underlying.items())))
        msgspec.structs.force_setattr(self, "symbols", dict(sorted(self.symbols.items())))
        for key in ("cost_factor", "latency_factor"):
            factor = getattr(self, key)
            _check(factor.is_finite() and 0 <= factor <= MAX_FACTOR, f"sim.{key} must be between 0 and {MAX_FACTOR}", factor)
        for key in ("order_latency_ms", "cancel_latency_ms", "response_latency_ms", "latency_jitter_ms"):
            _check(getattr(self, key) >= 0, f"sim.{key} must not be negative", getattr(self, key))
        for key in ("spread_bps", "slippage_bps", "participation_bps", "fee_bps", "option_spread_bps"):
            _check_bps(f"sim.{key}", getattr(self, key), least=Decimal(0))
        for key in ("maker_bps", "taker_bps"):  # a negative rate is a rebate
            _check_bps(f"sim.{key}", getattr(self, key), least=-MAX_BPS)
        both = self.fee_bps is not None and not (self.maker_bps is None and self.taker_bps is None)
        _check(not both, "sim.fee_bps excludes sim.maker_bps and sim.taker_bps; give one or the others", self.fee_bps)
        paid_once = not (self.bnb_discount and self.spot_fee == "received")
        _check(
            paid_once, "sim.spot_fee = received excludes sim.bnb_discount: a fee paid in BNB leaves the coin whole", self.spot_fee
        )
        _check(self.work_bars >= 1, "sim.work_bars must be at least 1", self.work_bars)


class AccountSection(Section, frozen=True, kw_only=True):
    """[account]: money at the start, in the quote asset; leverage, margin and borrowing; the price that equity goes by."""

    starting_cash: Decimal = Decimal(10000)
    balances: dict[str, Decimal] = {}
    currency: str = ""
    peg: tuple[str, ...] = ()
    leverage: Decimal = Decimal(1)
    leverage_by_symbol: dict[str, Decimal] = {}
    position_mode: Literal["one_way", "hedge"] = "one_way"
    margin: Literal["cross", "isolated"] = "cross"
    mark: Literal["last", "mark", "index"] = "last"
    borrow: Literal["off", "on"] = "off"
    borrow_rates: dict[str, Decimal] = {}
    borrow_liquidation: Decimal = Decimal("0.1")
    snapshot_every: str = "1h"

    def __post_init__(self) -> None:
        self._make_exact("starting_cash", "leverage", "borrow_liquidation")
        level = self.borrow_liquidation
        _check(level.is_finite() and 0 < level <= 10, "account.borrow_liquidation must be above 0 and at most 10", level)
        rates = {asset: _exact(f"account.borrow_rates.{asset}", rate) for asset, rate in sorted(self.borrow_rates.items())}
        for asset, rate in rates.items():
            said = f"account.borrow_rates.{asset} is a fraction an hour, from 0 to 0.01 (0.0001 is 1 bp)"
            _check(rate.is_finite() and 0 <= rate <= Decimal("0.01"), said, rate)
        msgspec.structs.force_setattr(self, "borrow_rates", rates)
        _check_amount("account.starting_cash", self.starting_cash)
        balances = {asset: _exact(f"account.balances.{asset}", amount) for asset, amount in sorted(self.balances.items())}
        for asset, amount in balances.items():
            _check_amount(f"account.balances.{asset}", amount)
        msgspec.structs.force_setattr(self, "balances", balances)
        for pair in self.peg:
            left, _, right = pair.partition("=")
            _check(left.isalnum() and right.isalnum() and left != right, "account.peg lists pairs such as 'USDC=USDT'", pair)
        by_symbol = {symbol: _exact(f"account.leverage_by_symbol.{symbol}", x) for symbol, x in self.leverage_by_symbol.items()}
        msgspec.structs.force_setattr(self, "leverage_by_symbol", by_symbol)
        named = [("leverage", self.leverage), *((f"leverage_by_symbol.{symbol}", x) for symbol, x in by_symbol.items())]
        for key, leverage in named:
            _check(leverage.is_finite() and 1 <= leverage <= 1000, f"account.{key} must be between 1 and 1000", leverage)
        timeframe_ms(self.snapshot_every)


_FRACTIONS = ("daily_loss_limit", "max_drawdown")
_AMOUNTS = (
    "price_collar_bps",
    "max_position_notional",
    "orders_per_second",
    "max_leverage",
    "max_symbol_exposure",
    "max_total_exposure",
    "max_correlated_exposure",
)


class RiskSection(Section, frozen=True, kw_only=True):
    """[risk]: rails. An absent value switches that rail off. Exposure and leverage are multiples of equity."""

    price_collar_bps: Decimal | None = Decimal(500)
    max_open_orders: int | None = None
    max_position_notional: Decimal | None = None
    daily_loss_limit: Decimal | None = None
    daily_loss_action: Literal["halt", "flatten"] = "halt"
    max_drawdown: Decimal | None = None
    max_drawdown_action: Literal["halt", "flatten"] = "halt"
    max_leverage: Decimal | None = None
    max_symbol_exposure: Decimal | None = None
    max_total_exposure: Decimal | None = None
    max_correlated_exposure: Decimal | None = None
    correlated_groups: tuple[tuple[str, ...], ...] = ()
    kill_switch: Literal["halt", "flatten"] = "halt"
    kill_at: str | None = None
    kill_file: str | None = None
    orders_per_second: Decimal | None = None
    order_burst: int = 100

    def __post_init__(self) -> None:
        self._make_exact(*_FRACTIONS, *_AMOUNTS)
        for key in _AMOUNTS:
            _check_amount(f"risk.{key}", getattr(self, key), off=", or 'off'")
        for key in _FRACTIONS:
            limit = getattr(self, key)
            fraction = limit is None or (limit.is_finite() and 0 < limit < 1)
            _check(fraction, f"risk.{key} is a fraction between 0 and 1 (0.02 means 2 %), or 'off'", limit)
        if self.kill_at is not None:
            parse_time_ms(self.kill_at, what="risk.kill_at")
        _check(self.kill_file != "", "risk.kill_file must name a file, or be 'off'", self.kill_file)
        for group in self.correlated_groups:
            _check(len(set(group)) == len(group) > 1, "risk.correlated_groups are lists of two or more symbols, each once", group)
        _check(
            self.max_open_orders is None or self.max_open_orders >= 1,
            "risk.max_open_orders must be at least 1, or 'off'",
            self.max_open_orders,
        )
        _check(self.order_burst >= 1, "risk.order_burst must be at least 1", self.order_burst)


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
