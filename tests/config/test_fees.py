from __future__ import annotations

from decimal import Decimal

import pytest

from backtester.config.fees import bnb_discount_bps, entry_tier_bps, fee_rows, liquidation_fee_bps, tier_bps
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


@pytest.mark.parametrize(
    ("exchange", "market", "tier", "maker_bps", "taker_bps"),
    [
        ("binance", "spot", "vip3", "4.2", "6"),
        ("binance", "linear", "vip9", "0", "1.7"),
        ("bybit", "spot", "vip1", "6.75", "8"),
        ("bybit", "inverse", "supreme", "0", "3"),
        ("bybit", "option", "vip4", "1.5", "1.8"),
        ("sample", "linear", "vip1", "1.6", "4"),
        ("binance", "linear", "entry", "2", "5"),
    ],
)
def test_a_tier_charges_what_its_table_says(exchange: str, market: str, tier: str, maker_bps: str, taker_bps: str) -> None:
    maker, taker, source = tier_bps(exchange, market, tier)
    assert (maker, taker) == (Decimal(maker_bps), Decimal(taker_bps))
    assert "read 2026-11-21" in source


@pytest.mark.parametrize(
    ("exchange", "tier", "said"),
    [("binance", "vip10", "there are: entry, vip1, .*, vip9"), ("nowhere", "vip1", "nowhere linear; there are: entry$")],
)
def test_a_tier_nobody_has_is_refused_with_the_known_ones(exchange: str, tier: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        tier_bps(exchange, "linear", tier)


def test_a_higher_tier_is_never_dearer() -> None:
    for row in fee_rows():
        if not row.tiers:
            assert (row.exchange, row.market) == ("binance", "option")  # which publishes one rate
            continue
        steps = [(row.maker_bps, row.taker_bps), *row.tiers.values()]
        assert len(steps) > 5
        for before, after in zip(steps, steps[1:], strict=False):
            assert all(later <= earlier for earlier, later in zip(before, after, strict=True)), (row.exchange, row.market, after)


def test_bnb_and_liquidations_cost_what_the_table_says() -> None:
    assert (bnb_discount_bps("binance", "spot"), bnb_discount_bps("binance", "linear")) == (2500, 1000)
    with pytest.raises(ConfigError, match="bybit linear has no discount .* binance spot, binance linear"):
        bnb_discount_bps("bybit", "linear")
    assert liquidation_fee_bps("binance", "linear") == 125
    assert liquidation_fee_bps("bybit", "linear") is None
