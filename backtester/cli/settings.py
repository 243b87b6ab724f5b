"""From what was typed to what the rest of the program is asked."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from pathlib import Path
from typing import Any

from backtester.domain.errors import ConfigError

DATA_VARIABLE = "BT_DATA"

_FLAGS = {
    "exchange": "run.exchange",
    "start": "run.start",
    "end": "run.end",
    "timeframe": "run.timeframe",
    "cash": "account.starting_cash",
    "leverage": "account.leverage",
    "fees": "sim.fee_bps",
    "slippage": "sim.slippage_bps",
    "seed": "run.seed",
    "data": "data.data_path",
    "output": "run.output",
}
"""Options that are one key of the configuration."""


def flag_settings(options: Namespace) -> tuple[tuple[str, str, Any], ...]:
    """(option, section.key, value) of every option that was given."""
    from backtester.app.market_choice import market_name

    flags = [(f"--{name}", key, getattr(options, name)) for name, key in _FLAGS.items() if getattr(options, name) is not None]
    if options.market is not None:
        flags.append(("--market", "run.market", market_name(options.market)))
    if options.symbols is not None:
        symbols = [symbol for word in options.symbols for symbol in word.split(",") if symbol]
        flags.append(("--symbols", "run.symbols", symbols))
    return tuple(flags)


def params_of(text: str | None) -> dict[str, Any]:
    """--params decoded. Raises ConfigError saying where it is malformed."""
    if text is None:
        return {}
    try:
        params = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"--params is not JSON: {error.msg} at character {error.pos + 1} of {text}; quote it like '{{\"fast\": 10}}'"
        ) from None
    if not isinstance(params, dict):
        raise ConfigError(f"--params must be a JSON object such as '{{\"fast\": 10}}', it is {text}")
    return params


def catalog_directory(options: Namespace) -> Path:
    """--data, else BT_DATA, else `data_path` of configs/backtest.toml."""
    named = options.data or os.environ.get(DATA_VARIABLE)
    if named:
        return Path(named)
    from backtester.config.loading import defaults_layer
    from backtester.config.run_config import DataSection

    return Path(defaults_layer(Path()).sections.get("data", {}).get("data_path", DataSection().data_path))
