from __future__ import annotations

import math
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.metrics.normal import normal_cdf, normal_quantile


def test_known_values_to_the_last_digit() -> None:
    """From tables of more than twenty digits."""
    table = {
        0.0: 0.5,
        1.0: 0.84134474606854294859,
        -1.0: 0.15865525393145705141,
        2.0: 0.97724986805182079280,
        -3.0: 0.0013498980316300945267,
        -5.0: 2.8665157187919391167e-7,
        -6.0: 9.8658764503769814070e-10,
        -10.0: 7.6198530241605260660e-24,
        -39.0: 0.0,
        39.0: 1.0,
        math.inf: 1.0,
        -math.inf: 0.0,
    }
    assert {value: normal_cdf(value) for value in table} == table


@given(st.floats(-37, 37))
def test_the_error_function_of_this_machine_is_near(value: float) -> None:
    assert normal_cdf(value) == pytest.approx(math.erfc(-value / math.sqrt(2)) / 2, rel=1e-12)


def test_the_two_ways_of_computing_meet() -> None:
    below, above = normal_cdf(math.nextafter(-6, 0)), normal_cdf(math.nextafter(-6, -7))
    assert above < below and below == pytest.approx(above, rel=1e-13)


@given(st.floats(1e-12, 1 - 1e-12))
def test_the_quantile_is_the_inverse(share: float) -> None:
    found = normal_quantile(share)
    assert found == pytest.approx(NormalDist().inv_cdf(share), rel=1e-9, abs=1e-9)
    assert normal_cdf(found) == pytest.approx(share, rel=1e-12)
