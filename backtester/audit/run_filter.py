"""Conditions on runs, such as `sharpe>1`, `strategy=sma_extended`, `status!=complete`; and the order in which runs are shown."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from backtester.audit.run_index import RunRow
from backtester.domain.errors import ConfigError
from backtester.domain.timeframe import parse_time_ms

_CONDITION = re.compile(r"\s*(?P<field>[A-Za-z_]+)\s*(?P<sign>!=|>=|<=|=|>|<|~)\s*(?P<value>.*?)\s*", re.DOTALL)
_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class _Field(NamedTuple):
    """How a field is read from a row, and what it is: a number, a time, a flag or words."""

    kind: str
    value: Callable[[RunRow], Any]


FIELDS: dict[str, _Field] = {
    "id": _Field("words", lambda row: (row.run_id,)),
    "status": _Field("words", lambda row: (row.status,)),
    "strategy": _Field("words", lambda row: (row.strategy, short_name(row.strategy))),
    "symbols": _Field("words", lambda row: row.symbols),
    "exchange": _Field("words", lambda row: (row.exchange,)),
    "market": _Field("words", lambda row: (row.market,)),
    "timeframe": _Field("words", lambda row: (row.timeframe,)),
    "fingerprint": _Field("words", lambda row: (row.data_fingerprint,)),
    "digest": _Field("words", lambda row: (row.digest,)),
    "created": _Field("time", lambda row: row.created),
    "start": _Field("time", lambda row: row.start),
    "end": _Field("time", lambda row: row.end),
    "return": _Field("number", lambda row: row.total_return),
    "sharpe": _Field("number", lambda row: row.sharpe),
    "drawdown": _Field("number", lambda row: row.max_drawdown),
    "trades": _Field("number", lambda row: row.trades),
    "trials": _Field("number", lambda row: row.trials),
    "seed": _Field("number", lambda row: row.seed),
    "synthetic": _Field("flag", lambda row: row.synthetic),
    "pinned": _Field("flag", lambda row: row.pinned),
}
"""By the name that is typed."""
_OTHER_NAMES = {
    "run_id": "id",
    "symbol": "symbols",
    "when": "created",
    "total_return": "return",
    "max_drawdown": "drawdown",
    "data_fingerprint": "fingerprint",
}


def short_name(strategy: str) -> str:
    """`file.py:Class` for a strategy in a file, without its directory; other names as they are."""
    return strategy.rpartition("/")[2] if ".py" in strategy else strategy


def condition(text: str) -> Callable[[RunRow], bool]:
    """Whether a run fulfils `text`: FIELD, one of = != > >= < <= ~ (contains), VALUE.

    Numbers may be percentages (`return>5%`), words may hold `*`, times are ISO and UTC (`created>=2025-05-01`). A figure that is
    undefined fulfils nothing but `!=`. Raises ConfigError saying what is wrong with the text.
    """
    match = _CONDITION.fullmatch(text)
    if match is None or not match["value"]:
        raise ConfigError(f"filter {text!r} is no condition; write one such as sharpe>1, status=complete or strategy~sma")
    name, field = field_named(match["field"])
    sign, value = match["sign"], match["value"]
    if field.kind in {"words", "flag"} and sign not in ({"=", "!=", "~"} if field.kind == "words" else {"=", "!="}):
        raise ConfigError(f"filter {text!r}: {name} has no order; use {name}= or {name}!=")
    if field.kind == "words":
        return _words_condition(field, sign, value)
    if sign == "~":
        raise ConfigError(f"filter {text!r}: ~ is for words; use = != > >= < or <= with {name}")
    wanted = _wanted(field.kind, text, value)
    compare, read = _SIGNS[sign], _comparable if field.kind == "time" else _as_it_is

    def holds(row: RunRow) -> bool:
        found = read(field.value(row))
        return compare(found, wanted) if found is not None else sign == "!="

    return holds


def ordered(rows: Sequence[RunRow], by: str) -> list[RunRow]:
    """The rows by one field: numbers from the largest down, times from the newest, words from A; without a value last.

    Raises ConfigError when there is no such field.
    """
    field = field_named(by)[1]
    read = (lambda value: " ".join(value).lower()) if field.kind == "words" else _as_it_is
    keyed = [(read(field.value(row)), row) for row in rows]
    with_value = [(key, row) for key, row in keyed if key not in {None, ""}]
    with_value.sort(key=lambda pair: pair[0], reverse=field.kind != "words")
    return [row for _, row in with_value] + [row for key, row in keyed if key in {None, ""}]


def field_named(word: str) -> tuple[str, _Field]:
    """The field that is meant. Raises ConfigError with the nearest name when there is none."""
    name = _OTHER_NAMES.get(word.lower(), word.lower())
    if name not in FIELDS:
        near = get_close_matches(name, [*FIELDS, *_OTHER_NAMES], n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"runs have no field {word!r}; {hint}There are {', '.join(FIELDS)}")
    return name, FIELDS[name]


def _words_condition(field: _Field, sign: str, value: str) -> Callable[[RunRow], bool]:
    if sign == "~":
        return lambda row: any(value.lower() in word.lower() for word in field.value(row))
    positive = sign == "="
    return lambda row: any(fnmatchcase(word, value) for word in field.value(row)) is positive


def _wanted(kind: str, text: str, value: str) -> float | int | bool:
    if kind == "time":
        return parse_time_ms(value, what=f"filter {text!r}: the time")
    if kind == "flag":
        if value.lower() not in _FLAGS:
            raise ConfigError(f"filter {text!r}: {value!r} is neither true nor false")
        return _FLAGS[value.lower()]
    number, percent = (value[:-1], 100) if value.endswith("%") else (value, 1)
    try:
        return float(number) / percent
    except ValueError:
        raise ConfigError(f"filter {text!r}: {value!r} is no number") from None


def _as_it_is(value: Any) -> Any:
    return value


def _comparable(value: str) -> int | None:
    try:
        return parse_time_ms(value) if value else None
    except ConfigError:
        return None
