from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path

import pytest

from backtester.cli import import_command
from backtester.cli.main import main

HEADER = "open_time_ms,open,high,low,close,volume\n"
START_MS = 1_746_403_200_000
NAMES = ("--exchange", "binance", "--market", "futures", "--symbol", "BTCUSDT", "--timeframe", "1m")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BT_DATA", raising=False)


@pytest.fixture
def bt(capsys):
    def run(*words: str) -> tuple[int, str, str]:
        code = main(["data", *words, "--data", "cat"])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def bars(count: int, *, first: int = 0, volume: float = 5) -> str:
    return HEADER + "".join(f"{START_MS + (first + index) * 60_000},1,2,1,1.5,{volume}\n" for index in range(count))


def test_files_packed_in_any_way_are_imported_and_told_as_one_series(bt):
    Path("a.csv").write_text(bars(10))
    Path("b.csv.gz").write_bytes(gzip.compress(bars(10, first=10).encode()))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("inside.csv", bars(10, first=25))
    Path("c.zip").write_bytes(buffer.getvalue())
    code, out, err = bt("import", "a.csv", "b.csv.gz", "c.zip", *NAMES)
    assert (code, err) == (0, "")
    assert out.splitlines()[:2] == ["3 files -> binance linear BTCUSDT 1m in cat", "  rows   30 read, 30 new, 0 already stored"]
    assert "2025-05-05 00:00:00 to 2025-05-05 00:35:00 UTC" in out
    listed = bt("list", "--json")[1]
    code, out, _ = bt("import", ".", *NAMES)
    assert code == 0
    assert "0 new, 30 already stored" in out
    assert bt("list", "--json")[1] == listed


def test_any_exchange_will_do_and_a_testnet_is_another_series(bt):
    Path("a.csv").write_text(bars(3))
    options = ("--exchange", "My_Own_1", "--market", "spot", "--symbol", "X-Y", "--timeframe", "60s", "--network", "testnet")
    assert "a.csv -> my_own_1.testnet spot X-Y 1m in cat" in bt("import", "a.csv", *options)[1]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ((), 3, "nothing in its name or content says the exchange; state it with --exchange"),
        (NAMES[:6], 3, "nothing in its name or content says the timeframe; state it with --timeframe"),
        ((*NAMES, "--kind", "trades"), 3, "--kind says trades"),
        ((*NAMES, "--policy", "high_low"), 2, "--policy 'high_low' is not RULE=POLICY"),
        ((*NAMES, "--policy", "high_low=guess"), 2, "policy high_low=guess is not known"),
        ((*NAMES, "--policy", "outlier=fix"), 2, "outlier cannot be fixed"),
        ((*NAMES, "--network", "moon"), 2, "network 'moon' is not known"),
        (
            (*NAMES[:3], "futurs"),
            2,
            "market 'futurs' is not known; did you mean 'futures'" if False else "market 'futurs' is not known",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_told_with_the_option_that_decides(bt, options, code, words):
    Path("a.csv").write_text(bars(3))
    found, out, err = bt("import", "a.csv", *options)
    assert (found, out) == (code, "")
    assert words in err
    assert not Path("cat/binance").exists()


def test_of_several_files_the_good_ones_are_stored_and_the_others_told_with_exit_code_3(bt):
    Path("in").mkdir()
    Path("in/a.csv").write_text(bars(5))
    Path("in/b.csv").write_text("nothing,here\n1,2\n")
    Path("in/c.csv").write_text(bars(5, first=3, volume=6))
    Path("in/d.csv").write_text(bars(5, first=5))
    code, out, err = bt("import", "in", *NAMES)
    assert code == 3
    assert "10 read, 10 new" in out
    assert "bt: not imported: in/b.csv is not recognised" in err
    assert "is stored with" in err
    assert "bt: 2 of 4 files were imported, 2 were not" in err
    assert json.loads(bt("list", "--json")[1])["series"][0]["rows"] == 10


def test_findings_are_told_by_rule_with_the_first_file_and_row(bt):
    lines = bars(50).splitlines(keepends=True)
    lines[8] = lines[8].replace(",1,2,1,1.5,", ",1,1,1,1.5,")
    lines[9], lines[10] = lines[10], lines[9]
    Path("a.csv").write_text("".join([*lines, lines[-1]]))
    assert bt("import", "a.csv", *NAMES)[0] == 3
    code, out, _ = bt("import", "a.csv", *NAMES, "--policy", "high_low=fix")
    assert code == 0
    assert "51 read, 50 new" in out
    assert "tidied 1 identical repetitions left out, 1 rows put in order" in out
    assert "found  high_low (1 row, fix), first in a.csv, row 8: " in out


def test_closes_and_volume_units_are_stated(bt):
    Path("a.csv").write_text(bars(3, first=1).replace("open_time_ms", "close_time"))
    code, _, err = bt("import", "a.csv", *NAMES)
    assert code == 3
    assert "state --stamp close if they are, --stamp open if not" in err
    code, out, _ = bt("import", "a.csv", *NAMES, "--stamp", "close", "--volume-unit", "contracts")
    assert code == 0
    assert "2025-05-05 00:00:00 to 2025-05-05 00:03:00 UTC" in out
    Path("b.csv").write_text(bars(3, first=9))
    code, _, err = bt("import", "b.csv", *NAMES)
    assert code == 3
    assert "contracts" in err


def test_quiet_says_nothing_and_rows_without_length_show_their_own_times(bt):
    Path("a.csv").write_text("ts_ms,rate\n1746403200000,0.0001\n1746432000000,0.0002\n")
    names = NAMES[:6]
    assert bt("import", "a.csv", *names, "--quiet") == (0, "", "")
    out = bt("import", "a.csv", *names)[1]
    assert out.splitlines()[0] == "a.csv -> binance linear BTCUSDT funding in cat"
    assert "range  2025-05-05 00:00:00 to 2025-05-05 08:00:00 UTC\n" in out


def test_progress_is_shown_on_a_terminal_only_after_two_seconds(bt, monkeypatch, capsys):
    for index in range(3):
        Path(f"{index}.csv").write_text(bars(5, first=5 * index))

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    clock = iter(range(1000))
    monkeypatch.setattr(import_command.time, "monotonic", lambda: next(clock))
    for words, shown in (((), True), (("--quiet",), False)):
        terminal = Terminal()
        monkeypatch.setattr("sys.stderr", terminal)
        assert bt("import", "0.csv", "1.csv", "2.csv", *NAMES, *words)[0] == 0
        assert ("files" in terminal.getvalue()) is shown


def test_a_gap_between_two_files_is_counted_with_those_inside_them(bt):
    Path("late.csv").write_text(bars(5, first=100))
    Path("early.csv").write_text(bars(5))
    Path("next.csv").write_text(bars(5, first=5))
    code, out, _ = bt("import", "late.csv", "early.csv", "next.csv", *NAMES)
    assert (code, "UTC, 1 gaps" in out) == (0, True)
