from __future__ import annotations

from decimal import Decimal

import pytest

from backtester.config.fees import entry_tier_bps, fee_rows
from backtester.domain.errors import ConfigError
from backtester.domain.vocabulary import Market


@pytest.mark.parametrize(
    ("exchange", "market", "maker_bps", "taker_bps"),
    [
        ("binance", "spot", "10", "10"),
        ("binance", "linear", "2", "5"),
        ("bybit", "spot", "10", "10"),
        ("bybit", "linear", "2", "5.5"),
        ("bybit", "inverse", "2", "5.5"),
        ("bybit", "option", "2", "3"),
        ("sample", "linear", "2", "5"),
        ("sample", "spot", "10", "10"),
    ],
)
def test_a_known_venue_charges_its_entry_tier(exchange: str, market: str, maker_bps: str, taker_bps: str) -> None:
    maker, taker, source = entry_tier_bps(exchange, market)
    assert (maker, taker) == (Decimal(maker_bps), Decimal(taker_bps))
    assert "read 2026-11-21" in source


def test_an_unknown_venue_pays_the_most_expensive_known_row_and_is_told() -> None:
    maker, taker, source = entry_tier_bps("nowhere", "linear")
    assert (maker, taker) == (Decimal(2), Decimal("5.5"))
    assert source.startswith("nowhere linear is not in the fee table: charged as bybit linear")


def test_the_sample_says_whose_fees_it_borrows() -> None:
    assert entry_tier_bps("sample", "linear")[2].startswith("sample is charged as binance")


def test_a_market_nobody_has_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="inverse, linear, option, spot"):
        entry_tier_bps("binance", "futures")


def test_every_row_names_a_market_of_ours_once() -> None:
    keys = [(row.exchange, row.market) for row in fee_rows()]
    assert sorted(set(keys)) == sorted(keys)
    assert {market for _, market in keys} <= {market.value for market in Market}
