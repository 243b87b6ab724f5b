"""How much of the market an account may hold, from its configuration."""

from __future__ import annotations

from collections.abc import Mapping

from backtester.config.run_config import RiskSection
from backtester.domain.errors import ConfigError
from backtester.domain.instruments import SymbolSpec
from backtester.risk.limits import ExposureLimits


def exposure_limits(risk: RiskSection, symbols: Mapping[str, SymbolSpec]) -> ExposureLimits:
    """What `risk` allows the account to hold. Raises ConfigError for a group of symbols that are not in the run."""
    if bool(risk.correlated_groups) is (risk.max_correlated_exposure is None):
        raise ConfigError("risk.correlated_groups and risk.max_correlated_exposure go together: give both or neither")
    for symbol in (name for group in risk.correlated_groups for name in group):
        if symbol not in symbols:
            raise ConfigError(f"risk.correlated_groups: {symbol} is not a symbol of this run ({', '.join(symbols)})")
    return ExposureLimits(
        max_leverage=risk.max_leverage,
        max_symbol=risk.max_symbol_exposure,
        max_total=risk.max_total_exposure,
        max_correlated=risk.max_correlated_exposure,
        groups=risk.correlated_groups,
    )
