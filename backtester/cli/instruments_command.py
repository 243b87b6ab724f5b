"""`bt data instruments`."""

from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from backtester.app.market_choice import market_name
from backtester.cli.parser import nearest
from backtester.cli.settings import catalog_directory
from backtester.data.instrument_record import InstrumentAnswer
from backtester.data.instrument_store import InstrumentStore
from backtester.data.series import NETWORKS
from backtester.data.sources.instrument_answers import read_answer
from backtester.data.sources.instrument_requests import VENUES, Answered, ask_instruments
from backtester.domain.errors import EXIT_DONE, ConfigError, DataUnavailableError, SchemaMismatchError
from backtester.domain.instruments import SymbolSpec
from backtester.domain.timeframe import iso_text, parse_time_ms
from backtester.report.terminal import print_table

_SHOWN = 40
_NOTES_SHOWN = 5
_SHA_SHOWN = 12
_WORDS = ("unchanged", "changed", "new")
"""What storing did to a symbol; of several answers the strongest counts."""
_HEADER = ("symbol", "", "tick", "lot", "min qty", "max qty", "min notional", "tiers", "funding", "trading", "in force since (UTC)")


def store_instruments(options: Namespace) -> int:
    """The venue's rules are in the catalog with the time from which they hold; what is new or changed is told."""
    exchange, market = options.exchange.lower(), market_name(options.market)
    if exchange not in VENUES:
        raise ConfigError(
            f"instruments of {exchange!r} cannot be read, only those of {', '.join(VENUES)}{nearest(exchange, VENUES)}; "
            "state the rules of others in configs/instruments.toml"
        )
    if options.network not in NETWORKS:
        raise ConfigError(f"network {options.network!r} is not known; use one of {', '.join(NETWORKS)}")
    if options.at is not None and options.file is None:
        raise ConfigError("--at says when a saved answer was given; it needs --file")
    symbols = [symbol for word in options.symbols or () for symbol in word.split(",") if symbol]
    store = InstrumentStore(catalog_directory(options))
    done: dict[str, str] = {}
    notes: list[str] = []
    seen: set[str] = set()
    for answer in _answers(options, exchange, market, symbols):
        seen.update(record.symbol for record in answer.records)
        report = store.store(_only(answer, symbols))
        notes += report.notes
        for word in _WORDS:
            for symbol in getattr(report, word):
                done[symbol] = max(word, done.get(symbol, word), key=_WORDS.index)
    notes += [f"{symbol} is not in the answer{nearest(symbol, seen)}" for symbol in symbols if symbol not in seen]
    if not done:
        raise DataUnavailableError("; ".join([f"nothing was stored of {exchange} {market}", *notes[:_NOTES_SHOWN]]))
    _tell(options, store, (exchange, market), done, notes)
    return EXIT_DONE


def _answers(options: Namespace, exchange: str, market: str, symbols: Sequence[str]) -> Iterator[InstrumentAnswer]:
    if options.file is not None:
        given: Iterator[Answered] = iter([_saved(Path(options.file), options.at)])
    else:
        given = ask_instruments(exchange, market, symbols, rest_url=options.rest_url, network=options.network, now_ms=_system_ms)
    for body, source, time_ms in given:
        answer = read_answer(body, exchange=exchange, market=market, source=source, time_ms=time_ms, now_ms=_system_ms)
        yield answer._replace(network=options.network)


def _saved(path: Path, at: str | None) -> Answered:
    """A saved answer. Raises ConfigError where there is no file, DataError where it is not JSON."""
    try:
        content = path.read_bytes()
        body = json.loads(content)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SchemaMismatchError(f"{path} is no JSON ({error}); expected an answer of the venue as it was received") from None
    source = f"{path.name} sha256 {sha256(content).hexdigest()[:_SHA_SHOWN]}"
    return Answered(body, source, None if at is None else parse_time_ms(at, what="--at"))


def _only(answer: InstrumentAnswer, symbols: Sequence[str]) -> InstrumentAnswer:
    if not symbols:
        return answer
    notes = tuple(note for note in answer.notes if any(note.startswith((f"{symbol} ", f"{symbol}:")) for symbol in symbols))
    return answer._replace(records=tuple(record for record in answer.records if record.symbol in symbols), notes=notes)


def _tell(options: Namespace, store: InstrumentStore, place: tuple[str, str], done: dict[str, str], notes: list[str]) -> None:
    path = store.path(*place, options.network)
    by_word = {word: sorted(symbol for symbol, how in done.items() if how == word) for word in reversed(_WORDS)}
    if options.json:
        print(json.dumps({"file": str(path), **by_word, "notes": notes}))
        return
    if options.quiet:
        return
    changed = [symbol for word in ("new", "changed") for symbol in by_word[word]]
    shown = (changed or by_word["unchanged"])[:_SHOWN]
    print_table(_HEADER, [_line(store, place, options.network, symbol, done[symbol]) for symbol in shown], sys.stdout)
    more = f", {len(shown)} of them shown" if len(shown) < len(changed) else ""
    print(f"{', '.join(f'{len(symbols):,} {word}' for word, symbols in by_word.items())}{more}; {path}")
    for note in notes[:_NOTES_SHOWN]:
        sys.stderr.write(f"bt: {note}\n")
    if len(notes) > _NOTES_SHOWN:
        sys.stderr.write(f"bt: and {len(notes) - _NOTES_SHOWN:,} more (--json has all)\n")


def _line(store: InstrumentStore, place: tuple[str, str], network: str, symbol: str, word: str) -> tuple[str, ...]:
    """A line of the table: the newest rules of a symbol."""
    try:
        specs = store.specs(*place, symbol, network)
    except ConfigError as error:
        return (symbol, word, str(error), *[""] * (len(_HEADER) - 3))
    if not specs:
        return (symbol, word, *[""] * (len(_HEADER) - 2))
    spec: SymbolSpec = specs[-1]
    numbers = (spec.tick_size, spec.lot_size, spec.min_qty, spec.max_qty, spec.min_notional)
    return (
        symbol,
        word,
        *("" if value is None else format(value, "f") for value in numbers),
        str(len(spec.leverage_tiers) or ""),
        f"{spec.funding_interval_h}h" if spec.funding_interval_h is not None else "",
        "" if spec.tradable else "no",
        iso_text(spec.valid_from_ms),
    )


def _system_ms() -> int:
    return time.time_ns() // 1_000_000  # noqa: TID251 - says when an answer without a time of its own was given
