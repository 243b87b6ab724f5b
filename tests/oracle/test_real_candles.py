"""The engine against the oracle, and against numbers known beforehand, on the real minutes of BTCUSDT and ETHUSDT."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import backtester
from backtester import Candle, MarketOrderIntent, Side, Strategy
from backtester.cli.main import main
from tests.oracle.driver import compare, engine_fills
from tests.oracle.generate import scripts, search
from tests.oracle.real_data import real_bars, real_frame, real_path, sma_script
from tests.oracle.scenario import Bar, Rules
from tests.support.shared_data import needs_shared

pytestmark = needs_shared
HOUR_MS = 3_600_000
SYMBOL = "BTCUSDT"
FREE = {name: Decimal(0) for name in ("spread_bps", "slippage_bps", "maker_bps", "taker_bps")}
AT_ONCE = dict.fromkeys(("order_latency_ms", "cancel_latency_ms", "response_latency_ms"), 0)
KNOWN = [
    ("2025-05-13 00:00", "buy", "102739.3"),
    ("2025-05-17 08:00", "sell", "103399.5"),
    ("2025-05-18 16:00", "buy", "105484.2"),
    ("2025-05-29 12:00", "sell", "108740.0"),
    ("2025-06-09 08:00", "buy", "105516.7"),
    ("2025-06-14 16:00", "sell", "104783.4"),
]
NO_COSTS = {f"sim.{name}": value for name, value in (FREE | AT_ONCE).items()}


class CrossOf20And50(Strategy):
    """Long while SMA 20 is above SMA 50, flat otherwise."""

    def on_start(self) -> None:
        self.closes: list[float] = []
        self.candles: list[Candle] = []
        type(self).seen = self.candles

    def on_candle(self, candle: Candle) -> list[MarketOrderIntent]:
        self.candles.append(candle)
        self.closes.append(candle.close)
        if len(self.closes) < 50:
            return []
        above = sum(self.closes[-20:]) / 20 > sum(self.closes[-50:]) / 50
        held = self.ctx.position(candle.symbol) != 0
        if above == held:
            return []
        return [MarketOrderIntent(symbol=candle.symbol, side=Side.BUY if above else Side.SELL, qty=Decimal("0.01"))]


def check_known_table(result: Any) -> None:
    """The six fills, and the 304 complete candles that led to them."""
    complete = [candle for candle in CrossOf20And50.seen if candle.complete]
    assert len(complete) == len(CrossOf20And50.seen) == 304
    assert complete[0].start_ms == datetime(2025, 5, 4, 16, tzinfo=UTC).timestamp() * 1000
    fills = [
        (datetime.fromtimestamp(row["time_ms"] / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M"), row["side"], Decimal(row["price"]))
        for row in result.fills.to_dicts()
    ]
    assert fills == [(time, side, Decimal(price)) for time, side, price in KNOWN]


def test_four_hour_cross_has_the_known_fills_from_a_frame() -> None:
    result = backtester.run(
        CrossOf20And50,
        symbols=[SYMBOL],
        data=real_frame(SYMBOL),
        timeframe="4h",
        exchange="binance",
        market="linear",
        settings=NO_COSTS,
    )
    check_known_table(result)


def test_four_hour_cross_has_the_known_fills_from_an_imported_catalog(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog"
    what = ["--exchange", "binance", "--market", "futures", "--symbol", SYMBOL, "--timeframe", "1m", "--data", str(catalog)]
    assert main(["data", "import", str(real_path(SYMBOL)), *what]) == 0
    result = backtester.run(CrossOf20And50, symbols=[SYMBOL], data=catalog, timeframe="4h", settings=NO_COSTS)
    check_known_table(result)


def test_the_oracle_has_the_known_fills_too() -> None:
    bars = real_bars(SYMBOL)
    script = sma_script(SYMBOL, bars, 4 * HOUR_MS, fast=20, slow=50, lots=10)
    rules = Rules(signal_ms=4 * HOUR_MS, **FREE, **AT_ONCE)
    result, _ = compare({SYMBOL: bars}, script, rules)
    assert len(engine_fills(result)) == 6


@cache
def pair(first: int, count: int) -> dict[str, list[Bar]]:
    """The same stretch of both symbols; sizes are kept apart by price so that both meet their share of the volume."""
    return {symbol: real_bars(symbol, first, count) for symbol in ("BTCUSDT", "ETHUSDT")}


SLICE = 240


@search(25)
@given(data=st.data())
def test_slices_of_the_real_pair_agree_with_the_oracle(data: st.DataObject) -> None:
    bars = pair(data.draw(st.integers(0, 70)) * 1000, SLICE)
    tick = data.draw(st.sampled_from((Decimal("0.01"), Decimal(2))))
    rules = data.draw(
        st.sampled_from(
            (
                Rules(tick=tick),
                Rules(tick=tick, **FREE),
                Rules(tick=tick, **FREE, **AT_ONCE | {"cancel_latency_ms": 1}),
                Rules(tick=tick, signal_ms=900_000, participation_bps=Decimal(1), work_bars=3, through=False),
            )
        )
    )
    script = data.draw(scripts(tuple(bars), SLICE * 60_000 // rules.signal_ms))
    compare(bars, script, rules)
