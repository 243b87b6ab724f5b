"""The last prices are those that a dictionary written at every tick would hold, whoever asks and whenever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.candle import Candle
from backtester.engine.last_prices import LastPrices

SYMBOLS = ("A", "B", "C")


def bar(symbol: str, close: float) -> Candle:
    return Candle(symbol, "1m", 0, 60_000, close, close, close, close, 1.0)


@given(
    ticks=st.lists(
        st.tuples(st.sets(st.sampled_from(SYMBOLS)), st.sampled_from(["", "get", "in", "[]", "all"]), st.sampled_from(SYMBOLS))
    )
)
def test_they_are_what_was_closed_at_last(ticks: list[tuple[set[str], str, str]]) -> None:
    prices, known, held = LastPrices(), dict[str, float](), set[str]()
    for number, (symbols, question, asked) in enumerate(ticks, start=1):
        bars = tuple(bar(symbol, float(number)) for symbol in sorted(symbols))
        known |= dict.fromkeys(sorted(symbols), float(number))
        if symbols == held:
            prices.bars = bars
        else:
            prices.see(bars)
        held = symbols
        if question == "get":
            assert (prices.get(asked), prices.get(asked, 0.5)) == (known.get(asked), known.get(asked, 0.5))
        elif question == "in":
            assert (asked in prices) is (asked in known)
        elif question == "[]" and asked in known:
            assert prices[asked] == known[asked]
        elif question == "all":
            assert (dict(prices), len(prices)) == (known, len(known))
    assert dict(prices) == known
