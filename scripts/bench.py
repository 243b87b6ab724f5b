"""Measures the engine and prints one JSON object. Absolute times are noise; the ratios are what counts.

    python scripts/bench.py                  everything: one year of 1m candles of 2 and 12 symbols, one month to six years
    python scripts/bench.py --quick          two symbols, three months
    python scripts/bench_data.py             market data alone: reading, parsing, listing, memory

bare loop: the candles lie in Python lists; each is constructed and handed to the strategy, whose orders are filled at once.
engine: the same candles read from a catalog and run with default settings, journal on disk, snapshots hourly.
resting: the same while 20 limit orders a symbol rest far from the market; their ratio must stay above 0.2.
ratio = bare loop / (load_s + run_s), medians over interleaved repeats, each in a process of its own.
first_run: the same without decoded copies of the months (ADR 007), which a run leaves for those after it.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import bench_data

from backtester import Candle, Fill, LimitOrderIntent, MarketOrderIntent, Side, Strategy, StrategyParams
from backtester.data import decoded_month

TWO = ("BTCUSDT", "ETHUSDT")
TWELVE = (*TWO, "SOLUSDT", "BNBUSDT", "XRPUSDT", "LTCUSDT", "ADAUSDT", "DOGEUSDT", "LINKUSDT", "AVAXUSDT", "DOTUSDT", "NEARUSDT")
QTY_BY_SYMBOL = {"BTCUSDT": "0.01", "ETHUSDT": "0.1", "BNBUSDT": "1", "LTCUSDT": "1", "SOLUSDT": "1"}
EXCHANGE, MARKET = "binance", "linear"


class Cross(Strategy):
    """Long while the fast average of closes is above the slow one; running sums in O(1)."""

    class Params(StrategyParams, frozen=True):
        """Lengths in candles."""

        fast: int = 20
        slow: int = 50

    def on_start(self) -> None:
        """Nothing is known yet."""
        self.closes: dict[str, deque[float]] = {}
        self.sums: dict[str, list[float]] = {}

    def on_candle(self, candle: Candle) -> list[MarketOrderIntent]:
        """Buy when the fast average is above the slow one and flat, sell when it is below and long."""
        symbol, close = candle.symbol, candle.close
        closes = self.closes.get(symbol)
        if closes is None:
            closes = self.closes[symbol] = deque(maxlen=self.params.slow)
            self.sums[symbol] = [0.0, 0.0]
        sums = self.sums[symbol]
        known = len(closes)
        if known == self.params.slow:
            sums[1] -= closes[0]
        if known >= self.params.fast:
            sums[0] -= closes[-self.params.fast]
        closes.append(close)
        sums[0] += close
        sums[1] += close
        if known + 1 < self.params.slow:
            return []
        above = sums[0] * self.params.slow > sums[1] * self.params.fast
        if above and self.ctx.position(symbol) == 0:
            qty = Decimal(QTY_BY_SYMBOL.get(symbol, "50"))
            return [MarketOrderIntent(symbol=symbol, side=Side.BUY, qty=qty)]
        if not above and self.ctx.position(symbol) > 0:
            return [MarketOrderIntent(symbol=symbol, side=Side.SELL, qty=self.ctx.position(symbol), reduce_only=True)]
        return []

    def on_fill(self, fill: Fill) -> list[MarketOrderIntent]:
        """Nothing follows from a fill."""
        return []


class CrossWithResting(Cross):
    """The same, while twenty limit orders a symbol rest where no price comes: a tenth of the first close and ten times it."""

    def on_start(self) -> None:
        """Nothing is known yet, nothing rests."""
        super().on_start()
        self.resting: dict[str, bool] = {}

    def on_candle(self, candle: Candle) -> list[MarketOrderIntent | LimitOrderIntent]:  # type: ignore[override] # more than Cross
        """Twenty limit orders with the first candle of a symbol, then what Cross sends."""
        orders: list[MarketOrderIntent | LimitOrderIntent] = []
        symbol = candle.symbol
        if symbol not in self.resting:
            self.resting[symbol] = True
            qty, price = Decimal(QTY_BY_SYMBOL.get(symbol, "50")), Decimal(repr(candle.close))
            for step in range(1, 11):
                away = Decimal(step) / 1000
                orders.append(LimitOrderIntent(symbol=symbol, side=Side.BUY, qty=qty, price=price * (Decimal("0.1") - away / 10)))
                orders.append(LimitOrderIntent(symbol=symbol, side=Side.SELL, qty=qty, price=price * (10 + away)))
        return [*orders, *super().on_candle(candle)] if orders else super().on_candle(candle)  # type: ignore[return-value] # a list


class BareContext:
    """The least a strategy can live with: positions, filled at once."""

    def __init__(self) -> None:
        self.positions: dict[str, Any] = {}

    def position(self, symbol: str) -> Decimal:
        """Signed quantity."""
        held: Decimal = self.positions.get(symbol, Decimal(0))
        return held


def write_catalog(base: Path, symbols: tuple[str, ...], start_ms: int, end_ms: int) -> None:
    """Sample candles of `symbols`, stored under a real exchange's name in a directory that is thrown away."""
    from backtester.data.catalog import Catalog
    from backtester.data.sources.sample import sample_columns

    catalog = Catalog(base)
    for symbol in symbols:
        for columns in sample_columns(symbol, seed=1, start_ms=start_ms, end_ms=end_ms):
            catalog.write(EXCHANGE, MARKET, symbol, "1m", columns)


