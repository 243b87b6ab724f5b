"""What becomes of positions in a contract whose trading ends within a run without a delivery in its terms: a perpetual's."""

from __future__ import annotations

from collections.abc import Sequence

from backtester.app.future_plan import FuturePlan, index_of
from backtester.app.market_data import MarketData, SymbolRef
from backtester.app.option_plan import settled_at
from backtester.app.specs import SpecChange
from backtester.config.run_config import RunConfig
from backtester.domain.delivery import DELIVERY_FEE_FRAC, Expiry
from backtester.domain.errors import DataUnavailableError
from backtester.domain.timeframe import iso_text
from backtester.domain.vocabulary import Market

_SETTLED = (Market.LINEAR, Market.INVERSE)


def plan_delistings(
    config: RunConfig,
    refs: Sequence[SymbolRef],
    changes: Sequence[SpecChange],
    *,
    market: MarketData,
    start_ms: int,
    in_one_asset: bool = True,
) -> FuturePlan:
    """Each perpetual whose trading ends is settled then, as a dated future is delivered: at the mean of the last half hour.

    In a run of several settlement assets, or where nothing is stored of the day before, positions are kept, valued
    at the last close; a note says so. Spot coins are always kept.
    """
    expiries: list[Expiry] = []
    notes: list[str] = []
    by_key = {ref.key: ref for ref in refs}
    for change in changes:
        spec, ref = change.spec, by_key[change.spec.symbol]
        if not change.ended:
            continue
        when = iso_text(change.time_ms)
        kept = f"{ref.key}: instrument rules end trading at {when} UTC: what is held then is kept, valued at the last close"
        if spec.market not in _SETTLED or not in_one_asset:
            notes.append(kept)
            continue
        try:
            index = index_of(config, refs, ref, spec, market=market, start_ms=start_ms, end_ms=change.time_ms)
            expiry = settled_at(ref.key, index, change.time_ms)
        except DataUnavailableError:
            notes.append(f"{kept}, for no price is stored by which it could be settled")
            continue
        expiries.append(expiry)
        price = "the last close" if expiry.is_last else "the mean of the last half hour"
        fee = f"{DELIVERY_FEE_FRAC * 10_000:f} bps"
        notes.append(
            f"{ref.key}: instrument rules end trading at {when} UTC: positions are settled at {price} of {index.name}; fee {fee}"
        )
    return FuturePlan(tuple(expiries), tuple(notes))
