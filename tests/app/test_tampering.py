"""Random edits of a run, its data and its strategy: `verify` detects each of them and names the place."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtester.app.resolve import resolve
from backtester.app.runner import execute
from backtester.app.verify import VerifyReport, verify
from backtester.config.loading import RunRequest, load_run_config
from backtester.data.catalog import Catalog
from backtester.data.sources.sample import sample_columns
from backtester.domain.errors import BacktesterError
from backtester.domain.timeframe import DAY_MS

EDITS = 200 if os.environ.get("BT_NIGHTLY") else 20
START_MS = 1_735_689_600_000
STRATEGY = """
from backtester import MarketOrderIntent, Side, Strategy
from beside import SIZE


class Busy(Strategy):
    def on_candle(self, candle):
        side = Side.BUY if self.ctx.rng("side").random() < 0.5 else Side.SELL
        return MarketOrderIntent(symbol=candle.symbol, side=side, qty=SIZE)
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a catalog, a strategy, a module beside it, and a complete run of them."""
    base = tmp_path_factory.mktemp("whole")
    for columns in sample_columns("BTCUSDT", seed=5, start_ms=START_MS, end_ms=START_MS + 2 * DAY_MS):
        Catalog(base / "data").write("binance", "linear", "BTCUSDT", "1m", columns)
    (base / "busy.py").write_text(STRATEGY)
    (base / "beside.py").write_text('SIZE = "0.002"\n')
    settings = ("run.timeframe=15m", 'run.symbols=["BTCUSDT"]', f"data.data_path={base / 'data'}")
    loaded = load_run_config(RunRequest(strategy=f"{base / 'busy.py'}:Busy", settings=settings, directory=base))
    execute(resolve(loaded.config, data_explicit=True), output=base, run_id="run")
    assert verify(base / "run").ok
    return base


def flip_a_byte(base: Path, dice: random.Random) -> str:
    path = dice.choice(sorted((base / "run").iterdir()))
    data = bytearray(path.read_bytes())
    place = dice.randrange(len(data))
    data[place] ^= dice.randrange(1, 256)
    path.write_bytes(bytes(data))
    return path.name


def edit_the_journal(base: Path, dice: random.Random) -> str:
    path = base / "run/journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    place = dice.randrange(len(lines) - 1)
    kind = dice.randrange(4)
    if kind == 0:
        del lines[place]
    elif kind == 1:
        lines.insert(place, lines[place])
    elif kind == 2:
        lines[place], lines[place + 1] = lines[place + 1], lines[place]
    else:
        del lines[place:]
    path.write_bytes(b"".join(lines))
    return "journal"


def edit_the_files(base: Path, dice: random.Random) -> str:
    if dice.random() < 0.5:
        path = dice.choice([path for path in sorted((base / "run").iterdir()) if path.name not in ("manifest.json", "config.toml")])
        path.unlink()
        return path.name
    (base / "run" / "notes.txt").write_text("mine")
    return "notes.txt"


def edit_the_data(base: Path, dice: random.Random) -> str:
    path = next((base / "data").rglob("*.parquet"))
    table = pq.read_table(path)
    metadata = pq.ParquetFile(path).metadata.metadata
    name = dice.choice(["open", "high", "low", "close", "volume"])
    values = table.column(name).to_pylist()
    row = dice.randrange(len(values))
    shift = {"high": 1.001, "low": 0.999, "volume": 1.5}.get(name)
    low, high = table.column("low")[row].as_py(), table.column("high")[row].as_py()
    if shift is None and low == high:
        name, shift = "high", 1.001
        values = table.column(name).to_pylist()
    was = values[row]
    values[row] = was * shift if shift is not None else (high if was != high else low)
    if values[row] == was:
        values[row] = was + 1.0
    changed = table.set_column(table.column_names.index(name), name, pa.array(values)).replace_schema_metadata(
        {key: value for key, value in metadata.items() if not key.startswith((b"ARROW", b"backtester"))}
    )
    pq.write_table(changed, path)
    return "data"


def edit_the_code(base: Path, dice: random.Random) -> str:
    if dice.random() < 0.5:
        (base / "beside.py").write_text(f'SIZE = "0.00{dice.randrange(3, 9)}"\n')
        return "beside.py"
    (base / "busy.py").write_text(STRATEGY.replace("0.5", f"0.{dice.randrange(1, 5)}"))
    return "strategy"


def edit_the_configuration(base: Path, dice: random.Random) -> str:
    path = base / "run/config.toml"
    text = path.read_text()
    old, new = dice.choice(
        [("seed = 42", "seed = 43"), ("slippage_bps = 1", "slippage_bps = 2"), ("spread_bps = 1", "spread_bps = 1.0")]
    )
    assert old in text
    path.write_text(text.replace(old, new))
    return "config.toml"


WAYS: tuple[Callable[[Path, random.Random], str], ...] = (
    flip_a_byte,
    edit_the_journal,
    edit_the_files,
    edit_the_data,
    edit_the_code,
    edit_the_configuration,
)


def verdict(run: Path) -> VerifyReport:
    try:
        return verify(run)
    except BacktesterError as error:
        return VerifyReport(False, str(error), (str(error),))


@pytest.mark.parametrize("seed", range(EDITS))
def test_an_edit_is_detected_and_its_place_named(whole: Path, tmp_path: Path, seed: int) -> None:
    backup = shutil.copytree(whole, tmp_path / "backup")
    try:
        place = WAYS[seed % len(WAYS)](whole, random.Random(seed))
        report = verdict(whole / "run")
    finally:
        shutil.rmtree(whole)
        shutil.copytree(backup, whole)
    assert not report.ok
    assert any(place in line for line in (report.message, *report.lines)), report


def test_an_untouched_copy_under_another_name_verifies(whole: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(whole / "run", tmp_path / "elsewhere"))
    report = verify(copy)
    assert report.ok and "recomputed from the journal" in report.lines[0]
