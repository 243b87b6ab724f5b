"""Random fills and candles for the tests of this package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction

from hypothesis import strategies as st

from backtester.domain.candle import Candle
from backtester.domain.instruments import SymbolSpec
from backtester.domain.orders import Fill
from backtester.domain.vocabulary import FillNote, Liquidity, Market, OrderType, Side
from backtester.engine.ports import Tick
from tests.report.naive import NaiveFill

MINUTE = 60_000
SYMBOLS = ("AAAUSDT", "BBBUSDT")


def spec(symbol: str, *, market: Market = Market.LINEAR) -> SymbolSpec:
    return SymbolSpec(
        symbol=symbol,
        exchange="x",
        market=market,
        base="A",
        quote="USDT",
        tick_size=Decimal("0.1"),
        lot_size=Decimal("0.001"),
        min_qty=Decimal(0),
    )


def fill(
    time_ms: int,
    symbol: str,
    lots: int,
    ticks: int,
    *,
    fee_e8: int = 0,
    bar_fill: bool = False,
    reason: str = "SIGNAL",
    strategy_id: str = "s",
) -> Fill:
    """A fill of signed lots of 0.001 at ticks of 0.1."""
    return Fill(
        time_ms=time_ms,
        symbol=symbol,
        side=Side.BUY if lots > 0 else Side.SELL,
        qty=abs(lots) * Decimal("0.001"),
        price=ticks * Decimal("0.1"),
        fee=fee_e8 * Decimal("1e-8"),
        fee_asset="USDT",
        liquidity=Liquidity.MAKER if bar_fill else Liquidity.TAKER,
        order_id=f"{strategy_id}-1",
        fill_id=f"{strategy_id}-1-1",
        strategy_id=strategy_id,
        reason=reason,
        order_type=OrderType.LIMIT if bar_fill else OrderType.MARKET,
        bar_fill=bar_fill,
        note=FillNote.NONE,
        over_share=False,
        price_ticks=ticks,
        qty_lots=abs(lots),
        fee_e8=fee_e8,
        open_lots=0,
    )


def naive(fills: Sequence[Fill]) -> list[NaiveFill]:
    return [
        NaiveFill(
            one.time_ms,
            one.symbol,
            Fraction(one.qty) * one.side.sign,
            Fraction(one.price),
            Fraction(one.fee_e8, 10**8),
            one.bar_fill or one.reason == "END",
            one.reason,
        )
        for one in fills
    ]


class ListFeed:
    """A feed of ticks that stand in a list, a few at a time."""

    def __init__(self, ticks: Sequence[Tick]) -> None:
        self.ticks = ticks

    def batches(self) -> Iterator[Sequence[Tick]]:
        for index in range(0, len(self.ticks), 3):
            yield self.ticks[index : index + 3]

    def is_even(self) -> bool:
        return False

    def bar_from(self, symbol: str, time_ms: int) -> Candle | None:
        return None

    def fingerprint(self) -> str:
        return ""

    def gap_count(self) -> int:
        return 0

    def candle_count(self) -> int:
        return 0


def bar(symbol: str, end_ms: int, close: float, *, timeframe: str = "1m") -> Candle:
    return Candle(symbol, timeframe, end_ms - MINUTE, end_ms, close, close, close, close, 1.0)


@st.composite
def fills_of_a_run(draw: st.DrawFn, *, minutes: int = 12, long_only: bool = False) -> list[Fill]:
    """Fills in rising time over `minutes`; at a bar's end those inside the bar come first."""
    held = dict.fromkeys(SYMBOLS, 0)
    found: list[Fill] = []
    for minute in range(1, minutes):
        for phase in range(draw(st.integers(0, 2))):
            symbol = draw(st.sampled_from(SYMBOLS))
            lots = draw(st.integers(-7, 7).filter(bool))
            if long_only and held[symbol] + lots < 0:
                continue
            held[symbol] += lots
            inside = phase == 0 and draw(st.booleans())
            at_ms = minute * MINUTE + (0 if inside else draw(st.sampled_from((0, 0, 125))))
            if (found and at_ms < found[-1].time_ms) or (
                inside and found and found[-1].time_ms == at_ms and not found[-1].bar_fill
            ):
                at_ms, inside = found[-1].time_ms, False
            found.append(
                fill(at_ms, symbol, lots, draw(st.integers(900, 1100)), fee_e8=draw(st.integers(-50, 10**6)), bar_fill=inside)
            )
    return found


@st.composite
def ticks_of_a_run(draw: st.DrawFn, *, minutes: int = 12, signal_every: int = 1) -> list[Tick]:
    """One-minute ticks with some bars missing, signals every few minutes."""
    ticks: list[Tick] = []
    for minute in range(1, minutes + 1):
        end_ms = minute * MINUTE
        bars = [
            bar(symbol, end_ms, draw(st.integers(900, 1100)) / 10) for symbol in SYMBOLS if minute == 1 or draw(st.integers(0, 3))
        ]
        signals = bars if minute % signal_every == 0 else []
        if bars:
            ticks.append((end_ms, bars, signals))
    return ticks
