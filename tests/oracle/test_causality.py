"""What happened up to T is a function of the candles up to T."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.oracle.driver import run_engine
from tests.oracle.generate import BAR_MS, START_MS, make_bars, markets, rule_sets, scripts, search
from tests.oracle.scenario import Bar, Rules, Script

SYMBOLS = ("AAAUSDT", "BBBUSDT")
BARS = 40
NOTHING = Script({}, {})


def fills_until(result: Any, time_ms: int) -> list[dict[str, Any]]:
    """Fills before T, and those of orders that rested in the bars that end at T."""
    rows = result.fills.to_dicts()
    return [
        row for row in rows if row["time_ms"] < time_ms or (row["time_ms"] == time_ms and str(row["bar_fill"]).lower() == "true")
    ]


def equity_until(result: Any, time_ms: int) -> list[dict[str, Any]]:
    """Equity rows up to and including T."""
    return [row for row in result.equity.to_dicts() if row["time_ms"] <= time_ms]


def events_before(result: Any, time_ms: int) -> list[tuple[int, int, str, bytes]]:
    """The journal's lines of events before T, byte for byte."""
    return [(line.seq, line.cause, line.topic, line.raw) for line in result.journal_lines if line.event().time_ms < time_ms]


def other_future(bars: Mapping[str, list[Bar]], time_ms: int, seed: int, price_ticks: int) -> dict[str, list[Bar]]:
    """The same candles up to T, others from T on."""
    changed = {}
    for number, (symbol, rows) in enumerate(bars.items()):
        others = make_bars(seed + number, 300, missing=0.2, empty=0.1, price_ticks=price_ticks)
        changed[symbol] = [bar for bar in rows if bar.start_ms < time_ms] + [
            bar for bar in others if time_ms <= bar.start_ms <= rows[-1].start_ms
        ]
    return changed


@search(60)
@given(data=st.data())
def test_another_future_changes_nothing_that_happened_before(data: st.DataObject) -> None:
    bars = data.draw(markets(SYMBOLS, BARS))
    rules = data.draw(rule_sets())
    script = data.draw(scripts(SYMBOLS, BARS * BAR_MS // rules.signal_ms))
    time_ms = START_MS + data.draw(st.integers(1, BARS - 1)) * BAR_MS
    changed = other_future(bars, time_ms, data.draw(st.integers(0, 10**6)), data.draw(st.sampled_from((5_000, 10_000, 30_000))))
    one, two = run_engine(bars, script, rules), run_engine(changed, script, rules)
    assert fills_until(one, time_ms) == fills_until(two, time_ms)
    assert equity_until(one, time_ms) == equity_until(two, time_ms)
    assert events_before(one, time_ms) == events_before(two, time_ms)


@search(40)
@given(data=st.data())
def test_a_run_cut_at_t_is_the_beginning_of_the_longer_run(data: st.DataObject) -> None:
    bars = data.draw(markets(SYMBOLS, BARS))
    rules = data.draw(rule_sets())
    script = data.draw(scripts(SYMBOLS, BARS * BAR_MS // rules.signal_ms))
    time_ms = START_MS + data.draw(st.integers(5, BARS - 1)) * BAR_MS
    long, short = run_engine(bars, script, rules), run_engine(bars, script, rules, end=time_ms)
    assert short.fills.to_dicts() == fills_until(long, time_ms)
    ended_ms = short.journal_lines[-1].event().time_ms  # before T where the last candles before T are missing
    assert events_before(short, ended_ms) == events_before(long, ended_ms)
    rows = short.equity.to_dicts()
    assert rows == long.equity.to_dicts()[: len(rows)]
    assert not rows or rows[-1]["time_ms"] <= time_ms


@search(40)
@given(data=st.data())
def test_routing_to_everyone_gives_the_same_event_stream(data: st.DataObject) -> None:
    bars = data.draw(markets(SYMBOLS, BARS))
    rules = data.draw(rule_sets())
    script = data.draw(scripts(SYMBOLS, BARS * BAR_MS // rules.signal_ms))
    by_interest = run_engine(bars, script, rules, settings={"engine.routing": "interest"})
    broadcast = run_engine(bars, script, rules, settings={"engine.routing": "broadcast"})
    assert by_interest.digest == broadcast.digest
    assert by_interest.fills.equals(broadcast.fills)


@search(10)
@given(seed=st.integers(0, 10**6), cut=st.integers(40, 280), tight=st.booleans())
def test_the_shipped_strategy_acts_on_the_past_alone(seed: int, cut: int, tight: bool) -> None:
    bars = {symbol: make_bars(seed + number, 300) for number, symbol in enumerate(SYMBOLS)}
    time_ms = START_MS + cut * BAR_MS
    rules = Rules(signal_ms=300_000, tick=Decimal("0.01"))
    exits = {"tp_pct": 0.004, "sl_pct": 0.002, "trail_pct": 0.003} if tight else {}
    how = {"strategy": "sma_extended", "params": {"fast": 2, "slow": 5, "allow_short": True, "allow_reentry": True, **exits}}
    one = run_engine(bars, NOTHING, rules, **how)
    two = run_engine(other_future(bars, time_ms, seed + 7, 11_000), NOTHING, rules, **how)
    assert len(one.fills) > 0
    assert fills_until(one, time_ms) == fills_until(two, time_ms)
    assert equity_until(one, time_ms) == equity_until(two, time_ms)
    assert events_before(one, time_ms) == events_before(two, time_ms)


@search(15)
@given(data=st.data())
def test_two_runs_have_one_digest(data: st.DataObject) -> None:
    bars = data.draw(markets(SYMBOLS, BARS))
    rules = data.draw(rule_sets())
    script = data.draw(scripts(SYMBOLS, BARS * BAR_MS // rules.signal_ms))
    assert run_engine(bars, script, rules).digest == run_engine(bars, script, rules).digest
