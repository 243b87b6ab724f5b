"""Names of options: what venues write, and nothing else."""

from __future__ import annotations

from decimal import Decimal

import pytest

from backtester.config.option_terms import named_option, option_terms
from backtester.domain.errors import ConfigError
from backtester.domain.option_names import parse_option_name
from backtester.domain.options import OptionKind
from backtester.domain.timeframe import iso_text


@pytest.mark.parametrize(
    ("name", "base", "strike", "kind", "expires", "settle"),
    [
        ("ETH-230811-1850-C", "ETH", "1850", OptionKind.CALL, "2023-08-11 08:00:00", ""),
        ("XRP-230811-0.65-P", "XRP", "0.65", OptionKind.PUT, "2023-08-11 08:00:00", ""),
        ("BTC-29DEC23-42000-P", "BTC", "42000", OptionKind.PUT, "2023-12-29 08:00:00", ""),
        ("BTC-3JAN25-98000-C-USDT", "BTC", "98000", OptionKind.CALL, "2025-01-03 08:00:00", "USDT"),
    ],
)
def test_a_name_says_what_the_contract_is(name: str, base: str, strike: str, kind: OptionKind, expires: str, settle: str) -> None:
    found = parse_option_name(name)
    assert (found.base, found.strike, found.kind, found.settle) == (base, Decimal(strike), kind, settle)
    assert iso_text(found.expires_ms) == expires


@pytest.mark.parametrize(
    "name", ["BTCUSDT", "BTC-231301-42000-C", "BTC-31FEB23-42000-C", "BTC-29DEC23-42000-X", "BTC-29DEC23-0-C", ""]
)
def test_any_other_text_is_refused_with_the_forms_there_are(name: str) -> None:
    with pytest.raises(ConfigError, match="BASE-YYMMDD-STRIKE"):
        parse_option_name(name)


def test_the_asset_an_option_is_paid_in_is_the_names_or_the_venues() -> None:
    names = ("BTC-29DEC23-42000-P", "BTC-29DEC23-42000-P-USDT")
    assert [named_option("bybit", name, name).quote for name in names] == ["USDC", "USDT"]
    assert named_option("binance", "ETH-230811-1850-C", "x").quote == "USDT"


def test_an_option_whose_steps_nobody_knows_is_refused_with_the_way_to_get_them() -> None:
    with pytest.raises(ConfigError, match="bt data instruments --exchange bybit --market option"):
        named_option("bybit", "SOL-29DEC23-100-C", "SOL-29DEC23-100-C")


def test_a_venue_that_is_not_in_the_table_has_the_dearest_of_all_terms() -> None:
    unknown = option_terms("elsewhere")
    for known in (option_terms("binance"), option_terms("bybit")):
        assert unknown.fee_cap_frac >= known.fee_cap_frac
        assert unknown.delivery_cap_frac >= known.delivery_cap_frac
        assert unknown.maintenance_frac >= known.maintenance_frac
        assert unknown.margin_fee_frac >= known.margin_fee_frac
