"""The margin of a run: leverage and tiers of its symbols, and the prices that equity and liquidations go by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from backtester.app.market_data import SymbolRef
from backtester.config.run_config import RunConfig
from backtester.data.catalog import Catalog, StoredSeries
from backtester.data.mark_bars import MarkBars, MarkSource
from backtester.domain.errors import ConfigError, DataUnavailableError, DomainError
from backtester.domain.instruments import SymbolSpec
from backtester.domain.margin_terms import MarginMode, MarginTerms, tiers_or_default
from backtester.domain.money import CALCULATION
from backtester.domain.timeframe import iso_text, timeframe_ms
from backtester.domain.vocabulary import Liquidity, Market
from backtester.sim.sim_models import FeeModel, checked_rate_bps

_LEVERAGED = frozenset({Market.LINEAR.value, Market.INVERSE.value})


class MarginPlan(NamedTuple):
    """`terms` by symbol, empty where nothing is leveraged; the stored series of `account.mark`, or of liquidations, by symbol."""

    terms: Mapping[str, MarginTerms] = {}
    mode: MarginMode = MarginMode.CROSS
    series: Mapping[str, StoredSeries] = {}
    marks_equity: bool = False
    catalog: Catalog | None = None
    start_ms: int = 0
    end_ms: int = 0
    notes: tuple[str, ...] = ()

    def open_marks(self) -> MarkBars | None:
        """The stored prices from the beginning; None where the last prices decide."""
        if self.catalog is None or not self.series:
            return None
        return MarkBars(
            {
                key: MarkSource(self.catalog.read_tables(stored.series, self.start_ms, self.end_ms), stored.series.length_ms)
                for key, stored in self.series.items()
            }
        )


def plan_margin(
    config: RunConfig,
    refs: Sequence[SymbolRef],
    specs: Mapping[str, SymbolSpec],
    fees: FeeModel,
    *,
    start_ms: int,
    end_ms: int,
) -> MarginPlan:
    """What leverage and `account.mark` mean for these symbols.

    Raises: ConfigError - leverage on spot, of a symbol that is not in the run, or above what its tiers allow.
            DataUnavailableError - `account.mark` names prices that are not stored.
    """
    account = config.account
    leverages = _leverages(config, refs)
    derivatives = [ref for ref in refs if ref.market in _LEVERAGED]
    leveraged = any(leverage > 1 for leverage in leverages.values())
    if not leveraged and account.mark == "last":
        return MarginPlan()
    terms = {ref.key: terms_of(specs[ref.key], leverages[ref.key], fees) for ref in derivatives} if leveraged else {}
    stored = config.data.source == "catalog"
    catalog = Catalog(config.data.data_path if "://" in config.data.data_path else Path(config.data.data_path)) if stored else None
    kind = "mark" if account.mark == "last" else account.mark
    execution_ms = timeframe_ms(config.run.execution_timeframe)
    series: dict[str, StoredSeries] = {}
    options = [ref for ref in refs if ref.market == Market.OPTION.value and account.mark == "mark"]
    for ref in (*derivatives, *options):
        found = finest_series(catalog, ref, kind, longest_ms=execution_ms, start_ms=start_ms, end_ms=end_ms)
        if found is not None:
            series[ref.key] = found
        elif account.mark != "last":
            raise _missing(config, ref, kind)
    notes = tuple(_notes(config, [*derivatives, *options], specs, terms, series, start_ms=start_ms, end_ms=end_ms))
    mode = MarginMode(account.margin)
    return MarginPlan(terms, mode, series, account.mark != "last", catalog, start_ms, end_ms, notes)


def _leverages(config: RunConfig, refs: Sequence[SymbolRef]) -> dict[str, Decimal]:
    """Leverage by symbol; 1 on spot and of options, which cannot be asked for more."""
    account = config.account
    by_symbol = dict(account.leverage_by_symbol)
    unknown = [symbol for symbol in by_symbol if symbol not in {ref.key for ref in refs}]
    if unknown:
        names = ", ".join(ref.key for ref in refs)
        raise ConfigError(f"account.leverage_by_symbol names {', '.join(unknown)}, not in this run ({names})")
    spot = [ref.key for ref in refs if ref.market not in _LEVERAGED]
    asked = [symbol for symbol in spot if by_symbol.get(symbol, Decimal(1)) > 1]
    if asked or (account.leverage > 1 and len(spot) == len(refs) and account.borrow == "off"):
        raise ConfigError(
            f"{', '.join(asked or spot)}: leverage is a matter of derivatives, and of spot with account.borrow=on; "
            "use 1, or --market linear"
        )
    return {ref.key: Decimal(1) if ref.key in spot else by_symbol.get(ref.key, account.leverage) for ref in refs}


def terms_of(spec: SymbolSpec, leverage: Decimal, fees: FeeModel, *, must_fit: bool = True) -> MarginTerms:
    """The terms of a symbol by its tiers and fee. Raises ConfigError where the leverage `must_fit` and does not."""
    taker_bps = checked_rate_bps(fees.rate_bps(symbol=spec.symbol, liquidity=Liquidity.TAKER))
    try:
        tiers = tiers_or_default(spec.leverage_tiers, leverage=leverage, leverage_max=spec.max_leverage)
        taker_frac = CALCULATION.scaleb(max(Decimal(0), taker_bps), -4)
        return MarginTerms(leverage=leverage, tiers=tiers, taker_frac=taker_frac, must_fit=must_fit)
    except DomainError as error:
        raise ConfigError(f"{spec.symbol}: {error}; choose another account.leverage (or leverage_by_symbol)") from None


def finest_series(
    catalog: Catalog | None, ref: SymbolRef, kind: str, *, longest_ms: int, start_ms: int, end_ms: int
) -> StoredSeries | None:
    """The finest stored series of a kind that reaches into the range and is no coarser than the execution bars."""
    if catalog is None or not any(catalog.partitions(ref.name)):
        return None
    exchange, _, network = ref.exchange.partition(".")
    fitting = [
        stored
        for stored in catalog.all_series(ref.name)
        if stored.series[:4] == (exchange, ref.market, ref.name, kind)
        and stored.series.network == (network or "live")
        and longest_ms % stored.series.length_ms == 0
        and stored.first_ms < end_ms
        and stored.last_ms > start_ms
    ]
    return min(fitting, key=lambda stored: stored.series.length_ms, default=None)


def _missing(config: RunConfig, ref: SymbolRef, kind: str) -> DataUnavailableError:
    run = config.run
    return DataUnavailableError(
        f"account.mark is {kind}, and no {kind} prices of {ref.key} are stored in bars of {run.execution_timeframe} or shorter in "
        f"the range: bt data download --exchange {ref.exchange} --market {ref.market} --symbols {ref.name} --kind {kind} "
        f"--timeframe {run.execution_timeframe} --start {run.start[:10]} --end {run.end[:10]}; or use account.mark=last"
    )


def _notes(
    config: RunConfig,
    refs: Sequence[SymbolRef],
    specs: Mapping[str, SymbolSpec],
    terms: Mapping[str, MarginTerms],
    series: Mapping[str, StoredSeries],
    *,
    start_ms: int,
    end_ms: int,
) -> Iterator[str]:
    """What a reader of the result should know, one line a symbol and thing."""
    for ref in refs:
        stored = series.get(ref.key)
        if config.account.mark != "last":
            yield f"{ref.key}: equity and margin at the {config.account.mark} price"
        if ref.key in terms:
            found = terms[ref.key]
            rate = found.tiers.tiers[0].maintenance_frac
            tiers = (
                f"{len(found.tiers.tiers)} stored tiers"
                if specs[ref.key].leverage_tiers
                else f"{rate:f} of the value at any size, for no tiers are stored (bt data instruments)"
            )
            yield f"{ref.key}: leverage {found.leverage}, {config.account.margin} margin, maintenance by {tiers}"
            price = (
                f"the {stored.series.kind} price, bars of {stored.series.timeframe}"
                if stored is not None
                else f"the last price: no mark prices are stored in bars of {config.run.execution_timeframe} or shorter"
            )
            yield f"{ref.key}: liquidation on {price}"
        if stored is not None and (stored.first_ms > start_ms or stored.last_ms < end_ms):
            reach = f"from {iso_text(stored.first_ms)} to {iso_text(stored.last_ms)}"
            yield f"{ref.key}: {stored.series.kind} prices are stored {reach} UTC only; liquidation on the last price beyond"
