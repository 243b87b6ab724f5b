"""Names of dated futures say when they are delivered; names of anything else say nothing."""

from __future__ import annotations

import pytest

from backtester.domain.future_names import delivers_ms
from backtester.domain.timeframe import parse_time_ms


@pytest.mark.parametrize(
    ("name", "when"),
    [
        ("BTCUSDT_230630", "2023-06-30T08:00"),
        ("BTCUSD_231229", "2023-12-29T08:00"),
        ("BTCUSDT-26DEC25", "2025-12-26T08:00"),
        ("ETH-3JAN25", "2025-01-03T08:00"),
        ("BTCUSDZ22", "2022-12-30T08:00"),  # the last Friday of December 2022
        ("BTCUSDH23", "2023-03-31T08:00"),
        ("ETHUSDM24", "2024-06-28T08:00"),
    ],
)
def test_a_name_says_when_the_future_is_delivered(name: str, when: str) -> None:
    assert delivers_ms(name) == parse_time_ms(when)


@pytest.mark.parametrize(
    "name", ["BTCUSDT", "BTCUSD", "BTCUSD_PERP", "BTCUSDT_231345", "BTC-99XYZ25", "BTC-29DEC23-42000-C", "USDZ22", ""]
)
def test_other_names_say_nothing(name: str) -> None:
    assert delivers_ms(name) is None
