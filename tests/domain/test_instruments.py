from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from backtester.domain.errors import ConfigError
from backtester.domain.instruments import SymbolSpec, SymbolSpecs, unknown_symbol
from backtester.domain.timeframe import parse_time_ms
from backtester.domain.vocabulary import Market

YEAR_2023_MS = parse_time_ms("2023-01-01")
YEAR_2024_MS = parse_time_ms("2024-01-01")


def spec(symbol: str = "BTCUSDT", **changes: Any) -> SymbolSpec:
    values: dict[str, Any] = {
        "symbol": symbol,
        "exchange": "binance",
        "market": Market.LINEAR,
        "base": "BTC",
        "quote": "USDT",
        "tick_size": Decimal("0.1"),
        "lot_size": Decimal("0.001"),
        "min_qty": Decimal("0.001"),
    }
    return SymbolSpec(**{**values, **changes})


def test_steps_are_known_as_whole_units() -> None:
    assert (spec().tick_e8, spec().lot_e8) == (10_000_000, 100_000)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tick_size": Decimal(0)}, "tick_size must be above 0, was 0"),
        ({"tick_size": Decimal("-0.1")}, "tick_size must be above 0"),
        ({"lot_size": Decimal("NaN")}, "lot_size must be above 0, was NaN"),
        ({"lot_size": Decimal("Infinity")}, "lot_size must be above 0"),
        ({"lot_size": Decimal("0.000000001")}, "lot_size: value 1E-9 has more than 8 decimals"),
        ({"min_qty": Decimal(-1)}, "min_qty must not be negative, was -1"),
        ({"min_qty": Decimal("NaN")}, "min_qty must not be negative, was NaN"),
        ({"min_qty": Decimal("sNaN")}, "min_qty must not be negative, was sNaN"),
        ({"min_qty": Decimal("0.0000000015")}, "min_qty: value 1.5E-9 has more than 8 decimals"),
        ({"min_notional": Decimal("Infinity")}, "min_notional must not be negative, was Infinity"),
        ({"max_qty": Decimal(0)}, "max_qty must be above 0, was 0"),
        ({"max_qty": Decimal("NaN")}, "max_qty must be above 0, was NaN"),
        ({"max_notional": Decimal(-1)}, "max_notional must be above 0, was -1"),
        ({"max_qty": Decimal("0.0001")}, "max_qty 0.0001 is below min_qty 0.001"),
        ({"min_notional": Decimal(5), "max_notional": Decimal(4)}, "max_notional 4 is below min_notional 5"),
        ({"valid_from_ms": 5, "valid_to_ms": 5}, "valid_to must be after valid_from"),
    ],
)
def test_a_spec_that_cannot_be_is_refused_in_words(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        spec(**changes)
    assert f"instrument BTCUSDT: {message}" in str(caught.value)


def test_validity_includes_its_start_and_excludes_its_end() -> None:
    rules = spec(valid_from_ms=YEAR_2023_MS, valid_to_ms=YEAR_2024_MS)
    instants = (YEAR_2023_MS - 1, YEAR_2023_MS, YEAR_2024_MS - 1, YEAR_2024_MS)
    assert [rules.valid_at(instant) for instant in instants] == [False, True, True, False]


def test_the_rules_of_the_moment_are_found_whatever_order_they_came_in() -> None:
    early = spec(valid_to_ms=YEAR_2023_MS, source="early")
    late = spec(valid_from_ms=YEAR_2023_MS, source="late")
    specs = SymbolSpecs([late, early])
    assert specs.at("BTCUSDT", YEAR_2023_MS - 1).source == "early"
    assert specs.at("BTCUSDT", YEAR_2023_MS).source == "late"
    assert specs.history("BTCUSDT") == (early, late)


def test_before_the_first_rules_the_first_hold() -> None:
    specs = SymbolSpecs([spec(valid_from_ms=YEAR_2023_MS)])
    assert specs.at("BTCUSDT", 0).valid_from_ms == YEAR_2023_MS


@pytest.mark.parametrize("valid_to_ms", [None, YEAR_2023_MS + 1])
def test_two_rules_for_one_moment_are_refused(valid_to_ms: int | None) -> None:
    with pytest.raises(ConfigError, match="two specs are valid at 2023-01-01 00:00:00"):
        SymbolSpecs([spec(valid_to_ms=valid_to_ms), spec(valid_from_ms=YEAR_2023_MS)])


def test_symbols_keep_the_order_of_the_run() -> None:
    specs = SymbolSpecs([spec("SOLUSDT"), spec("BTCUSDT"), spec("ETHUSDT")])
    assert list(specs) == ["SOLUSDT", "BTCUSDT", "ETHUSDT"]
    assert len(specs) == 3
    assert "BTCUSDT" in specs
    assert "XRPUSDT" not in specs


@pytest.mark.parametrize("look_up", ["at", "history"])
def test_an_unknown_symbol_is_answered_with_the_nearest_and_how_to_add_one(look_up: str) -> None:
    specs = SymbolSpecs([spec()])
    with pytest.raises(ConfigError, match=r"no instrument spec for BTCUSD\. Did you mean BTCUSDT\?.*configs/instruments\.toml"):
        specs.at("BTCUSD", 0) if look_up == "at" else specs.history("BTCUSD")


def test_no_name_is_suggested_where_none_is_near() -> None:
    assert "Did you mean" not in str(unknown_symbol("ZZZ", ["BTCUSDT"]))
