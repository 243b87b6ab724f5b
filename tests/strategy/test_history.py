"""What `ctx.history` keeps, against a plain list of everything that was ever delivered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.candle import Candle
from backtester.domain.errors import StrategyError
from backtester.strategy.history import FOLD_TICKS, CandleHistory

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


def candle(symbol: str, number: int, timeframe: str = "1m") -> Candle:
    return Candle(symbol, timeframe, number * 60_000, (number + 1) * 60_000, 1.0, 2.0, 0.5, 1.5, float(number))


presence = st.lists(st.sampled_from(SYMBOLS), min_size=1, unique=True).map(lambda chosen: [s for s in SYMBOLS if s in chosen])
stretches = st.lists(st.tuples(presence, st.integers(1, 2 * FOLD_TICKS), st.booleans()), min_size=1, max_size=8)


@given(stretches=stretches, depth=st.integers(1, 3 * FOLD_TICKS), hours=st.booleans())
def test_the_last_candles_are_those_that_were_delivered_whatever_is_missing(stretches, depth, hours):
    timeframes = ("1m", "1h") if hours else ("1m",)
    history = CandleHistory(symbols=SYMBOLS, timeframes=timeframes, depth=depth)
    seen: dict[tuple[str, str], list[Candle]] = {(symbol, timeframe): [] for symbol in SYMBOLS for timeframe in timeframes}
    number = 0
    for symbols, ticks, fold in stretches:
        for _ in range(ticks):
            tick = [candle(symbol, number) for symbol in symbols]
            if hours and number % 60 == 59:
                tick = sorted((*tick, candle(symbols[0], number, "1h")), key=lambda row: SYMBOLS.index(row.symbol))
            history.keep(tuple(tick))
            for row in tick:
                seen[(row.symbol, row.timeframe)].append(row)
            number += 1
        if fold:
            history.fold()
        for (symbol, timeframe), everything in seen.items():
            assert history.last(symbol, timeframe, None) == tuple(everything[-depth:])
            for n in {0, 1, depth // 2, depth}:
                assert history.last(symbol, timeframe, n) == tuple(everything[len(everything) - min(n, len(everything)) :])


def test_what_nobody_can_ask_for_is_let_go():
    history = CandleHistory(symbols=SYMBOLS, timeframes=("1m",), depth=10)
    history.keep((candle("SOLUSDT", 0),))  # then it is traded no more
    for number in range(1, 50 * FOLD_TICKS):
        history.keep((candle("BTCUSDT", number), candle("ETHUSDT", number)))
        history.fold()
    kept = sum(len(stretch) for stretches in history._folded.values() for stretch in stretches) + 2 * len(history._ticks)
    assert kept <= 5 * FOLD_TICKS
    assert [row.volume for row in history.last("SOLUSDT", "1m", 5)] == [0.0]


@pytest.mark.parametrize(
    ("symbol", "timeframe", "n"), [("XRPUSDT", "1m", 1), ("BTCUSDT", "1h", 1), ("BTCUSDT", "1m", 11), ("BTCUSDT", "1m", -1)]
)
def test_what_is_not_kept_is_an_error_that_says_how_to_keep_it(symbol, timeframe, n):
    history = CandleHistory(symbols=SYMBOLS, timeframes=("1m",), depth=10)
    with pytest.raises(StrategyError, match=r"extra_timeframes|history_bars"):
        history.last(symbol, timeframe, n)
