"""What a watched run sees: every way to read a file, at its line; and nothing of what a library does for itself."""

from __future__ import annotations

import polars as pl
import pytest

from backtester.trust.check import CheckReport, CheckRequest, check

READS = """
open(CSV).close()
io.open(CSV).close()
os.close(os.open(CSV, os.O_RDONLY))
Path(CSV).read_text()
Path(CSV).read_bytes()
csv.reader(open(CSV))
codecs.open(CSV).close()
exec("open(CSV).close()", globals())
[*map(open, [CSV])][0].close()
sqlite3.connect(BASE).close()
np.load(NPY)
np.loadtxt(CSV, delimiter=",", skiprows=1)
np.genfromtxt(CSV, delimiter=",")
np.fromfile(NPY)
np.memmap(NPY, mode="r")
pl.read_csv(CSV)
pl.read_parquet(PARQUET)
pl.scan_parquet(PARQUET)
pl.scan_csv(source=CSV)
read_parquet(PARQUET)
pl.read_parquet([PARQUET])
pd.read_csv(CSV)
pd.read_parquet(PARQUET)
pq.read_table(PARQUET)
pq.ParquetFile(PARQUET)
pq.ParquetDataset(PARQUET)
pads.dataset(PARQUET)
pacsv.read_csv(CSV)
pa.memory_map(PARQUET)
pa.input_stream(PARQUET)
pkgutil.get_loader("json").get_data(CSV)
CandleFile(Path(PARQUET)).rows()
os.listdir(PLACE)
[*os.scandir(PLACE)]
[*Path(PLACE).iterdir()]
[*os.walk(PLACE)]
glob.glob(PLACE + "/*")
""".strip().splitlines()

HARMLESS = """
json.dumps([1])
zoneinfo.ZoneInfo("Europe/Berlin")
importlib.import_module("xml.dom.minidom")
inspect.getsource(Reader)
pd.read_csv(io.StringIO("a,b\\n1,2"))
pl.read_csv(io.BytesIO(b"a,b\\n1,2"))
time.gmtime(0)
time.strftime("%Y", time.gmtime(0))
random.Random(1).random()
np.random.default_rng(1).random()
logging.getLogger("x").warning("seen at a wall time of its own")
collections.namedtuple("Point", "x y")
open(DECLARED).close()
pl.read_csv(DECLARED)
""".strip().splitlines()

HEAD = """
import codecs, collections, csv, glob, importlib, inspect, io, json, logging, os, pkgutil, random, sqlite3, time, zoneinfo
from pathlib import Path
import numpy as np, pandas as pd, polars as pl, pyarrow as pa
import pyarrow.csv as pacsv, pyarrow.dataset as pads, pyarrow.parquet as pq
from polars import read_parquet
from backtester import Strategy

PLACE = {place!r}
CSV, PARQUET, NPY, BASE = (PLACE + name for name in ("/a.csv", "/a.parquet", "/a.npy", "/a.sqlite"))
DECLARED = PLACE + "/declared/b.csv"

class CandleFile:
    def __init__(self, path):
        self.path = path

    def rows(self):
        return pq.read_table(self.path)  # the helper reads, so that it is named

class Reader(Strategy):
    reads = ["declared/*"]

    def on_start(self):
"""


def report_of(tmp_path, lines: list[str]) -> tuple[CheckReport, int]:
    """The report on a strategy that runs the lines, and the number of the first of them; a line that fails has still been tried."""
    frame = pl.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    (tmp_path / "declared").mkdir()
    frame.write_csv(tmp_path / "a.csv")
    frame.write_csv(tmp_path / "declared/b.csv")
    frame.write_parquet(tmp_path / "a.parquet")
    frame["a"].to_numpy().dump(tmp_path / "a.npy")
    head = HEAD.format(place=str(tmp_path))
    body = "".join(f"        try: {line}\n        except Exception as error: self.failed = error\n" for line in lines)
    (tmp_path / "reader.py").write_text(head + body, encoding="utf-8")
    request = CheckRequest(
        strategy=str(tmp_path / "reader.py:Reader"),
        flags=[
            ("--symbols", "run.symbols", ["BTCUSDT"]),
            ("--start", "run.start", "2025-02-03"),
            ("--end", "run.end", "2025-02-03T01:00"),
        ],
        settings=["data.source=sample"],
        directory=str(tmp_path),
    )
    return check(request, scrambles=1), head.count("\n") + 1


def test_every_way_to_read_is_an_error_with_its_line(tmp_path):
    report, first = report_of(tmp_path, READS)
    seen = {one.line for one in report.findings if one.name == "reads-outside" and one.severity == "error"}
    helper = next(number for number, line in enumerate(HEAD.splitlines(), start=1) if "the helper reads" in line)
    missed = [line for number, line in enumerate(READS) if first + 2 * number not in seen]
    assert missed == ["CandleFile(Path(PARQUET)).rows()"]
    assert helper in seen


def test_what_is_no_look_at_the_outside_is_not_reported(tmp_path):
    report, first = report_of(tmp_path, HARMLESS)
    accused = [
        (HARMLESS[(one.line - first) // 2] if one.line >= first else one.line, one.name, one.evidence) for one in report.findings
    ]
    assert accused == []


@pytest.mark.parametrize("line", ["import this is no python", "1/0"])
def test_a_strategy_that_fails_by_itself_is_the_users_mistake(tmp_path, line):
    from backtester.domain.errors import StrategyError

    (tmp_path / "broken.py").write_text(line, encoding="utf-8")
    with pytest.raises(StrategyError, match=r"broken\.py:1"):
        check(CheckRequest(strategy=str(tmp_path / "broken.py"), flags=[("--symbols", "run.symbols", ["BTCUSDT"])]))
