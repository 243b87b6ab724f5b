"""Which stored prices stand for the index of an option: those named by `sim.underlying`, else the nearest to it that are stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from backtester.app.market_data import MarketData, SymbolRef
from backtester.config.run_config import RunConfig
from backtester.data.catalog import Catalog, StoredSeries
from backtester.domain.errors import DataUnavailableError
from backtester.domain.instruments import SymbolSpec
from backtester.domain.timeframe import iso_text, timeframe_ms
from backtester.domain.vocabulary import Market

if TYPE_CHECKING:
    import pyarrow as pa

_KINDS = ("index", "candles")
_MARKETS = (Market.SPOT.value, Market.LINEAR.value)


class Underlying(NamedTuple):
    """Prices of an underlying: `read` gives tables (start_ms, open, high, low, close) of the bars that start in [start, end)."""

    name: str
    length_ms: int
    read: Callable[[int, int], Iterator[pa.Table]]


def find_underlying(
    config: RunConfig,
    refs: Sequence[SymbolRef],
    ref: SymbolRef,
    spec: SymbolSpec,
    *,
    market: MarketData,
    start_ms: int,
    end_ms: int,
) -> Underlying:
    """The prices that stand for the index of an option over [start, end].

    Without a name in `sim.underlying`: the stored index of BASE and quote on the option's venue, else its spot or linear candles
    in this run or stored, the finest first. Raises DataUnavailableError where none has a price by the start.
    """
    named = config.sim.underlying.get(spec.base, "")
    names = (named,) if named else tuple(dict.fromkeys((f"{spec.base}{spec.quote}", f"{spec.base}USDT", f"{spec.base}USD")))
    stored = _stored(config, ref, names, qualified=":" in named)
    index = [one for one in stored if one.kind == "index"]
    own = [other for other in refs if other.market in _MARKETS and (other.key in names or other.name in names)]
    for one in _reaching(index, start_ms, end_ms):
        return _of_catalog(config, one)
    for other in own:
        return of_run(config, other, market)
    for one in _reaching([one for one in stored if one.kind != "index"], start_ms, end_ms):
        return _of_catalog(config, one)
    held = "; ".join(
        f"{one.kind} {one.exchange}.{one.market}:{one.symbol} {one.timeframe} {iso_text(one.first_ms)} to {iso_text(one.last_ms)}"
        for one in stored
    )
    raise DataUnavailableError(
        f"{ref.key}: no prices of what it is on ({' or '.join(names)}) are stored from {iso_text(start_ms)} to {iso_text(end_ms)} "
        f"UTC, by which its fee, margin and settlement go{f' (stored: {held})' if held else ''}. Import candles or index prices of "
        f"it, put it among the run's symbols, or name it: --set 'sim.underlying={{{spec.base}=\"binance.linear:{spec.base}USDT\"}}'"
    )


def _stored(config: RunConfig, ref: SymbolRef, names: Sequence[str], *, qualified: bool) -> list[StoredSeries]:
    """Index prices and candles under these names, index before candles, spot before linear, finest first."""
    if config.data.source != "catalog":
        return []
    catalog = _catalog(config)
    found: list[StoredSeries] = []
    exchange, _, network = ref.exchange.partition(".")
    for name in names:
        place, _, symbol = name.rpartition(":")
        on, _, kind_of_market = place.partition(".")
        if not any(catalog.partitions(symbol)):
            continue
        found += [
            one
            for one in catalog.all_series(symbol)
            if one.kind in _KINDS
            and one.market in _MARKETS
            and one.network == (network or "live")
            and (one.exchange, one.market) == ((on, kind_of_market) if qualified else (exchange, one.market))
        ]
    return sorted(found, key=lambda one: (_KINDS.index(one.kind), _MARKETS.index(one.market), timeframe_ms(one.timeframe)))


def _reaching(series: Sequence[StoredSeries], start_ms: int, end_ms: int) -> Iterator[StoredSeries]:
    """Those that have a price by the start and one at the end."""
    for one in series:
        if one.first_ms <= start_ms and one.last_ms + timeframe_ms(one.timeframe) > end_ms:
            yield one


def _of_catalog(config: RunConfig, stored: StoredSeries) -> Underlying:
    catalog = _catalog(config)
    name = f"{stored.exchange}.{stored.market}:{stored.symbol} ({stored.kind}, {stored.timeframe})"
    return Underlying(
        name, timeframe_ms(stored.timeframe), lambda start_ms, end_ms: catalog.read_tables(stored.series, start_ms, end_ms)
    )


def of_run(config: RunConfig, ref: SymbolRef, market: MarketData) -> Underlying:
    """The execution bars of a symbol of this run."""
    timeframe = config.run.execution_timeframe

    def read(start_ms: int, end_ms: int) -> Iterator[pa.Table]:
        import pyarrow as pa

        for piece in market.read(ref.key, start_ms, end_ms):
            columns = {name: getattr(piece, name) for name in ("start_ms", "open", "high", "low", "close")}
            yield pa.table(columns)

    return Underlying(f"{ref.key} of this run ({timeframe})", timeframe_ms(timeframe), read)


def _catalog(config: RunConfig) -> Catalog:
    path = config.data.data_path
    return Catalog(path if "://" in path else Path(path))
