"""A run on data with gaps: what is told at its start, and what each policy makes of them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from backtester.cli.main import main
from backtester.data.catalog import Catalog
from backtester.data.columns import take_rows
from tests.data.candles import MINUTE, MONDAY, minutes

HOLES = [range(100, 110), range(500, 501), range(900, 1100)]
FLAT = range(300, 305)
STRATEGY = """
from decimal import Decimal
from backtester import MarketOrderIntent, Side, Strategy

class Mine(Strategy):
    def on_candle(self, candle):
        if candle.start_ms == %d:
            return MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty=Decimal("0.2"))
"""


@pytest.fixture
def bt(tmp_path, monkeypatch, capsys):
    """`bt`, in a directory with a catalog in which bars are missing and bars are flat."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BT_DATA", raising=False)
    columns = minutes(1440)
    flat = np.isin(np.arange(1440), list(FLAT))
    values = [np.where(flat, 1000.0, column) for column in columns[1:5]]
    columns = type(columns)(columns.start_ms, *values, np.where(flat, 0.0, columns.volume + 1))
    there = ~np.isin(np.arange(1440), [row for hole in HOLES for row in hole])
    Catalog(Path("cat")).write("binance", "linear", "BTCUSDT", "1m", take_rows(columns, there))
    Path("mine.py").write_text(STRATEGY % (MONDAY + 99 * MINUTE))

    def run(name: str, *words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        asked = ("--strategy", "mine.py", "--symbols", "BTCUSDT", "--timeframe", "1m", "--data", "cat", "--run-id", name, *words)
        asked = (*asked, "--set", "sim.participation_bps=10000")
        code = main(list(asked))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def manifest(name: str) -> dict:
    return json.loads(Path("runs", name, "manifest.json").read_text())


def fills(name: str) -> list[dict[str, str]]:
    with Path("runs", name, "fills.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_tells_its_gaps_at_its_start_in_its_summary_its_log_and_its_manifest(bt):
    code, out, _ = bt("one")
    assert code == 0
    assert out.startswith("Gaps in the data\n")
    assert "  BTCUSDT missing          2025-01-06 01:40:00 to 2025-01-06 01:50:00 UTC (10 bars)\n" in out
    assert "  BTCUSDT flat, no volume  2025-01-06 05:00:00 to 2025-01-06 05:05:00 UTC (5 bars)\n" in out
    assert "binance linear" in out
    assert f"1,229 of 1m, 3 gaps in the data, 1 outages, fingerprint {manifest('one')['data_fingerprint'][:16]}" in out
    counts = manifest("one")["counts"]
    assert (counts["candles"], counts["gaps"], counts["outages"], counts["filled"]) == (1229, 3, 1, 0)
    events = {line["event"]: line for line in map(json.loads, Path("runs/one/run.log").read_text().splitlines())}
    assert (events["bars_missing"]["stretch_count"], events["bars_missing"]["bar_count"]) == (3, 211)
    assert events["outages_found"]["first"] == ["2025-01-06 05:00:00 to 2025-01-06 05:05:00 UTC (5 bars)"]


def test_a_run_without_gaps_says_nothing_of_them_at_its_start(bt):
    code, out, _ = bt("one", "--start", "2025-01-06T18:30", "--end", "2025-01-06T23:00")
    assert code == 0
    assert out.startswith("Run one\n")
    assert "no gaps, fingerprint" in out


def test_flat_puts_bars_in_on_which_nothing_is_filled_and_leaves_the_fingerprint_alone(bt):
    assert bt("skip", "--set", "data.gap_policy=skip")[0] == 0
    code, out, _ = bt("flat", "--set", "data.gap_policy=flat", "--end", "2025-01-07")
    assert code == 0
    assert "211 bars put in" in out
    counts = manifest("flat")["counts"]
    assert (counts["candles"], counts["gaps"], counts["filled"]) == (1440, 3, 211)
    assert manifest("flat")["data_fingerprint"] == manifest("skip")["data_fingerprint"]
    assert any("flat at the last close" in one["rule"] for one in manifest("flat")["assumptions"])
    # Sent as the hole begins: either way it is filled on the first bar after it, never on one that was put in.
    (skipped,), (filled,) = fills("skip"), fills("flat")
    assert int(skipped["time_ms"]) >= MONDAY + 110 * MINUTE
    assert (skipped["price"], skipped["qty"]) == (filled["price"], filled["qty"])
    assert main(["verify", "runs/flat"]) == 0


def test_fail_ends_before_anything_is_written_and_names_the_first_gap(bt):
    code, _, err = bt("one", "--set", "data.gap_policy=fail")
    assert code == 3
    assert "bars are missing from 2025-01-06 01:40:00 to 2025-01-06 01:50:00 UTC (10 bars); 3 gaps and 1 outages" in err
    assert not Path("runs").exists()
    code, _, err = bt("one", "--set", "data.gap_policy=fail", "--start", "2025-01-06T04:00", "--end", "2025-01-06T08:00")
    assert code == 3
    assert "bars are flat, without volume, from 2025-01-06 05:00:00" in err
    assert bt("one", "--set", "data.gap_policy=fail", "--start", "2025-01-06T18:30", "--end", "2025-01-06T23:00")[0] == 0


def test_another_word_for_a_policy_is_refused(bt):
    code, _, err = bt("one", "--set", "data.gap_policy=ffill")
    assert code == 2
    assert "gap_policy" in err


def test_the_sample_market_and_frames_in_memory_are_looked_at_too(bt):
    import polars as pl

    from backtester import run
    from backtester.domain.errors import DataQualityError

    columns = take_rows(minutes(200), np.arange(200) != 50)
    frame = pl.DataFrame(dict(zip(columns._fields, columns, strict=True)))
    with pytest.raises(DataQualityError, match="the frame of BTCUSDT: bars are missing from 2025-01-06 00:50:00"):
        run("mine.py", symbols="BTCUSDT", data=frame, settings={"data.gap_policy": "fail"})
    result = run("mine.py", symbols="BTCUSDT", data=frame, settings={"data.gap_policy": "flat"})
    assert (result.counts["candles"], result.counts["filled"]) == (200, 1)
    sample = run("mine.py", symbols="BTCUSDT", start="2025-01-06", end="2025-01-07", settings={"data.gap_policy": "fail"})
    assert sample.counts["gaps"] == 0
