"""One-way or hedge mode: whether a symbol has one position, or a long and a short one."""

from __future__ import annotations

from collections.abc import Mapping

from backtester.config.run_config import RunConfig
from backtester.domain.errors import ConfigError
from backtester.domain.instruments import SymbolSpec
from backtester.domain.vocabulary import Market

_HEDGEABLE = (Market.LINEAR, Market.INVERSE)


def is_hedged(config: RunConfig) -> bool:
    """Whether a symbol has a long and a short position of their own."""
    return config.account.position_mode == "hedge"


def check_position_mode(config: RunConfig, specs: Mapping[str, SymbolSpec]) -> None:
    """Raise ConfigError for hedge mode where a symbol is no perpetual or dated contract, nor there for its price only."""
    allowed = (*_HEDGEABLE, Market.SPOT) if config.account.currency else _HEDGEABLE
    others = [symbol for symbol, spec in specs.items() if spec.market not in allowed]
    if others and is_hedged(config):
        raise ConfigError(
            f'{", ".join(others)}: account.position_mode = "hedge" is for linear and inverse contracts; '
            'use "one_way", or --market linear'
        )
