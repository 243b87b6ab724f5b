"""The engine against the oracle on random strategies over random markets."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tests.oracle.driver import compare
from tests.oracle.generate import markets, rule_sets, scripts, search

SYMBOLS = ("AAAUSDT", "BBBUSDT")
BARS = 40


@search(150)
@given(data=st.data())
def test_linear_fills_fees_positions_and_equity_are_those_of_the_oracle(data: st.DataObject) -> None:
    bars = data.draw(markets(SYMBOLS, BARS))
    rules = data.draw(rule_sets())
    script = data.draw(scripts(SYMBOLS, BARS * 60_000 // rules.signal_ms))
    result, expected = compare(bars, script, rules)
    assert len(result.fills) == len(expected.fills)


@search(60)
@given(data=st.data())
def test_inverse_fills_fees_positions_and_equity_are_those_of_the_oracle(data: st.DataObject) -> None:
    bars = data.draw(markets(SYMBOLS, BARS))
    rules = replace(data.draw(rule_sets()), inverse=True)
    script = data.draw(scripts(SYMBOLS, BARS * 60_000 // rules.signal_ms))
    result, expected = compare(bars, script, rules)
    assert len(result.fills) == len(expected.fills)


@search(60)
@given(data=st.data())
def test_spot_fills_fees_balances_and_equity_are_those_of_the_oracle(data: st.DataObject) -> None:
    bars = data.draw(markets(SYMBOLS, BARS))
    rules = data.draw(rule_sets(spot=True))
    script = data.draw(scripts(SYMBOLS, BARS * 60_000 // rules.signal_ms, spot=True))
    result, expected = compare(bars, script, rules)
    assert len(result.fills) == len(expected.fills)


@search(60)
@given(data=st.data())
def test_spot_fees_in_the_coin_received_are_those_of_the_oracle(data: st.DataObject) -> None:
    bars = data.draw(markets(SYMBOLS, BARS))
    maker_bps = data.draw(st.sampled_from((Decimal(10), Decimal("1.8"), Decimal("-0.5"))))
    rates = {"maker_bps": maker_bps, "taker_bps": data.draw(st.sampled_from((Decimal(10), Decimal("7.7"))))}
    rules = replace(data.draw(rule_sets(spot=True)), received=True, **rates)
    script = data.draw(scripts(SYMBOLS, BARS * 60_000 // rules.signal_ms, spot=True))
    result, expected = compare(bars, script, rules)
    assert len(result.fills) == len(expected.fills)
