"""Reads configuration files: TOML, YAML and JSON into the same plain tables, with the place of every fault."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from backtester.domain.errors import ConfigError

SUFFIXES = (".toml", ".yaml", ".yml", ".json")
PACKAGED = Path(__file__).resolve().parent / "defaults"
"""Copies of the shipped configuration, for use outside a checkout."""


def read_table(path: Path) -> dict[str, Any]:
    """The tables of the file at `path`. Raises ConfigError naming the file, and line and column where it is malformed."""
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"{path}: a configuration ends in one of {', '.join(SUFFIXES)}")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    raw = _decoded(text, path)
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: must hold tables such as [sim] at its top, it holds {type(raw).__name__}")
    return raw


def find_config(name: str, directory: Path) -> Path | None:
    """The configuration `name` of `directory`/configs, else the packaged one, else None. Two of one name are refused."""
    for place in (directory / "configs", PACKAGED):
        found = [path for suffix in SUFFIXES if (path := place / f"{name}{suffix}").is_file()]
        if len(found) > 1:
            raise ConfigError(f"{found[0]} and {found[1].name} both configure {name}; remove one")
        if found:
            return found[0]
    return None


def _decoded(text: str, path: Path) -> Any:
    if path.suffix == ".toml":
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: malformed TOML: {error}") from None
    if path.suffix == ".json":
        try:
            return json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs, path))
        except json.JSONDecodeError as error:
            raise ConfigError(f"{path}: malformed JSON: {error.msg} (at line {error.lineno}, column {error.colno})") from None
    return _decoded_yaml(text, path)


def _decoded_yaml(text: str, path: Path) -> Any:
    import yaml

    class UniqueKeys(yaml.SafeLoader):
        """Refuses what the plain loader lets pass: a key written twice."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT002 - overrides
            _unique([(self.construct_object(key, deep=True), None) for key, _ in node.value], path)
            return super().construct_mapping(node, deep=deep)

    try:
        return yaml.load(text, Loader=UniqueKeys)  # noqa: S506 - derived from SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" (at line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
        raise ConfigError(f"{path}: malformed YAML: {getattr(error, 'problem', None) or error}{place}") from None


def _unique(pairs: list[tuple[Any, Any]], path: Path) -> dict[Any, Any]:
    seen: list[Any] = []
    for key, _ in pairs:
        if key in seen:
            raise ConfigError(f"{path}: key {key!r} is written twice")
        seen.append(key)
    return dict(pairs)