def run_engine(
    base: Path, symbols: tuple[str, ...], start: str, end: str, settings: dict[str, str], *, strategy: type[Cross] = Cross
) -> dict[str, float]:
    """One run in this process, journal on disk."""
    import backtester

    with tempfile.TemporaryDirectory() as output:
        result = backtester.run(
            strategy,
            symbols=symbols,
            data=base,
            exchange=EXCHANGE,
            market=MARKET,
            start=start,
            end=end,
            cash=10_000_000,
            settings=settings,
            output=output,
        )
        timings, counts = result.timings, result.counts
        return {
            "engine_s": timings["load_s"] + timings["run_s"],
            **timings,
            **{name: counts[name] for name in ("candles", "events", "orders", "fills")},
            "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


def run_bare(base: Path, symbols: tuple[str, ...], start_ms: int, end_ms: int) -> dict[str, float]:
    """Construct every candle from Python lists and call the strategy, in the order of the engine."""
    from backtester.data.catalog import Catalog

    catalog = Catalog(base)
    columns: list[list[list[Any]]] = []
    for symbol in symbols:
        parts = list(catalog.read(EXCHANGE, MARKET, symbol, "1m", start_ms, end_ms))
        columns.append([[value for part in parts for value in part[index].tolist()] for index in range(6)])
    count = len(columns[0][0])
    strategy = Cross()
    context = BareContext()
    strategy.ctx = context  # type: ignore[assignment] # a stand-in with the one method that is used
    strategy.on_start()
    positions, on_candle = context.positions, strategy.on_candle
    named = list(zip(symbols, columns, strict=True))
    started_s = time.perf_counter()
    for index in range(count):
        for symbol, (starts, opens, highs, lows, closes, volumes) in named:
            start = starts[index]
            candle = Candle(
                symbol, "1m", start, start + 60_000, opens[index], highs[index], lows[index], closes[index], volumes[index]
            )
            for intent in on_candle(candle):
                positions[symbol] = intent.qty if intent.side is Side.BUY else Decimal(0)
    return {"bare_s": time.perf_counter() - started_s, "candles": count * len(symbols)}


def child(
    task: str, base: Path, symbols: tuple[str, ...], start: str, end: str, settings: tuple[str, ...] = ()
) -> dict[str, float]:
    """One measurement in a fresh process."""
    command = [sys.executable, __file__, "--child", task, "--data", str(base), "--start", start, "--end", end]
    command += ["--symbols", *symbols, *(f"--set={text}" for text in settings)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench: {task} failed:\n{done.stderr}")
    result: dict[str, float] = json.loads(done.stdout)
    return result


def measured(
    base: Path, symbols: tuple[str, ...], start: str, end: str, repeats: int, *, task: str = "engine", first: bool = False
) -> dict[str, float]:
    """Bare loop and engine over the same candles, interleaved; medians. The bare loop knows no resting orders.

    With `first`, also the first run over the months: their decoded copies are deleted before it.
    """
    bare, engine, firsts = [], [], []
    for _ in range(repeats):
        if first:
            for copies in tuple(base.rglob(decoded_month.DIRECTORY)):
                shutil.rmtree(copies)
            firsts.append(child(task, base, symbols, start, end))
        bare.append(child("bare", base, symbols, start, end))
        engine.append(child(task, base, symbols, start, end))
    bare_s = statistics.median(row["bare_s"] for row in bare)
    engine_s = statistics.median(row["engine_s"] for row in engine)
    last = engine[-1]
    return {
        "symbols": len(symbols),
        "candles": last["candles"],
        "orders": last["orders"],
        "fills": last["fills"],
        "bare_loop_s": round(bare_s, 4),
        "engine_s": round(engine_s, 4),
        "ratio": round(statistics.median(b["bare_s"] / e["engine_s"] for b, e in zip(bare, engine, strict=True)), 4),
        **({"first_run_engine_s": round(statistics.median(row["engine_s"] for row in firsts), 4)} if first else {}),
        **({"first_run_ratio": round(bare_s / statistics.median(row["engine_s"] for row in firsts), 4)} if first else {}),
        "load_s": round(statistics.median(row["load_s"] for row in engine), 4),
        "run_s": round(statistics.median(row["run_s"] for row in engine), 4),
        "report_s": round(statistics.median(row["report_s"] for row in engine), 4),
        "candles_per_s": round(last["candles"] / engine_s),
        "bus_events_per_s": round(last["events"] / engine_s),
        "peak_rss_mb": round(max(row["peak_rss_mb"] for row in engine), 1),
    }


def help_ms() -> float:
    """Median wall time of `bt --help`."""
    times = []
    for _ in range(5):
        started_s = time.perf_counter()
        subprocess.run([sys.executable, "-m", "backtester", "--help"], capture_output=True, check=True)
        times.append((time.perf_counter() - started_s) * 1000)
    return round(statistics.median(times), 1)


def growth(base: Path, repeats: int) -> dict[str, object]:
    """Time and memory from one month to six years of two symbols."""
    spans = {
        "1_month": ("2019-01-01", "2019-02-01"),
        "1_year": ("2019-01-01", "2020-01-01"),
        "6_years": ("2019-01-01", "2025-01-01"),
    }
    rows = {name: measured(base, TWO, *span, repeats=repeats) for name, span in spans.items()}
    return {
        "spans": rows,
        "six_years_over_six_times_one_year": round(
            (rows["6_years"]["engine_s"] / rows["6_years"]["candles"]) / (rows["1_year"]["engine_s"] / rows["1_year"]["candles"]), 4
        ),
        "peak_rss_growth_mb": round(rows["6_years"]["peak_rss_mb"] - rows["1_month"]["peak_rss_mb"], 1),
    }


def main() -> None:
    """Parse the command line, measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two symbols, three months, three repeats")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--child", choices=("engine", "resting", "bare"), help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--symbols", nargs="+", default=TWO, help=argparse.SUPPRESS)
    parser.add_argument("--start", help=argparse.SUPPRESS)
    parser.add_argument("--end", help=argparse.SUPPRESS)
    parser.add_argument("--set", action="append", default=[], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        settings = dict(text.split("=", 1) for text in arguments.set)
        symbols = tuple(arguments.symbols)
        if arguments.child != "bare":
            strategy = CrossWithResting if arguments.child == "resting" else Cross
            print(json.dumps(run_engine(arguments.data, symbols, arguments.start, arguments.end, settings, strategy=strategy)))
        else:
            print(json.dumps(run_bare(arguments.data, symbols, ms(arguments.start), ms(arguments.end))))
        return
    with tempfile.TemporaryDirectory() as directory:
        base = Path(directory)
        report: dict[str, object] = {"python": sys.version.split()[0], "help_ms": help_ms()}
        if arguments.quick:
            write_catalog(base / "two", TWO, ms("2024-01-01"), ms("2024-04-01"))
            months = ("2024-01-01", "2024-04-01")
            report["two_symbols_3_months"] = measured(base / "two", TWO, *months, 3)
            report["two_symbols_3_months_20_resting_orders"] = measured(base / "two", TWO, *months, 3, task="resting")
        else:
            write_catalog(base / "two", TWO, ms("2019-01-01"), ms("2025-01-01"))
            write_catalog(base / "twelve", TWELVE, ms("2024-01-01"), ms("2025-01-01"))
            report["two_symbols_1_year"] = measured(base / "two", TWO, "2024-01-01", "2025-01-01", arguments.repeats, first=True)
            year = ("2024-01-01", "2025-01-01")
            report["two_symbols_1_year_20_resting_orders"] = measured(base / "two", TWO, *year, 3, task="resting")
            report["twelve_symbols_1_year"] = measured(base / "twelve", TWELVE, "2024-01-01", "2025-01-01", 3)
            report["growth_two_symbols"] = growth(base / "two", 3)
            report["data"] = bench_data.figures()
    print(json.dumps(report, indent=2))


def ms(day: str) -> int:
    """Epoch milliseconds of a UTC day."""
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000)


if __name__ == "__main__":
    main()
