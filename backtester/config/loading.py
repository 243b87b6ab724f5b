"""The configuration of a run from all its sources.

Strongest first: flags, `--set`, the run configuration, the strategy's configuration, the defaults. A run's own `config.toml` is
resolved (it says where its candles came from): below it nothing is consulted, so that it repeats the run whatever the files
around it say today.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from backtester.config.files import find_config, read_table
from backtester.config.layers import (
    SECTIONS,
    Layer,
    checked_layer,
    checked_section,
    known_key,
    merged,
    parse_setting,
    plain,
)
from backtester.config.run_config import RunConfig, StrategySection
from backtester.domain.errors import ConfigError

DEFAULTS = "backtest"
_PLAIN_NAME = re.compile(r"[A-Za-z_][\w-]*")
_NO_STRATEGY_CONFIG = frozenset({DEFAULTS, "instruments", "fees"})
"""Files of configs/ that are something else."""


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, as it was typed.

    flags        (option, section.key, value): text is converted to the key's type
    settings     `section.key=value` of --set; section `params` means the parameters of the run's one strategy
    config_file  --config
    strategy     --strategy
    params       --params, decoded
    data_dir     BT_DATA: a directory from the environment
    directory    whose configs/ are looked at first
    """

    flags: tuple[tuple[str, str, Any], ...] = ()
    settings: tuple[str, ...] = ()
    config_file: Path | None = None
    strategy: str | None = None
    params: Mapping[str, Any] = {}
    data_dir: str | None = None
    directory: Path = Path()


class LoadedConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration, and whether its data directory was named on purpose (--data, BT_DATA, --set data.data_path)."""

    config: RunConfig
    data_explicit: bool


def load_run_config(request: RunRequest) -> LoadedConfig:
    """The configuration that `request` means, every value checked. Raises ConfigError naming source and key."""
    run_layer = _file_layer(request.config_file) if request.config_file is not None else Layer("no run configuration", {})
    resolved = bool(run_layer.sections.get("data", {}).get("source"))
    defaults = Layer("built-in defaults", {}) if resolved else defaults_layer(request.directory)
    settings, set_params = _settings(request.settings)
    flags = _flags(request.flags)
    strategies, strategy_sections = _strategies(request, run_layer, defaults, resolved=resolved)
    strategies = _with_params(strategies, set_params, origin="--set params")
    strategies = _with_params(strategies, dict(request.params), origin="--params")
    run_tables = run_layer.sections
    timeframe_asked = any(layer.get("run", {}).get("timeframe") for layer in (settings, flags))
    if timeframe_asked or "timeframe" in {**set_params, **request.params}:
        # What a resolved run configuration decided about signals gives way to what is asked for now.
        strategies = tuple(msgspec.structs.replace(section, timeframe="") for section in strategies)
        run_tables = merged(run_tables, {"run": {"timeframe": ""}})
    environment: dict[str, dict[str, Any]] = {}
    if request.data_dir and not resolved:
        environment = {"data": {"data_path": request.data_dir}}
    sections: dict[str, dict[str, Any]] = {}
    for tables in (defaults.sections, *strategy_sections, run_tables, environment, settings, flags):
        sections = merged(sections, tables)
    explicit = any("data_path" in layer.get("data", {}) for layer in (environment, settings, flags))
    built = {name: kind(**sections.get(name, {})) for name, kind in SECTIONS.items()}
    config = RunConfig(strategies=strategies, **built)  # type: ignore[arg-type] # one section class per name, see SECTIONS
    return LoadedConfig(config=config, data_explicit=explicit)


def defaults_layer(directory: Path) -> Layer:
    """configs/backtest.toml of `directory`, else the packaged copy."""
    path = find_config(DEFAULTS, directory)
    return _file_layer(path) if path is not None else Layer("built-in defaults", {})


def strategy_layer(name: str, directory: Path) -> Layer | None:
    """The configuration of the strategy called `name`; None when there is none, or `name` is a file or `module:Class`."""
    if not _PLAIN_NAME.fullmatch(name) or name in _NO_STRATEGY_CONFIG:
        return None
    path = find_config(name, directory)
    if path is None:
        return None
    layer = _file_layer(path)
    if layer.strategies is not None:
        raise ConfigError(f"{path}: the configuration of one strategy has [params], not [[strategies]]")
    return layer


def _file_layer(path: Path) -> Layer:
    return checked_layer(read_table(path), origin=str(path))


def _strategies(
    request: RunRequest, run_layer: Layer, defaults: Layer, *, resolved: bool
) -> tuple[tuple[StrategySection, ...], list[dict[str, dict[str, Any]]]]:
    """The run's strategies, their own configuration under what the run says of them; and the other tables of those files."""
    asked = run_layer.strategies or defaults.strategies or ()
    if request.strategy is not None:
        same = [section for section in asked if section.name == request.strategy]
        fresh = not same
        asked = tuple(same) or (StrategySection(name=request.strategy),)
    else:
        fresh = False
    if not asked:
        raise ConfigError("no strategy given: use --strategy NAME, module:Class or file.py:Class (`bt strategies` lists names)")
    found: list[StrategySection] = []
    tables: list[dict[str, dict[str, Any]]] = []
    for section in asked:
        layer = strategy_layer(section.name, request.directory) if fresh or not resolved else None
        if layer is not None:
            tables.append(layer.sections)
        found.append(section if layer is None else _configured(section, layer))
    strategies = tuple(found)
    return _with_params(strategies, run_layer.params or {}, origin=f"{run_layer.origin}: [params]"), tables


def _configured(section: StrategySection, layer: Layer) -> StrategySection:
    return msgspec.structs.replace(
        section,
        name=layer.info.strategy or section.name,
        strategy_id=section.strategy_id or (section.name if layer.info.strategy else ""),
        params=_laid_over(layer.params or {}, section.params),
    )


def _with_params(strategies: tuple[StrategySection, ...], params: dict[str, Any], *, origin: str) -> tuple[StrategySection, ...]:
    if not params:
        return strategies
    if len(strategies) != 1:
        raise ConfigError(f"{origin}: the run has {len(strategies)} strategies; set [strategies.params] of the one that is meant")
    return (msgspec.structs.replace(strategies[0], params=_laid_over(strategies[0].params, params)),)


def _laid_over(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of both, `upper` wins; null means not set, so that the strategy's own default holds."""
    both = {**lower, **plain(upper)}
    return {name: value for name, value in both.items() if value is not None}


def _settings(texts: Sequence[str]) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    sections: dict[str, dict[str, Any]] = {}
    params: dict[str, Any] = {}
    for text in texts:
        section, key, value = parse_setting(text)
        origin = f"--set {text}"
        known_key(section, [*SECTIONS, "params"], what="section", origin=origin)
        if section == "params":
            params[key] = value
        else:
            sections = _laid_on(sections, section, key, value, origin=origin)
    return sections, params


def _flags(flags: Sequence[tuple[str, str, Any]]) -> dict[str, dict[str, Any]]:
    sections: dict[str, dict[str, Any]] = {}
    for option, target, value in flags:
        section, _, key = target.partition(".")
        sections = _laid_on(sections, section, key, value, origin=option)
    return sections


def _laid_on(sections: dict[str, dict[str, Any]], section: str, key: str, value: Any, *, origin: str) -> dict[str, dict[str, Any]]:
    """`sections` with one more value; `key` may name one row of a table (`balances.BTC`), whose rows stand together."""
    key, dot, row = key.partition(".")
    if dot:
        value = {**sections.get(section, {}).get(key, {}), row: value}
    return merged(sections, {section: checked_section(section, {key: value}, origin=origin, strict=False)})
