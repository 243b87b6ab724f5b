"""Fees of a run by tier and discount, as the manifest tells them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from backtester import RunResult, run
from backtester.domain.errors import ConfigError


def charged(**settings: Any) -> RunResult:
    given = {f"sim.{key}": value for key, value in settings.items()}
    return run("sma_extended", symbols=["BTCUSDT"], start="2025-01-01", end="2025-01-06", settings=given)


def fee_line(result: RunResult) -> str:
    (line,) = [one.rule for one in result.manifest.assumptions if "fees maker" in one.rule]
    return line


@pytest.mark.parametrize(
    ("settings", "rates"),
    [
        ({}, "maker 2 bps, taker 5 bps"),
        ({"fee_tier": "vip3"}, "maker 1.2 bps, taker 3.2 bps"),
        ({"bnb_discount": True}, "maker 1.8 bps, taker 4.5 bps"),
        ({"fee_tier": "vip9", "bnb_discount": True}, "maker 0 bps, taker 1.53 bps"),
        ({"fee_tier": "vip3", "taker_bps": 7}, "maker 1.2 bps, taker 7 bps"),
    ],
)
def test_tier_and_discount_decide_the_rates(settings: dict[str, Any], rates: str) -> None:
    assert rates in fee_line(charged(**settings))


def test_a_tier_is_charged_on_every_fill() -> None:
    fills = charged(fee_tier="vip1").fills
    assert fills.height
    for price, qty, fee in fills.select("price", "qty", "fee").iter_rows():
        exact = Decimal(price) * Decimal(qty) * Decimal("0.0004")
        assert 0 <= Decimal(fee) - exact < Decimal("0.00000001")


def test_a_tier_or_discount_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="sim.fee_tier 'gold' is not known"):
        charged(fee_tier="gold")
