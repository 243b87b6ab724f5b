"""Trading rules in the catalog, with validity in time: `<base>/<venue>/<market>/instruments.json`.

A venue's answer tells what holds when it is given. So every stored value keeps the times at which it was said, and holds from
the first of them until another value was said. That makes the file a function of the answers alone, in whichever order they
came, and an answer that says what the one before it said changes no validity.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import msgspec

from backtester.data.instrument_record import Fees, Funding, InstrumentAnswer, InstrumentRecord, Rules
from backtester.data.object_store import is_remote, shown
from backtester.data.partial_file import write_whole
from backtester.data.series import LIVE, series_of
from backtester.domain.errors import ConfigError, DataError, DataQualityError, StorageError
from backtester.domain.instruments import SymbolSpec
from backtester.domain.tiers import LeverageTier
from backtester.domain.timeframe import iso_text
from backtester.domain.vocabulary import Market

FILE_NAME = "instruments.json"
FORMAT = 1
PARTS = ("rules", "leverage_tiers", "fees", "funding")
"""What of an instrument is told by answers of its own, and so has a history of its own."""
_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9._-]{0,63}")

Value = TypeVar("Value")
Tiers = tuple[LeverageTier, ...]


class Version(msgspec.Struct, Generic[Value], frozen=True, kw_only=True, omit_defaults=True):
    """One value over [valid_from_ms, valid_to_ms), and when it was said; open at the end until something else is said."""

    valid_from_ms: int
    valid_to_ms: int | None = None
    seen_ms: tuple[int, ...]
    value: Value


class StoredInstrument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that was said of one symbol, part by part, in order of time."""

    rules: tuple[Version[Rules], ...] = ()
    leverage_tiers: tuple[Version[Tiers], ...] = ()
    fees: tuple[Version[Fees], ...] = ()
    funding: tuple[Version[Funding], ...] = ()


class InstrumentFile(msgspec.Struct, frozen=True, kw_only=True):
    """One market's instruments by symbol; `sources` says of each part and time (ms) where the answer came from."""

    exchange: str
    market: str
    network: str
    sources: dict[str, dict[str, str]]
    instruments: dict[str, StoredInstrument]
    format: int = FORMAT

    def specs(self, symbol: str) -> tuple[SymbolSpec, ...]:
        """See `InstrumentStore.specs`."""
        stored = self.instruments.get(symbol)
        return () if stored is None else tuple(_specs(self, symbol, stored))


class StoreReport(NamedTuple):
    """What an answer changed: symbols that were unknown, that have other rules than said before, and that have the same.

    `notes` are those of the answer, and the symbols that cannot be stored.
    """

    new: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    notes: tuple[str, ...]


class InstrumentStore:
    """The instruments of a catalog. Reading changes nothing; writing is whole or not at all."""

    def __init__(self, base: Path | str) -> None:
        self.base = Path(base)

    def path(self, exchange: str, market: str, network: str = LIVE) -> Path:
        """Where a market's instruments stand. Raises ConfigError for names that cannot be directories."""
        return (
            self.base
            / series_of(exchange=exchange, market=market, symbol="X", timeframe="1m", network=network).venue
            / market
            / FILE_NAME
        )

    def symbols(self, exchange: str, market: str, network: str = LIVE) -> tuple[str, ...]:
        """The symbols of which rules are stored, sorted. Raises DataError when the file cannot be read."""
        held = self.read(exchange, market, network)
        return () if held is None else tuple(sorted(symbol for symbol, one in held.instruments.items() if one.rules))

    def specs(self, exchange: str, market: str, symbol: str, network: str = LIVE) -> tuple[SymbolSpec, ...]:
        """The rules of a symbol in order of time; empty where none are stored.

        Before it was first said, a part of a spec (such as the leverage tiers) is what it was when it was first said.
        Raises: DataError - the file cannot be read. ConfigError - a number that the engine cannot hold.
        """
        held = self.read(exchange, market, network)
        return () if held is None else held.specs(symbol)

    def read(self, exchange: str, market: str, network: str = LIVE) -> InstrumentFile | None:
        """A market's file; None where there is none. Raises DataError naming the file that cannot be read."""
        path = self.path(exchange, market, network)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror})") from error
        try:
            held = msgspec.json.decode(content, type=InstrumentFile)
        except (msgspec.DecodeError, ConfigError) as error:
            raise DataError(f"{path} is damaged ({error}); move it away and fetch or import the instruments again") from error
        if held.format != FORMAT:
            raise DataError(f"{path} has format {held.format}, this version reads {FORMAT}; update the program")
        return held

    def store(self, answer: InstrumentAnswer) -> StoreReport:
        """What `answer` says is stored at its time; said again, nothing changes.

        Raises: DataQualityError - another value is stored of the same time: then nothing is written. StorageError - the disk.
        """
        path = self.path(answer.exchange, answer.market, answer.network)
        with _locked(path.parent):
            held = self.read(answer.exchange, answer.market, answer.network)
            instruments = dict(held.instruments) if held is not None else {}
            sources = {part: dict(times) for part, times in held.sources.items()} if held is not None else {}
            new: list[str] = []
            changed: list[str] = []
            unchanged: list[str] = []
            notes = list(answer.notes)
            for record in answer.records:
                if not _SYMBOL.fullmatch(record.symbol):
                    notes.append(f"{record.symbol!r} is left out: the catalog has no such names")
                    continue
                before = instruments.get(record.symbol, StoredInstrument())
                after = _with(before, record, answer)
                instruments[record.symbol] = after
                kind = new if before == StoredInstrument() else unchanged if _timeless(before) == _timeless(after) else changed
                kind.append(record.symbol)
            for part in {part: None for record in answer.records for part in _said(record)}:
                known = sources.setdefault(part, {})
                given = str(answer.time_ms)
                known[given] = min(answer.source, known.get(given, answer.source))
            after_file = InstrumentFile(
                exchange=answer.exchange, market=answer.market, network=answer.network, sources=sources, instruments=instruments
            )
            if after_file != held:
                _replace(path, msgspec.json.format(msgspec.json.encode(after_file, order="deterministic"), indent=1))
        return StoreReport(tuple(sorted(new)), tuple(sorted(changed)), tuple(sorted(unchanged)), tuple(notes))


