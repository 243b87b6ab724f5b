"""Strategies of other shapes: the documents' examples run, and what is adapted trades as one written by hand."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

import backtester
from backtester import Candle, LimitOrderIntent, MarketOrderIntent, Side, Strategy
from backtester.domain.errors import RunAbortedError
from backtester.strategy.shapes import ColumnStrategy, MarketMakerStrategy, SignalStrategy

PAGE = (Path(__file__).resolve().parents[2] / "docs/other_shapes.md").read_text()
BLOCKS = {re.match(r"# (\w+\.py)", block)[1]: block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)}
START_MS = 1_735_689_600_000
HOUR_MS = 3_600_000
SHORT = {"data.sample_days": "10"}


def run(strategy, *symbols: str, timeframe: str = "1h", **settings: str):
    return backtester.run(strategy, symbols=symbols or ("BTCUSDT",), timeframe=timeframe, settings={**SHORT, **settings})


@pytest.mark.parametrize("name", ["signals.py:Adapted", "columns.py:Adapted", "maker.py:Maker"])
def test_an_example_runs_as_it_is_written(tmp_path, name):
    file, _, adapted = name.partition(":")
    (tmp_path / file).write_text(BLOCKS[file])
    words = ["--strategy", f"{file}:{adapted}", "--symbols", "BTCUSDT", "--timeframe", "1d" if file == "columns.py" else "1h"]
    done = subprocess.run(
        [sys.executable, "-m", "backtester", *words, "--run-id", "r", "--quiet"], cwd=tmp_path, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "runs/r/fills.csv").read_text().splitlines()) > 5


def test_the_market_maker_run_as_a_script_prints_both_ways_of_filling(tmp_path):
    (tmp_path / "maker.py").write_text(BLOCKS["maker.py"])
    done = subprocess.run([sys.executable, "maker.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "goes through" in done.stdout and "at a touch" in done.stdout and done.stdout.count("RunResult") == 2


# -- signals -------------------------------------------------------------------------------------------------------------


class ByHand(Strategy):
    """Long while the close is above that of ten candles ago."""

    def on_start(self) -> None:
        self.closes: list[float] = []

    def on_candle(self, candle: Candle):
        self.closes.append(candle.close)
        if len(self.closes) < 11:
            return None
        held = self.ctx.position(candle.symbol)
        if candle.close > self.closes[-11] and not held:
            return MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty=Decimal(1000) / Decimal(str(candle.close)))
        if candle.close <= self.closes[-11] and held:
            return MarketOrderIntent(symbol=candle.symbol, side=Side.SELL, qty=held, reduce_only=True)
        return None


class Theirs:
    """The same, with signals; `form` is how they are told."""

    def __init__(self, form: str) -> None:
        self.form = form
        self.seen: list[dict] = []

    def generate_signals(self, market_data, position_state):
        closes = market_data["BTCUSDT"]["close"]
        self.seen.append(position_state)
        if len(closes) < 11:
            return None if self.form == "one" else []
        word = "buy" if closes[-1] > closes[-11] else "exit"
        told = {
            "one": word,
            "mapping": {"BTCUSDT": word},
            "list": [{"symbol": "BTCUSDT", "action": word.upper()}],
            "number": int(word == "buy"),
        }
        return told[self.form]


@pytest.mark.parametrize("form", ["one", "mapping", "list", "number"])
def test_signals_in_any_form_trade_as_the_strategy_written_by_hand(form):
    theirs = Theirs(form)

    class Adapted(SignalStrategy):
        def source(self):
            return theirs

    adapted, own = run(Adapted), run(ByHand)
    columns = ["time_ms", "side", "qty", "price", "fee"]
    assert own.counts["fills"] > 10
    assert adapted.fills.select(columns).equals(own.fills.select(columns))
    assert theirs.seen[-1]["BTCUSDT"]["qty"] == theirs.seen[-1]["qty"]
    held = [state for state in theirs.seen if state["qty"]]
    assert all(state["avg_entry_price"] > 0 for state in held) and held


@pytest.mark.parametrize(
    ("answer", "said"),
    [("perhaps", "no signal"), ({"XRPUSDT": "buy"}, "not in this run"), ([3.5], "no signal"), (object(), "no signal")],
)
def test_an_answer_that_is_no_signal_ends_the_run_with_what_is_understood(answer, said):
    class Odd:
        def generate_signals(self, market_data, position_state):
            return answer

    class Adapted(SignalStrategy):
        def source(self):
            return Odd()

    with pytest.raises(RunAbortedError, match=said):
        run(Adapted)


def test_a_module_without_the_function_is_refused():
    class Adapted(SignalStrategy):
        def source(self):
            return datetime

    with pytest.raises(RunAbortedError, match="has no generate_signals"):
        run(Adapted)


# -- columns -------------------------------------------------------------------------------------------------------------


def table(kind: str):
    starts = [START_MS + index * HOUR_MS for index in range(240)]
    columns = {"entry": [index % 24 == 3 for index in range(240)], "exit": [index % 24 == 9 for index in range(240)]}
    if kind == "mapping":
        return {"start_ms": starts, **columns}
    moments = [datetime.fromtimestamp(start / 1000, UTC) for start in starts]
    if kind == "polars":
        return pl.DataFrame({"timestamp": moments, **columns})
    if kind == "naive":
        return pl.DataFrame({"date": [moment.replace(tzinfo=None) for moment in moments], **columns})
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame(columns, index=pandas.DatetimeIndex(moments))
    frame["exit"] = frame["exit"].astype(object).where(frame["exit"], None)
    return frame


@pytest.mark.parametrize("kind", ["mapping", "polars", "naive", "pandas"])
def test_columns_trade_at_the_open_after_their_candle(kind):
    class Adapted(ColumnStrategy):
        def table(self):
            return table(kind)

    result = run(Adapted, **{"sim.order_latency_ms": "0"})
    times = result.fills["time_ms"].to_list()
    assert [(time_ms - START_MS) // HOUR_MS for time_ms in times[:4]] == [4, 10, 28, 34]
    assert result.fills["side"].to_list()[:2] == ["buy", "sell"]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"entry": [True]}, "has no time"),
        ({"start_ms": [1]}, "no column entry"),
        ({"start_ms": [1, 1], "entry": [True, True]}, "two rows"),
        (7, "returned int"),
    ],
)
def test_a_table_that_cannot_be_traded_is_refused_in_words(columns, said):
    class Adapted(ColumnStrategy):
        def table(self):
            return columns

    with pytest.raises(RunAbortedError, match=said):
        run(Adapted)


# -- market makers -------------------------------------------------------------------------------------------------------


class QuotesByHand(Strategy):
    """One quote on each side, replaced at every candle."""

    def on_candle(self, candle: Candle):
        half = candle.close * 2.0 / 20_000
        mid = (candle.close - half + candle.close + half) / 2
        cancels = [backtester.CancelOrderIntent(symbol=candle.symbol, order_id=order.order_id) for order in self.ctx.open_orders()]
        quotes = [
            LimitOrderIntent(symbol=candle.symbol, side=side, qty=Decimal("0.01"), price=Decimal(str(mid * factor)))
            for side, factor in ((Side.BUY, 0.998), (Side.SELL, 1.002))
        ]
        return [*cancels, *quotes]


class Bot:
    """The same as a bot; it notes what it saw."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float, float, float]] = []

    def update_orders(self) -> None:
        self.seen.append((self.position, self.avg_entry_price, self.realized_pnl, self.unrealized_pnl))
        assert self.session is None and self.orderbook["bids"][0][0] < self.mid_price < self.orderbook["asks"][0][0]
        self.active_orders = {
            "buy": {1: {"price": self.mid_price * 0.998, "size": 0.01}},
            "sell": {2: {"price": self.mid_price * 1.002, "size": 0.01}},
        }


