"""The dated futures of a run: when each is delivered, and at which price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from backtester.app.market_data import MarketData, SymbolRef
from backtester.app.option_plan import settled_at
from backtester.app.underlying import Underlying, find_underlying, of_run
from backtester.config.run_config import RunConfig
from backtester.domain.delivery import DELIVERY_FEE_FRAC, Expiry
from backtester.domain.errors import ConfigError, DataUnavailableError
from backtester.domain.instruments import SymbolSpec
from backtester.domain.timeframe import iso_text


class FuturePlan(NamedTuple):
    """`expiries` in the run, in order of time, and what a reader of the result should know."""

    expiries: tuple[Expiry, ...] = ()
    notes: tuple[str, ...] = ()

    def joined(self, other: FuturePlan) -> FuturePlan:
        """What ends by either plan."""
        expiries = sorted((*self.expiries, *other.expiries), key=lambda one: one.time_ms)
        return FuturePlan(tuple(expiries), (*self.notes, *other.notes))


def plan_futures(
    config: RunConfig,
    refs: Sequence[SymbolRef],
    specs: Mapping[str, SymbolSpec],
    *,
    market: MarketData,
    start_ms: int,
    end_ms: int,
) -> FuturePlan:
    """How each future that ends in the run is settled: at the mean of the index over the last half hour before.

    Where no prices of its index are stored, its own closes stand in for them; the two meet at the delivery.
    Raises: ConfigError - a future that was delivered before the start.
            DataUnavailableError - nothing is stored of it in the day before its delivery.
    """
    expiries: list[Expiry] = []
    notes: list[str] = []
    for ref in refs:
        spec = specs[ref.key]
        if spec.expires_ms is None or spec.option is not None:
            continue
        if spec.expires_ms <= start_ms:
            raise ConfigError(
                f"{ref.key} was delivered at {iso_text(spec.expires_ms)} UTC, before the run's start {iso_text(start_ms)}"
            )
        if spec.expires_ms > end_ms:
            notes.append(
                f"{ref.key}: is delivered at {iso_text(spec.expires_ms)} UTC, after the run's end: what is held stays open"
            )
            continue
        index = index_of(config, refs, ref, spec, market=market, start_ms=start_ms, end_ms=spec.expires_ms)
        expiry = settled_at(ref.key, index, spec.expires_ms)
        expiries.append(expiry)
        price = "the last close, for no average over half an hour is stored" if expiry.is_last else "the mean of the last half hour"
        when, fee = iso_text(spec.expires_ms), f"{DELIVERY_FEE_FRAC * 10_000:f} bps"
        notes.append(f"{ref.key}: delivered at {when} UTC, at {price} of {index.name}; fee {fee} of the value")
    return FuturePlan(tuple(sorted(expiries, key=lambda one: one.time_ms)), tuple(notes))


def index_of(
    config: RunConfig,
    refs: Sequence[SymbolRef],
    ref: SymbolRef,
    spec: SymbolSpec,
    *,
    market: MarketData,
    start_ms: int,
    end_ms: int,
) -> Underlying:
    """The prices that a contract which ends at `end_ms` is settled by: those of its index where stored, else its own closes."""
    try:
        return find_underlying(config, refs, ref, spec, market=market, start_ms=max(start_ms, end_ms - _LOOKED_MS), end_ms=end_ms)
    except DataUnavailableError:
        own = of_run(config, ref, market)
        return own._replace(name=f"{own.name} itself, no index of which is stored")


_LOOKED_MS = 3_600_000
"""An index must be stored for the last hour of a future, not for all of its life."""
