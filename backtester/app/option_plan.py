"""The options of a run: the terms of their venues, the prices of what they are on, and how each is settled at its expiry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from backtester.app.market_data import MarketData, SymbolRef
from backtester.app.underlying import Underlying, find_underlying
from backtester.config.option_terms import option_terms
from backtester.config.run_config import RunConfig
from backtester.domain.delivery import Expiry
from backtester.domain.errors import ConfigError, DataUnavailableError
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import price_e8
from backtester.domain.option_terms import OptionTerms
from backtester.domain.timeframe import DAY_MS, MINUTE_MS, iso_text
from backtester.engine.clock import Clock

AVERAGED_MS = 30 * MINUTE_MS
"""The settlement price is the mean of the index over the last half hour (exchange_semantics.md, section 4.4)."""


class CloseReader(Protocol):
    """Stored prices of underlyings by the option that is on them."""

    def close_at(self, symbol: str, time_ms: int) -> float | None:
        """The last close known at a time; None where none is stored."""


class IndexPrices:
    """The price of each option's underlying, as it is known now."""

    def __init__(self, reader: CloseReader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock

    def index_e8(self, symbol: str) -> int:
        """In 1e-8 quote. Raises DataUnavailableError where no price is stored up to now."""
        now_ms = self._clock.now_ms
        close = self._reader.close_at(symbol, now_ms)
        if close is None:
            raise DataUnavailableError(f"{symbol}: no price of its underlying is stored up to {iso_text(now_ms)} UTC")
        return price_e8(close)


class OptionPlan(NamedTuple):
    """`terms` and `underlyings` by option, empty in a run without options; `expiries` in the run, in order of time."""

    terms: Mapping[str, OptionTerms] = {}
    underlyings: Mapping[str, Underlying] = {}
    expiries: tuple[Expiry, ...] = ()
    notes: tuple[str, ...] = ()
    start_ms: int = 0
    end_ms: int = 0

    def open_index(self, clock: Clock) -> IndexPrices:
        """The prices of the underlyings from the beginning."""
        from backtester.data.mark_bars import MarkBars, MarkSource

        sources = {
            key: MarkSource(one.read(self.start_ms - DAY_MS, self.end_ms), one.length_ms) for key, one in self.underlyings.items()
        }
        return IndexPrices(MarkBars(sources), clock)


def plan_options(
    config: RunConfig,
    refs: Sequence[SymbolRef],
    specs: Mapping[str, SymbolSpec],
    *,
    market: MarketData,
    start_ms: int,
    end_ms: int,
) -> OptionPlan:
    """What a run must know of its options before it starts.

    Raises: ConfigError - an option that has expired before the start, leverage or hedge mode beside options, an index of no option.
            DataUnavailableError - no prices of an underlying are stored at the start or at an expiry.
    """
    options = [ref for ref in refs if specs[ref.key].option is not None]
    bases = dict.fromkeys(specs[ref.key].base for ref in options)
    for base in config.sim.underlying:
        if base not in bases:
            raise ConfigError(f"sim.underlying names {base}, on which this run has no option ({', '.join(bases) or 'it has none'})")
    if not options:
        return OptionPlan()
    if config.account.leverage > 1 or any(leverage > 1 for leverage in config.account.leverage_by_symbol.values()):
        raise ConfigError(f"{options[0].key}: a run with options takes no leverage; leave account.leverage at 1 in all symbols")
    if config.account.position_mode == "hedge":
        raise ConfigError(f"{options[0].key}: options have one position; use account.position_mode = one_way")
    underlyings: dict[str, Underlying] = {}
    expiries: list[Expiry] = []
    notes: list[str] = []
    for ref in options:
        spec = specs[ref.key]
        expires_ms = spec.expires_ms if spec.expires_ms is not None else end_ms + 1
        if expires_ms <= start_ms:
            raise ConfigError(f"{ref.key} expired at {iso_text(expires_ms)} UTC, before the run's start {iso_text(start_ms)}")
        found = underlyings[ref.key] = find_underlying(
            config, refs, ref, spec, market=market, start_ms=start_ms, end_ms=min(end_ms, expires_ms)
        )
        own = config.sim.symbols.get(ref.key)
        if own is None or own.spread_bps is None:
            notes.append(f"{ref.key}: half of a spread of {config.sim.option_spread_bps} bps on taker fills")
        notes.append(f"{ref.key}: index is {found.name}; {option_terms(ref.exchange).name}: {option_terms(ref.exchange).source}")
        if expires_ms > end_ms:
            notes.append(f"{ref.key}: expires at {iso_text(expires_ms)} UTC, after the run's end: what is held stays open")
            continue
        expiry = settled_at(ref.key, found, expires_ms)
        expiries.append(expiry)
        price = "the last close, for no average over half an hour is stored" if expiry.is_last else "the mean of the last half hour"
        notes.append(f"{ref.key}: settled at {price}, of {found.name}")
    expiries.sort(key=lambda one: one.time_ms)
    terms = {ref.key: option_terms(ref.exchange) for ref in options}
    return OptionPlan(terms, underlyings, tuple(expiries), tuple(notes), start_ms, end_ms)


def settled_at(key: str, underlying: Underlying, expires_ms: int) -> Expiry:
    """The mean of the closes of the last half hour where all are stored, else the last close of the day before, flagged."""
    length_ms = underlying.length_ms
    closes = dict(_closes(underlying, expires_ms - DAY_MS, expires_ms))
    last = max((start_ms for start_ms in closes if start_ms + length_ms <= expires_ms), default=None)
    if last is None:
        raise DataUnavailableError(
            f"{key}: no price of its underlying {underlying.name} is stored in the day before its expiry at "
            f"{iso_text(expires_ms)} UTC; import it, name another with sim.underlying, or end the run before"
        )
    index_e8 = price_e8(closes[last])
    wanted = range(expires_ms - AVERAGED_MS, expires_ms, length_ms) if AVERAGED_MS % length_ms == 0 else range(0)
    held = [closes[start_ms] for start_ms in wanted if start_ms in closes]
    if wanted and len(held) == len(wanted):
        total = sum(price_e8(close) for close in held)
        return Expiry(expires_ms, key, (2 * total + len(held)) // (2 * len(held)), index_e8)
    return Expiry(expires_ms, key, index_e8, index_e8, is_last=True)


def _closes(underlying: Underlying, start_ms: int, end_ms: int) -> Iterator[tuple[int, float]]:
    for table in underlying.read(start_ms, end_ms):
        yield from zip(table.column("start_ms").to_numpy().tolist(), table.column("close").to_numpy().tolist(), strict=True)
