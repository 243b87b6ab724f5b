"""Measures market data: reading, parsing, listing, memory; prints one JSON object. Part of `scripts/bench.py` too.

    python scripts/bench_data.py

read_ns_a_row      from stored parquet into candle objects, in the order of a run, one symbol
parse_rows_a_s     a month of 1m archive, zipped as published, into checked rows of the schema; parse alone without the rules
list_s             `bt data list` on 10,000 partitions, the whole command
parse_peak_mb      peak memory of parsing a month of minutes and, in another process, a month of seconds

Medians of five.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

REPEATS = 5
EXCHANGE, MARKET, SYMBOL = "binance", "linear", "BTCUSDT"
JANUARY_MS = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp()) * 1000
DAY_MS = 86_400_000


def median_s(work: Callable[[], object]) -> float:
    """Median wall time of five calls."""
    times = []
    for _ in range(REPEATS):
        started_s = time.perf_counter()
        work()
        times.append(time.perf_counter() - started_s)
    return statistics.median(times)


def reading(base: Path) -> dict[str, float]:
    """Half a year of minutes from the catalog into candles."""
    from backtester.data.catalog import Catalog
    from backtester.data.feed import CandleFeed, SymbolStream
    from backtester.data.sources.sample import sample_columns

    end_ms = JANUARY_MS + 182 * DAY_MS
    catalog = Catalog(base)
    for columns in sample_columns(SYMBOL, seed=1, start_ms=JANUARY_MS, end_ms=end_ms):
        catalog.write(EXCHANGE, MARKET, SYMBOL, "1m", columns)
    rows = 182 * 1440

    def read() -> None:
        stream = SymbolStream(SYMBOL, catalog.read(EXCHANGE, MARKET, SYMBOL, "1m", JANUARY_MS, end_ms), "bench")
        feed = CandleFeed([stream], execution_ms=60_000, signal_ms=(60_000,), start_ms=JANUARY_MS, end_ms=end_ms)
        for batch in feed.batches():
            for _ in batch:
                pass
        if feed.candle_count() != rows:
            raise SystemExit("bench: candles are missing")

    wall_s = median_s(read)
    return {"read_ns_a_row": round(wall_s / rows * 1e9, 1), "read_rows": rows}


def archive_file(directory: Path, *, timeframe: str) -> tuple[Path, int]:
    """A month of candles as the archive publishes it: a header, millisecond stamps, one member in a zip."""
    from backtester.data.sources.sample import sample_columns

    step_ms = {"1m": 60_000, "1s": 1_000}[timeframe]
    name = f"{SYMBOL}-{timeframe}-2024-01"
    path = directory / f"data/futures/um/monthly/klines/{SYMBOL}/{timeframe}/{name}.zip"
    path.parent.mkdir(parents=True)
    header = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore\n"
    rows = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(f"{name}.csv", "w") as member:
        member.write(header.encode())
        for columns in sample_columns(SYMBOL, seed=1, start_ms=JANUARY_MS, end_ms=JANUARY_MS + 31 * DAY_MS):
            for _, open_, high, low, close, volume in zip(*(column.tolist() for column in columns), strict=True):
                for _ in range(60_000 // step_ms):
                    start_ms = JANUARY_MS + rows * step_ms
                    value = f"{volume * close:.4f}"
                    member.write(
                        f"{start_ms},{open_},{high},{low},{close},{volume:.3f},{start_ms + step_ms - 1},{value},12,{volume:.3f},"
                        f"{value},0\n".encode()
                    )
                    rows += 1
    return path, rows


def parse(path: Path, *, judged: bool) -> int:
    """Rows of the file, with the rules or without."""
    from backtester.data.findings import Policies
    from backtester.data.parsing.formats import parse_file
    from backtester.data.sanitize import sanitize

    name = path.as_posix()
    raws = parse_file(path, name=name[name.index("data/futures") :])
    return sum(sanitize(raw, Policies()).table.num_rows if judged else raw.table.num_rows for raw in raws)


def parsing(directory: Path) -> dict[str, float]:
    """A month of minutes, in rows a second."""
    path, rows = archive_file(directory, timeframe="1m")
    if parse(path, judged=True) != rows:
        raise SystemExit("bench: the month was not read whole")
    checked_s = median_s(lambda: parse(path, judged=True))
    alone_s = median_s(lambda: parse(path, judged=False))
    return {"parse_rows_a_s": round(rows / checked_s), "parse_alone_rows_a_s": round(rows / alone_s), "parse_rows": rows}


def memory(directory: Path) -> dict[str, float]:
    """Peak memory of parsing, each in a process of its own: sixty times the rows, the same memory."""
    peaks = {}
    for timeframe in ("1m", "1s"):
        path, rows = archive_file(directory / timeframe, timeframe=timeframe)
        command = [sys.executable, __file__, "--peak", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[f"parse_peak_mb_{timeframe}_month"] = float(done.stdout)
        peaks[f"parse_{timeframe}_month_rows"] = rows
    return peaks


def listing(base: Path) -> dict[str, float]:
    """`bt data list` on a hundred symbols of a hundred months."""
    import numpy as np

    from backtester.data.catalog import Catalog
    from backtester.data.columns import CandleColumns

    months = [(2016 + month // 12, month % 12 + 1) for month in range(100)]
    starts = np.array([int(datetime(*month, 1, tzinfo=UTC).timestamp()) * 1000 for month in months], dtype=np.int64)
    ones = np.ones(len(starts))
    catalog = Catalog(base)
    for index in range(100):
        catalog.write(EXCHANGE, MARKET, f"S{index:03d}USDT", "1d", CandleColumns(starts, ones, ones, ones, ones, ones))
    command = [sys.executable, "-m", "backtester", "data", "list", "--data", str(base), "--quiet"]

    def listed() -> None:
        subprocess.run(command, capture_output=True, check=True)

    listed()
    return {"list_s": round(median_s(listed), 3), "list_partitions": len(catalog.partitions())}


def figures() -> dict[str, float]:
    """All of them."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        found |= reading(directory / "read")
        found |= parsing(directory / "parse")
        found |= memory(directory / "memory")
        found |= listing(directory / "list")
    return found


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        parse(arguments.peak, judged=True)
        print(round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1))
        return
    print(json.dumps(figures(), indent=2))


if __name__ == "__main__":
    main()