# -- versions ------------------------------------------------------------------------------------------------------------


def versions_with(versions: Iterable[Version[Value]], time_ms: int, value: Value, *, what: str) -> tuple[Version[Value], ...]:
    """The versions after `value` was said at `time_ms`: the same whichever order answers come in.

    Raises DataQualityError when another value was said at that very time.
    """
    said = {seen_ms: version.value for version in versions for seen_ms in version.seen_ms}
    if said.setdefault(time_ms, value) != value:
        raise DataQualityError(
            f"{what}: two answers of {iso_text(time_ms)} UTC differ; nothing was stored; state the right time of each with --at"
        )
    runs: list[tuple[list[int], Value]] = []
    for seen_ms in sorted(said):
        if runs and runs[-1][1] == said[seen_ms]:
            runs[-1][0].append(seen_ms)
        else:
            runs.append(([seen_ms], said[seen_ms]))
    ends = [*(times[0] for times, _ in runs[1:]), None]
    return tuple(
        Version(valid_from_ms=times[0], valid_to_ms=end_ms, seen_ms=tuple(times), value=value_then)
        for (times, value_then), end_ms in zip(runs, ends, strict=True)
    )


def _said(record: InstrumentRecord) -> Iterator[str]:
    return (part for part in PARTS if getattr(record, part) is not None)


def _with(before: StoredInstrument, record: InstrumentRecord, answer: InstrumentAnswer) -> StoredInstrument:
    what = f"{answer.exchange} {answer.market} {record.symbol}"
    changes = {
        part: versions_with(getattr(before, part), answer.time_ms, getattr(record, part), what=f"{what} {part}")
        for part in _said(record)
    }
    return msgspec.structs.replace(before, **changes)


def _timeless(stored: StoredInstrument) -> list[list[tuple[int, object]]]:
    """The values and from when they hold, without how often they were said."""
    return [[(version.valid_from_ms, version.value) for version in getattr(stored, part)] for part in PARTS]


def _at(versions: tuple[Version[Value], ...], time_ms: int) -> Value | None:
    """The value at `time_ms`, before the first the first; None where nothing was ever said."""
    found = versions[0].value if versions else None
    for version in versions:
        if version.valid_from_ms <= time_ms:
            found = version.value
    return found


def _specs(held: InstrumentFile, symbol: str, stored: StoredInstrument) -> Iterator[SymbolSpec]:
    """One spec for each stretch over which all parts are the same."""
    cuts = {
        *(tiers.valid_from_ms for tiers in stored.leverage_tiers[1:]),
        *(fees.valid_from_ms for fees in stored.fees[1:]),
        *(funding.valid_from_ms for funding in stored.funding[1:]),
    }
    for version in stored.rules:
        end_ms = version.valid_to_ms
        inside = sorted(cut for cut in cuts if version.valid_from_ms < cut and (end_ms is None or cut < end_ms))
        source = held.sources.get("rules", {}).get(str(version.valid_from_ms), "")
        for start_ms, stop_ms in zip((version.valid_from_ms, *inside), (*inside, end_ms), strict=True):
            yield _spec(
                held,
                symbol,
                version.value,
                tiers=_at(stored.leverage_tiers, start_ms) or (),
                fees=_at(stored.fees, start_ms),
                funding=_at(stored.funding, start_ms),
                span=(start_ms, stop_ms),
                source=source,
            )


def _spec(
    held: InstrumentFile,
    symbol: str,
    rules: Rules,
    *,
    tiers: Tiers,
    fees: Fees | None,
    funding: Funding | None,
    span: tuple[int, int | None],
    source: str,
) -> SymbolSpec:
    shared = msgspec.structs.asdict(rules)
    del shared["contract_type"], shared["status"]
    return SymbolSpec(
        symbol=symbol,
        exchange=held.exchange,
        market=Market(held.market),
        valid_from_ms=span[0],
        valid_to_ms=span[1],
        source=source,
        leverage_tiers=tiers,
        maker_bps=fees.maker_bps if fees is not None else None,
        taker_bps=fees.taker_bps if fees is not None else None,
        funding_interval_h=funding.interval_h if funding is not None else None,
        **shared,
    )


# -- files ---------------------------------------------------------------------------------------------------------------


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One writer at a time, of all processes: the lock is the directory itself, so nothing is left behind."""
    if is_remote(directory):
        raise ConfigError(f"{shown(directory)}: instruments are stored in a local catalog only; name one with --data")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory, os.O_RDONLY)
    except OSError as error:
        raise StorageError(f"cannot write to {directory}: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _replace(path: Path, content: bytes) -> None:
    try:
        write_whole(path, content + b"\n")
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}; what was stored before is as it was") from error