class Waiting(Bot):
    """Its update is a coroutine."""

    async def update_orders(self) -> None:  # type: ignore[override]  # as some bots have it
        Bot.update_orders(self)


@pytest.mark.parametrize("kind", [Bot, Waiting])
def test_a_bot_trades_as_the_quotes_written_by_hand_and_its_accounts_are_those_of_its_fills(kind):
    bot = kind()

    class Maker(MarketMakerStrategy):
        def bot(self, symbol):
            return bot

    adapted, own = run(Maker, timeframe="15m"), run(QuotesByHand, timeframe="15m")
    columns = ["time_ms", "side", "qty", "price", "liquidity"]
    assert own.counts["fills"] > 20
    assert adapted.fills.select(columns).equals(own.fills.select(columns))
    position, entry, realized, unrealized = bot.seen[-1]
    equity = float(adapted.summary["end_equity"]) - float(adapted.summary["start_equity"]) + adapted.metrics["fees"]
    assert (entry > 0) is (position != 0)
    assert realized + unrealized == pytest.approx(equity, abs=abs(position) * 500 + 1e-6)


def test_stop_and_target_of_the_configuration_close_the_position():
    class Guarded(Bot):
        def __init__(self) -> None:
            super().__init__()
            self.config = {"STOP_LOSS_PCT": 0.5, "TAKE_PROFIT_PCT": 0.4}

    class Maker(MarketMakerStrategy):
        def bot(self, symbol):
            return Guarded()

    reasons = set(run(Maker, timeframe="15m").fills["reason"].to_list())
    assert {"SL_HIT", "TP_HIT", "QUOTE"} == reasons


def test_a_bot_that_waits_for_the_outside_is_refused():
    import asyncio

    class Outside(Bot):
        async def update_orders(self) -> None:  # type: ignore[override]  # as some bots have it
            await asyncio.sleep(1)

    class Maker(MarketMakerStrategy):
        def bot(self, symbol):
            return Outside()

    with pytest.raises(RunAbortedError, match="waits for something outside"):
        run(Maker)
