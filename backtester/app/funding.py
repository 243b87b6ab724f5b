"""The funding that a run will be charged: stored settlements with their mark prices, and what to do about holes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from backtester.app.funding_holes import LONGEST_MS, Span, StoredSettlement, with_holes
from backtester.app.market_data import SymbolRef
from backtester.config.run_config import RunConfig
from backtester.data.catalog import Catalog
from backtester.data.event_merge import EventMerge, Selection
from backtester.data.file_parts import numbers_of
from backtester.data.series import Series, series_of
from backtester.domain.funding import nominal_time_ms
from backtester.domain.future_names import delivers_ms
from backtester.domain.money import price_e8
from backtester.domain.settlement import Settlement
from backtester.domain.timeframe import DAY_MS, HOUR_MS, iso_text
from backtester.domain.vocabulary import Market


class Funding(NamedTuple):
    """The settlements of all symbols in order of time, and what a reader of the result should know."""

    settlements: tuple[Settlement, ...]
    notes: tuple[str, ...]


def stored_funding(config: RunConfig, refs: Sequence[SymbolRef], *, start_ms: int, end_ms: int) -> Funding:
    """Settlements in (start, end] of the run's derivatives, as far as the catalog holds their series.

    Raises DataUnavailableError where a series has a hole in the range and `sim.funding_hole` is `fail`. Before its first row and
    after its last one nothing is charged, and a note says so: a contract that is not listed yet, or no more, settles nothing.
    """
    funded = (Market.LINEAR.value, Market.INVERSE.value)
    derivatives = [ref for ref in refs if ref.market in funded and delivers_ms(ref.name) is None]  # dated futures have none
    if not derivatives:
        return Funding((), ())
    if config.sim.funding == "off" or config.data.source != "catalog":
        return Funding((), ("funding not charged",))
    catalog = Catalog(config.data.data_path if "://" in config.data.data_path else Path(config.data.data_path))
    settlements: list[Settlement] = []
    notes: list[str] = []
    for ref in derivatives:
        series = _series(ref, kind="funding")
        if not catalog.months(series):
            notes.append(f"{ref.key}: funding not charged, no series is stored")
            continue
        stored = next(one for one in catalog.all_series(ref.name) if one.series == series)
        rows = _rows(catalog, ref, start_ms, end_ms)
        span = Span(start_ms, end_ms, has_before=stored.first_ms <= start_ms, has_after=stored.last_ms > end_ms)
        found = list(with_holes(rows, ref, span, charge=config.sim.funding_hole == "charge"))
        assumed = sum(one.is_assumed for one in found)
        settlements += found
        notes.append(
            f"{ref.key}: {len(found)} funding settlements"
            + (f", {assumed} of them assumed at 1 bp per 8 h against the position" if assumed else "")
        )
        notes += _uncovered(ref, found, span)
    index = {ref.key: number for number, ref in enumerate(refs)}
    settlements.sort(key=lambda one: (one.time_ms, index[one.symbol]))
    return Funding(tuple(settlements), tuple(notes))


def _series(ref: SymbolRef, *, kind: str, timeframe: str | None = None) -> Series:
    exchange, _, network = ref.exchange.partition(".")
    return series_of(
        exchange=exchange, market=ref.market, symbol=ref.name, kind=kind, timeframe=timeframe, network=network or "live"
    )


def _rows(catalog: Catalog, ref: SymbolRef, start_ms: int, end_ms: int) -> list[StoredSettlement]:
    """The stored settlements of the range and of a day around it, each with the open of the mark bar that begins then, if any."""
    funding = Selection(_series(ref, kind="funding"), ("time_ms", "rate", "mark_price", "interval_hours"))
    found = []
    marks = _marks(catalog, ref, start_ms, end_ms)
    merge = EventMerge([funding], catalog.read_tables, start_us=(start_ms - DAY_MS) * 1000, end_us=(end_ms + DAY_MS) * 1000)
    for _, _, (stamp_ms, rate, mark, hours) in merge.rows():
        time_ms = nominal_time_ms(stamp_ms)
        price = marks.get(time_ms, mark)
        settlement = Settlement(time_ms, ref.key, Decimal(repr(rate)), None if price is None else price_e8(price))
        found.append(StoredSettlement(settlement, round(hours * HOUR_MS) if hours else None))
    return found


def _marks(catalog: Catalog, ref: SymbolRef, start_ms: int, end_ms: int) -> Mapping[int, float]:
    """Opens of stored mark bars by their start; of several timeframes the finest."""
    wanted = _series(ref, kind="mark", timeframe="1m")
    stored = [one for one in catalog.series_of(ref.name) if one._replace(timeframe="1m") == wanted]
    opens: dict[int, float] = {}
    for series in sorted(stored, key=lambda one: -one.length_ms):
        for table in catalog.read_tables(series, start_ms, end_ms + 1):
            starts_ms: list[int] = numbers_of(table, "start_ms", where=series).tolist()
            prices: list[float] = numbers_of(table, "open", where=series).tolist()
            opens.update((start, price) for start, price in zip(starts_ms, prices, strict=True) if start % HOUR_MS == 0)
    return opens


def _uncovered(ref: SymbolRef, found: Sequence[Settlement], span: Span) -> Iterator[str]:
    """What a reader should know of the ends of the range that the series does not reach."""
    if not found:
        yield f"{ref.key}: funding not charged, none is stored in the range"
        return
    first_ms, last_ms = found[0].time_ms, found[-1].time_ms
    if first_ms - span.start_ms > LONGEST_MS:
        what = "a hole in the stored series ends" if span.has_before else "the stored series begins"
        yield f"{ref.key}: funding not charged before {iso_text(first_ms)} UTC, where {what}"
    if span.end_ms - last_ms > LONGEST_MS:
        what = "a hole in the stored series begins" if span.has_after else "the stored series ends"
        yield f"{ref.key}: funding not charged after {iso_text(last_ms)} UTC, where {what}"
