"""What a taker pays of the spread: by the last quote, by the model where there is none, by the worse where the quote is old."""

from __future__ import annotations

from decimal import Decimal

import pytest

from backtester.domain.candle import Candle
from backtester.domain.vocabulary import Side
from backtester.engine.clock import Clock
from backtester.engine.ports import Quote
from backtester.sim.pricing import FillPricing
from backtester.sim.quoted_spread import QuotedSpreads
from backtester.sim.sim_models import FixedFee, FixedSlippage
from tests.sim.orders import market_order
from tests.sim.small_run import MIDNIGHT, A, spec

NOW_MS = MIDNIGHT + 90_000


class Quotes:
    """One quote, or none."""

    def __init__(self, quote: Quote | None) -> None:
        self.quote = quote
        self.asked: list[tuple[str, int]] = []

    def quote_at(self, symbol: str, time_ms: int) -> Quote | None:
        self.asked.append((symbol, time_ms))
        return self.quote


def pricing(quote: Quote | None, *, factor: str = "1", spread: str = "10") -> tuple[FillPricing, QuotedSpreads, Quotes]:
    quotes = Quotes(quote)
    spreads = QuotedSpreads(reader=quotes, clock=Clock(NOW_MS), factor=Decimal(factor))
    made = FillPricing(
        specs={A: spec(tick_size=Decimal("0.01"))},
        spread_bps=Decimal(spread),
        slippage=FixedSlippage(Decimal(0)),
        fees=FixedFee(Decimal(0)),
        cost_factor=Decimal(factor),
        quotes=spreads,
    )
    return made, spreads, quotes


def paid(made: FillPricing, side: Side = Side.BUY, *, over_share: bool = False) -> int:
    bar = Candle(A, "1m", MIDNIGHT, MIDNIGHT + 60_000, 1000.0, 1000.0, 1000.0, 1000.0, 5.0)
    return made.taker_ticks(market_order(side), 1000, bar, 1000.0, over_share)


@pytest.mark.parametrize(
    ("quote", "factor", "bought", "sold", "went_by"),
    [
        pytest.param(Quote(NOW_MS, 999.9, 1000.1), "1", 100_010, 99_990, "fresh", id="a tight quote: less than the model"),
        pytest.param(Quote(NOW_MS - 60_000, 998, 1002), "1", 100_200, 99_800, "fresh", id="a wide quote, a minute old: more"),
        pytest.param(Quote(NOW_MS - 60_001, 999.9, 1000.1), "1", 100_050, 99_950, "stale", id="a tight one that is stale: the model"),
        pytest.param(Quote(NOW_MS - 60_001, 998, 1002), "1", 100_200, 99_800, "stale", id="a wide one that is stale: still more"),
        pytest.param(None, "1", 100_050, 99_950, "none", id="none: the model"),
        pytest.param(Quote(NOW_MS, 1000.1, 999.9), "1", 100_050, 99_950, "none", id="crossed: the model"),
        pytest.param(Quote(NOW_MS, 999.9, 1000.1), "3", 100_030, 99_970, "fresh", id="costs x 3"),
        pytest.param(None, "3", 100_150, 99_850, "none", id="the model x 3"),
    ],
)  # fmt: skip
def test_the_spread_of_a_taker_fill(quote: Quote | None, factor: str, bought: int, sold: int, went_by: str) -> None:
    made, spreads, quotes = pricing(quote, factor=factor)
    assert (paid(made), paid(made, Side.SELL)) == (bought, sold)
    assert set(quotes.asked) == {(A, NOW_MS)}
    assert sum(spreads.counts.values()) == 0
    bar = Candle(A, "1m", MIDNIGHT, MIDNIGHT + 60_000, 1000.0, 1000.0, 1000.0, 1000.0, 5.0)
    made.tell_traded(symbol=A, side=Side.SELL, lots=1000, bar=bar)
    made.tell_traded(symbol=A, side=Side.SELL, lots=1000, bar=bar)  # at a price that was not asked for: nothing to count
    assert {name for name, count in spreads.counts.items() if count} == {went_by}
    assert sum(spreads.counts.values()) == 1


def test_impact_comes_on_top_of_the_quoted_spread() -> None:
    made, _, _ = pricing(Quote(NOW_MS, 999.9, 1000.1))
    assert paid(made, over_share=True) > paid(made)
