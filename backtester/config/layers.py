"""Layers of a configuration as plain tables: checked one by one with the place they come from, then laid over each other."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from backtester.config.run_config import RunConfig, Section, StrategySection
from backtester.domain.errors import ConfigError

SectionT = TypeVar("SectionT", bound=Section)

SECTIONS: dict[str, type[Section]] = {
    name: kind for name, kind in get_type_hints(RunConfig).items() if isinstance(kind, type) and issubclass(kind, Section)
}
"""The tables of a configuration; [[strategies]] stands apart, it is a list."""

OFF = "off"
"""How an optional value is written as absent: TOML has no null, and leaving it out means the layer below."""

_PLACE = re.compile(r" - at `\$(?P<path>.*)`$")
_FEES = frozenset({"fee_bps"}), frozenset({"maker_bps", "taker_bps"})


class Info(Section, frozen=True, kw_only=True):
    """[info] of a strategy configuration; `strategy` says what its name stands for where that is no built-in."""

    name: str = ""
    description: str = ""
    strategy: str = ""


class Layer(NamedTuple):
    """What one source says: tables of the run, strategies, and parameters of the run's one strategy."""

    origin: str
    sections: dict[str, dict[str, Any]]
    strategies: tuple[StrategySection, ...] | None = None
    params: dict[str, Any] | None = None
    info: Info = Info()


def checked_layer(raw: Mapping[str, Any], *, origin: str) -> Layer:
    """The layer that the tables of one file are. Raises ConfigError naming `origin`, key and the nearest valid one."""
    sections: dict[str, dict[str, Any]] = {}
    strategies: tuple[StrategySection, ...] | None = None
    params: dict[str, Any] | None = None
    info = Info()
    for name, table in plain(raw).items():
        if name == "strategies":
            strategies = _strategies(table, origin)
            continue
        known_key(name, [*SECTIONS, "strategies", "info", "params"], what="section", origin=origin)
        if not isinstance(table, dict):
            raise ConfigError(f"{origin}: {name} must be a table [{name}], it is {table!r}")
        if name == "params":
            params = table
        elif name == "info":
            info = _converted(table, Info, prefix="info", origin=origin)
        else:
            sections[name] = checked_section(name, table, origin=origin)
    return Layer(origin, sections, strategies, params, info)


def checked_section(name: str, table: dict[str, Any], *, origin: str, strict: bool = True) -> dict[str, Any]:
    """The values of section `name`, of the types that it has; `off` becomes None where a value is optional."""
    kind = SECTIONS[name]
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for key, value in table.items():
        known_key(key, list(hints), what="key", origin=f"{origin}: [{name}]")
        absent = value is None or value is False or value == OFF
        values[key] = None if absent and NoneType in get_args(hints[key]) else value
    section = _converted(values, kind, prefix=name, origin=origin, strict=strict)
    return {key: getattr(section, key) for key in values}


def merged(lower: Mapping[str, dict[str, Any]], upper: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """`lower` with `upper` laid over it. Either way of stating fees replaces the other."""
    result = {name: dict(table) for name, table in lower.items()}
    for name, table in upper.items():
        below = result.setdefault(name, {})
        if name == "sim":
            for stated, replaced in (_FEES, _FEES[::-1]):
                if any(table.get(key) is not None for key in stated):
                    for key in replaced:
                        below.pop(key, None)
        below.update(table)
    return result


def parse_setting(text: str) -> tuple[str, str, Any]:
    """(section, key, value) of `section.key=value`; the value is TOML where it is valid TOML, else text."""
    target, equals, value_text = text.partition("=")
    section, dot, key = target.strip().partition(".")
    if not (equals and dot and section and key):
        raise ConfigError(f"--set {text!r} is not section.key=value, such as sim.slippage_bps=0")
    return section, key, toml_value(value_text.strip())


def toml_value(text: str) -> Any:
    """What `text` means as a TOML value; the text itself where it is none."""
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return plain(table["value"]) if len(table) == 1 else text


def known_key(name: object, known: Iterable[str], *, what: str, origin: str) -> None:
    """Return when `name` is one of `known`; else raise ConfigError with the nearest."""
    names = list(known)
    if name in names:
        return
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"
    raise ConfigError(f"{origin}: unknown {what} {str(name)!r}; {hint}")


def plain(value: Any) -> Any:
    """`value` with dates and times as ISO text, all the way down: formats differ in what they read as a date."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, (datetime, date, time)) else value


def _strategies(table: Any, origin: str) -> tuple[StrategySection, ...]:
    if not isinstance(table, list) or not all(isinstance(row, dict) for row in table):
        raise ConfigError(f"{origin}: strategies must be a list of tables [[strategies]]")
    rows = []
    for row in table:
        for key in row:
            known_key(key, StrategySection.__struct_fields__, what="key", origin=f"{origin}: [[strategies]]")
        rows.append(_converted(row, StrategySection, prefix="strategies", origin=origin))
    return tuple(rows)


def _converted(table: dict[str, Any], kind: type[SectionT], *, prefix: str, origin: str, strict: bool = True) -> SectionT:
    try:
        return msgspec.convert(table, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{origin}: {_explained(str(error), kind, prefix=prefix)}") from None
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from None


def _explained(message: str, kind: type[Section], *, prefix: str) -> str:
    """msgspec's sentence with the key first, and the allowed words where there are only some."""
    place = _PLACE.search(message)
    path = place["path"] if place else ""
    key = re.split(r"[.\[]", path.lstrip("."), maxsplit=1)[0]
    words = _allowed_words(get_type_hints(kind).get(key))
    said = f"{_PLACE.sub('', message)}; allowed: {', '.join(words)}" if words else _PLACE.sub("", message)
    return f"{prefix}{path}: {said}"


def _allowed_words(hint: Any) -> list[str]:
    if get_origin(hint) is Literal:
        return [str(word) for word in get_args(hint)]
    if get_origin(hint) in {Union, UnionType}:
        return [word for part in get_args(hint) for word in _allowed_words(part)]
    return []
