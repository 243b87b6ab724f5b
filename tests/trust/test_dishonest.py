"""Strategies that cheat, knowingly or not: each is caught, and for the right reason."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from backtester.data.columns import VALUE_NAMES, join_columns
from backtester.data.sources.sample import sample_columns
from backtester.domain.timeframe import parse_time_ms
from backtester.trust.check import CheckRequest, check_all
from backtester.trust.findings import CheckReport

START, END = "2025-02-03", "2025-02-03T08:00"

HEAD = """
from decimal import Decimal
from backtester import MarketOrderIntent, Side, Strategy
{imports}

def follow(strategy, candle, rises):
    held = strategy.ctx.position(candle.symbol)
    if strategy.ctx.open_orders() or rises == (held > 0):
        return []
    if rises:
        return [MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty=Decimal("0.01"))]
    return [MarketOrderIntent(symbol=candle.symbol, side=Side.SELL, qty=held, reduce_only=True)]

{body}
"""

CSV_BY_ABSOLUTE_PATH = (
    "import csv",
    """
class Cheat(Strategy):
    def on_start(self):
        with open({csv!r}) as file:  # here
            self.closes = {{int(row["start_ms"]): float(row["close"]) for row in csv.DictReader(file)}}

    def on_candle(self, candle):
        return follow(self, candle, self.closes.get(candle.end_ms, 0.0) > candle.close)
""",
)
SHIFTED_COLUMN = (
    "import polars as pl",
    """
class Cheat(Strategy):
    def on_start(self):
        frame = pl.read_parquet({parquet!r})  # here
        frame = frame.with_columns(pl.col("close").shift(-1).alias("next"))
        self.rises = dict(zip(frame["start_ms"].to_list(), (frame["next"] > frame["close"]).to_list()))

    def on_candle(self, candle):
        return follow(self, candle, bool(self.rises.get(candle.start_ms)))
""",
)
GLOBAL_AT_IMPORT = (
    "import pyarrow.parquet as pq",
    """
TABLE = pq.read_table({parquet!r}).to_pydict()  # here
CLOSES = dict(zip(TABLE["start_ms"], TABLE["close"]))

class Cheat(Strategy):
    def on_candle(self, candle):
        return follow(self, candle, CLOSES[candle.end_ms] > candle.close)
""",
)
NUMBERS_IN_THE_SOURCE = (
    "import bisect",
    """
CLOSES = {closes!r}

class Cheat(Strategy):
    def on_candle(self, candle):
        return follow(self, candle, CLOSES.get(candle.end_ms, 0.0) > candle.close)
""",
)
FRAMES_OF_THE_ENGINE = (
    "import sys",
    """
class Cheat(Strategy):
    def on_candle(self, candle):
        frame = sys._getframe()  # here
        while "self" not in frame.f_locals or not hasattr(frame.f_locals["self"], "_feed"):
            frame = frame.f_back
        following = frame.f_locals["self"]._feed.bar_from(candle.symbol, candle.end_ms)
        return follow(self, candle, following is not None and following.close > candle.close)
""",
)
REPAINTS = (
    "from pathlib import Path",
    """
KEPT = Path({kept!r})

class Cheat(Strategy):
    def on_start(self):
        self.seen = []
        self.lows = set(map(int, KEPT.read_text().split())) if KEPT.exists() else set()  # here

    def on_candle(self, candle):
        self.seen.append(candle)
        return follow(self, candle, candle.end_ms in self.lows or not self.lows and len(self.seen) % 7 == 0)

    def on_end(self):
        lows = [b.end_ms for a, b, c in zip(self.seen, self.seen[1:], self.seen[2:]) if b.close < min(a.close, c.close)]
        KEPT.write_text(" ".join(map(str, lows)))
""",
)
CLOCK = (
    "from time import time",
    """
