"""Writes a configuration so that it reads back equal, and hashes what of it decides a result."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Collection, Mapping
from decimal import Decimal
from pathlib import PurePath
from types import NoneType
from typing import Any, get_args, get_type_hints

import msgspec

from backtester.config.layers import OFF, SECTIONS
from backtester.config.run_config import RunConfig, Section

_NO_RESULT = (("data", "data_path"), ("run", "output"), ("sim", "latency_file"), ("engine", "routing"), ("risk", "kill_file"))
_FILE = re.compile(r"(?P<path>.*\.py)(?P<cls>:[^:/\\]+)?", re.DOTALL)


def dump_toml(config: RunConfig) -> str:
    """`config` as TOML that loads back equal. None is left out, or `"off"` where leaving it out would mean the default."""
    import tomli_w

    tables: dict[str, Any] = {name: _table(getattr(config, name)) for name in SECTIONS}
    tables["strategies"] = [
        {
            "name": section.name,
            **{key: getattr(section, key) for key in ("strategy_id", "timeframe") if getattr(section, key)},
            "params": _without_none(section.params),
        }
        for section in config.strategies
    ]
    return tomli_w.dumps(tables)


def config_hash(config: RunConfig, *, without: Collection[tuple[str, str]] = ()) -> str:
    """sha256 of everything in `config` that decides the result: neither paths, nor the output, nor how messages travel.

    `without` names more that is left out, as (section, key).
    """
    tables: dict[str, Any] = {name: msgspec.structs.asdict(getattr(config, name)) for name in SECTIONS}
    for section, key in (*_NO_RESULT, *without):
        tables[section].pop(key, None)
    tables["strategies"] = [
        {"name": _without_directory(section.name), "strategy_id": section.strategy_id, "timeframe": section.timeframe}
        | {"params": section.params}
        for section in config.strategies
    ]
    return hashlib.sha256(msgspec.json.encode(_canonical(tables), order="deterministic")).hexdigest()


def unnamed_settings(config: RunConfig, text: str) -> list[tuple[str, str]]:
    """(section, key) of the settings of `config` that a dumped configuration does not name though they are set.

    A run dumps all that are: they are settings that the version which ran it did not know.
    """
    named = tomllib.loads(text)
    tables = {name: _table(getattr(config, name)) for name in SECTIONS}
    return [(name, key) for name, table in tables.items() for key in table if key not in named.get(name, {})]


def _table(section: Section) -> dict[str, Any]:
    usual = dict(zip(reversed(section.__struct_fields__), reversed(section.__struct_defaults__), strict=False))
    table: dict[str, Any] = {}
    for key, value in msgspec.structs.asdict(section).items():
        if value is not None:
            table[key] = _toml_value(value)
        elif usual.get(key) is not None and NoneType in get_args(get_type_hints(type(section))[key]):
            table[key] = OFF
    return table


def _toml_value(value: Any) -> Any:
    """A section inside a section is a table, one by name are tables."""
    if isinstance(value, Section):
        return _table(value)
    if isinstance(value, Mapping):
        return {key: _toml_value(inner) for key, inner in value.items()}
    return _toml_number(value) if isinstance(value, Decimal) else value


def _toml_number(value: Decimal) -> int | float | str:
    """A TOML number where it reads back as exactly `value`, else its text."""
    if value == int(value):
        return int(value)
    return float(value) if Decimal(repr(float(value))) == value else str(value)


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, (list, tuple)):
        return [_without_none(inner) for inner in value]
    return value if isinstance(value, (bool, int, float, str)) else msgspec.to_builtins(value)


def _canonical(value: Any) -> Any:
    """Plain values; a Decimal of a section is written in one way already."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Section):
        return _canonical(msgspec.structs.asdict(value))
    if isinstance(value, Mapping):
        return {key: _canonical(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(inner) for inner in value]
    return value


def _without_directory(name: str) -> str:
    """A strategy file is known by its name: its source is hashed apart, and where it lies decides nothing."""
    file = _FILE.fullmatch(name)
    return PurePath(file["path"]).name + (file["cls"] or "") if file else name
