from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from backtester.cli.main import main
from backtester.data.catalog import Catalog
from backtester.data.columns import take_rows
from tests.data.candles import minutes

FILE = "binance/linear/BTCUSDT/candles/1m/year=2025/BTCUSDT-1m-2025-01.parquet"


@pytest.fixture
def bt(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BT_DATA", raising=False)

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["data", "check", *words, "--data", "cat"])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def store(rows: int = 200, *, without=(), flat=()) -> None:
    columns = minutes(rows)
    still = np.isin(np.arange(rows), list(flat))
    values = [np.where(still, 1000.0, column) for column in columns[1:5]]
    columns = type(columns)(columns.start_ms, *values, np.where(still, 0.0, columns.volume + 1))
    Catalog(Path("cat")).write("binance", "linear", "BTCUSDT", "1m", take_rows(columns, ~np.isin(np.arange(rows), list(without))))


def test_a_clean_catalog_says_what_was_read_and_exits_with_0(bt):
    store()
    code, out, err = bt()
    assert (code, err) == (0, "")
    assert out == "1 files of 1 series with 200 rows read in cat: nothing found\n"
    assert bt("--quiet") == (0, "", "")


def test_gaps_and_outages_stand_in_a_table_with_times_and_exit_with_1(bt):
    store(without=range(10, 15), flat=[50, 51])
    code, out, _ = bt("BTCUSDT")
    assert code == 1
    lines = [line.split("  ") for line in out.splitlines()]
    assert [part.strip() for part in lines[1] if part] == [
        "missing", "binance linear BTCUSDT candles 1m", "2025-01-06 00:10:00", "2025-01-06 00:15:00", "5",
    ]  # fmt: skip
    assert [part.strip() for part in lines[2] if part][0::4] == ["flat", "2"]
    assert out.endswith("read in cat: 0 problems, 1 gaps, 1 outages\n")


def test_long_lists_are_cut_with_a_count_and_json_has_more(bt):
    store(200, without=range(1, 199, 2))
    code, out, _ = bt()
    assert code == 1
    assert len([line for line in out.splitlines() if line.startswith("missing")]) == 21
    assert "and 79 more" in out
    code, out, err = bt("--json")
    assert (code, err) == (1, "")
    told = json.loads(out)
    assert (told["status"], told["exit_code"], told["files"], told["rows"]) == ("found", 1, 1, 101)
    (gaps,) = told["gaps"]
    assert (gaps["symbol"], gaps["kind"], gaps["missing"]["total"], len(gaps["missing"]["first"])) == ("BTCUSDT", "candles", 99, 99)


def test_what_cannot_be_read_comes_first_and_exits_with_3(bt):
    store(without=[10])
    path = Path("cat", FILE)
    path.write_bytes(path.read_bytes()[:-5])
    code, out, _ = bt()
    assert code == 3
    assert out.splitlines()[1].startswith("unreadable")
    assert json.loads(bt("--json")[1])["status"] == "unreadable"


def test_fix_says_what_it_mended_and_the_next_check_is_clean(bt):
    store()
    leftover = Path("cat", FILE).with_name(".BTCUSDT-1m-2025-01-x.tmp")
    leftover.write_bytes(b"half")
    Path("cat/manifest.sqlite").unlink()
    code, out, _ = bt()
    assert code == 1
    assert "2 problems" in out and "--fix" in out
    code, out, _ = bt("--fix")
    assert code == 0
    assert f"mended: removed {leftover.relative_to('cat')}\n" in out
    assert f"mended: recorded {FILE} in manifest.sqlite\n" in out
    assert bt()[0] == 0


def test_a_symbol_that_is_not_stored_is_told(bt):
    store()
    code, _, err = bt("ETHUSDT")
    assert code == 3
    assert "nothing of ETHUSDT is stored in cat" in err