class Cheat(Strategy):
    def on_candle(self, candle):
        return follow(self, candle, (int(time()) // 7200 + candle.end_ms // 60000) % 5 < 2)  # here
""",
)
DATE = (
    "from datetime import datetime",
    """
class Cheat(Strategy):
    def on_candle(self, candle):
        return follow(self, candle, candle.close > candle.open and datetime.now().year > 2000)  # here
""",
)
SHARED_RANDOM = (
    "import random",
    """
class Cheat(Strategy):
    def on_candle(self, candle):
        return follow(self, candle, random.random() < 0.5)  # here
""",
)
UUID = (
    "import uuid",
    """
class Cheat(Strategy):
    def on_candle(self, candle):
        return follow(self, candle, uuid.uuid4().int % 2 == 0)  # here
""",
)
HASH_ORDER_OF_ONE_CHOICE = (
    "",
    """
class Cheat(Strategy):
    def on_start(self):
        self.words = {{"buy", "sell", "none", "x"}}  # the first two hash seeds agree on the first one
        self.buys = next(iter(self.words)) == "buy"  # here

    def on_candle(self, candle):
        return follow(self, candle, self.buys and candle.close > candle.open)
""",
)
HASH_ORDER = (
    "",
    """
class Cheat(Strategy):
    def on_candle(self, candle):
        for name in {{"up", "down", "flat", "none"}}:  # here
            return follow(self, candle, (candle.close > candle.open) == (name in ("up", "down")))
""",
)
NETWORK = (
    "import socket",
    """
class Cheat(Strategy):
    def on_start(self):
        with socket.socket() as probe:
            probe.settimeout(0.2)
            probe.connect_ex(("127.0.0.1", 9))  # here

    def on_candle(self, candle):
        return follow(self, candle, candle.close > candle.open)
""",
)
LISTS_A_DIRECTORY = (
    "import os",
    """
class Cheat(Strategy):
    def on_candle(self, candle):
        return follow(self, candle, len(os.listdir({directory!r})) > 0 and candle.close > candle.open)  # here
""",
)
THREADS = (
    "from threading import Thread",
    """
class Cheat(Strategy):
    def on_candle(self, candle):
        answer = []
        thread = Thread(target=lambda: answer.append(candle.close > candle.open))
        thread.start()  # here
        thread.join()
        return follow(self, candle, answer[0])
""",
)
TOO_LITTLE_WARM_UP = (
    "from backtester.strategy.indicators import SMA",
    """
class Cheat(Strategy):
    warmup_bars = 5

    def on_start(self):
        self.average = SMA(12)

    def on_candle(self, candle):
        value = self.average.update(candle.close)
        return follow(self, candle, value is not None and candle.close > value)
""",
)

CASES = {name.lower(): value for name, value in list(globals().items()) if isinstance(value, tuple) and len(value) == 2}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("dishonest")


@pytest.fixture(scope="module")
def reports(place) -> dict[str, CheckReport]:
    columns = join_columns(*sample_columns("BTCUSDT", seed=1, start_ms=parse_time_ms(START), end_ms=parse_time_ms(END) + 60_000))
    frame = pl.DataFrame({name: getattr(columns, name) for name in ("start_ms", *VALUE_NAMES)})
    frame.write_csv(place / "candles.csv")
    frame.write_parquet(place / "candles.parquet")
    (place / "plain").mkdir()
    words = {
        "csv": str(place / "candles.csv"),
        "parquet": str(place / "candles.parquet"),
        "kept": str(place / "kept.txt"),
        "directory": str(place / "plain"),
        "closes": dict(zip(frame["start_ms"].to_list(), frame["close"].to_list(), strict=True)),
    }
    for name, (imports, body) in CASES.items():
        text = HEAD.format(imports=imports, body=body.format(**words))
        (place / f"{name}.py").write_text(text, encoding="utf-8")
    requests = [
        CheckRequest(
            strategy=str(place / f"{name}.py"),
            flags=[
                ("--symbols", "run.symbols", ["BTCUSDT"]),
                ("--start", "run.start", START),
                ("--end", "run.end", END),
            ],
            settings=["data.source=sample"],
            directory=str(place),
        )
        for name in CASES
    ]
    return dict(zip(CASES, check_all(requests), strict=True))


def marked_line(place: Path, case: str) -> int:
    lines = (place / f"{case}.py").read_text(encoding="utf-8").splitlines()
    return next((number for number, line in enumerate(lines, start=1) if line.endswith("# here")), 0)


@pytest.mark.parametrize(
    ("case", "severity", "check", "name"),
    [
        ("csv_by_absolute_path", "error", "look-ahead", "reads-outside"),
        ("shifted_column", "error", "look-ahead", "reads-outside"),
        ("global_at_import", "error", "look-ahead", "reads-outside"),
        ("frames_of_the_engine", "warning", "look-ahead", "reaches-into-the-engine"),
        ("repaints", "error", "look-ahead", "reads-outside"),
        ("network", "error", "look-ahead", "network"),
        ("lists_a_directory", "error", "look-ahead", "reads-outside"),
        ("clock", "error", "determinism", "wall-clock"),
        ("clock", "error", "determinism", "depends-on-the-clock"),
        ("date", "error", "determinism", "wall-clock"),
        ("shared_random", "error", "determinism", "global-random"),
        ("shared_random", "error", "determinism", "not-repeatable"),
        ("uuid", "error", "determinism", "entropy"),
        ("uuid", "error", "determinism", "not-repeatable"),
        ("hash_order", "error", "determinism", "depends-on-hash-order"),
        ("hash_order_of_one_choice", "error", "determinism", "depends-on-hash-order"),
        ("threads", "warning", "determinism", "threads"),
    ],
)
def test_what_a_strategy_does_outside_the_engine_is_named_with_its_line(reports, place, case, severity, check, name):
    found = [(one.severity, one.check, one.name, one.file, one.line) for one in reports[case].findings]
    assert (severity, check, name, str(place / f"{case}.py"), marked_line(place, case)) in found


@pytest.mark.parametrize("case", ["csv_by_absolute_path", "shifted_column", "global_at_import", "numbers_in_the_source"])
def test_a_future_that_does_not_move_with_the_feed_is_seen(reports, case):
    """Also where nothing is read at all: the numbers may stand in the source."""
    report = reports[case]
    found = [one for one in report.findings if one.name == "does-not-move-with-the-feed"]
    assert [one.severity for one in found] == ["error"]
    assert report.exit_code == 1
    assert report.verdicts[0].outcome == "found"


def test_a_look_into_the_engine_is_seen_by_another_future_and_the_leaking_bar_is_named(reports):
    report = reports["frames_of_the_engine"]
    (finding,) = [one for one in report.findings if one.name == "future-changes-past"]
    assert finding.severity == "error"
    assert "It hangs on the bar of BTCUSDT from 2025-02-03" in finding.evidence
    assert "does-not-move-with-the-feed" not in {one.name for one in report.findings}


def test_a_warm_up_that_is_too_short_is_a_warning_and_the_depth_needed_is_named(reports):
    report = reports["too_little_warm_up"]
    (finding,) = [one for one in report.findings if one.check == "warm-up"]
    assert (finding.severity, finding.name) == ("warning", "warm-up-too-short")
    assert "set warmup_bars = 11" in finding.evidence
    assert report.exit_code == 0


@pytest.mark.parametrize("case", ["clock", "shared_random", "uuid", "hash_order", "hash_order_of_one_choice"])
def test_what_cannot_be_repeated_is_not_judged_by_repeating_it(reports, case):
    """Decisions that differ by chance would look like a leak."""
    report = reports[case]
    assert not {"future-changes-past", "does-not-move-with-the-feed"} & {one.name for one in report.findings}
    assert report.exit_code == 1


@pytest.mark.parametrize("case", ["threads", "too_little_warm_up"])
def test_a_warning_alone_is_exit_code_0(reports, case):
    assert reports[case].exit_code == 0
