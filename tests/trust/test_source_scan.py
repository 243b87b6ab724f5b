from __future__ import annotations

import pytest

from backtester.trust.source_scan import scan_source


def found(tmp_path, text: str, **options) -> list[tuple[str, str, int]]:
    path = tmp_path / "s.py"
    path.write_text(text, encoding="utf-8")
    return [(one.what, one.subject, one.line) for one in scan_source(path, **options)]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("open('x')", "read"),
        ("import polars as pl\npl.read_csv('x')", "read"),
        ("from pandas import read_csv as r\nr('x')", "read"),
        ("import pyarrow.parquet as pq\npq.ParquetFile('x')", "read"),
        ("path.read_text()", "read"),
        ("from backtester.data.catalog import Catalog\nCatalog('x')", "read"),
        ("import datetime as dt\ndt.datetime.now()", "clock"),
        ("from datetime import datetime\ndatetime.utcnow()", "clock"),
        ("import time\ntime.time()", "clock"),
        ("import random\nrandom.random()", "random"),
        ("import numpy as np\nnp.random.rand(3)", "random"),
        ("import random\nrandom.Random()", "entropy"),
        ("import numpy as np\nnp.random.default_rng()", "entropy"),
        ("import uuid\nuuid.uuid4()", "entropy"),
        ("import threading\nthreading.Thread(target=f)", "thread"),
        ("import requests\nrequests.get('x')", "network"),
        ("import subprocess\nsubprocess.run(['x'])", "process"),
        ("hash('x')", "order"),
        ("for x in {1, 2}: pass", "order"),
        ("[x for x in set(y)]", "order"),
        ("next(iter({'a', 'b'}))", "order"),
        ("names: set[str] = set()\nlist(names)", "order"),
        ("self.names = {'a', 'b'}\nself.names.pop()", "order"),
        ("self.ctx._history", "engine"),
        ("import sys\nsys._getframe()", "engine"),
        ("self.ctx.rng('a')", "chance"),
    ],
)
def test_a_suspect_is_found_under_any_name(tmp_path, text, what):
    assert [(one[0], one[2]) for one in found(tmp_path, text)] == [(what, text.count("\n") + 1)]


@pytest.mark.parametrize(
    "text",
    [
        "candle.open",
        "book.open()",
        "import random\nrandom.Random(7)",
        "import numpy as np\nnp.random.default_rng(7)",
        "from datetime import datetime\ndatetime.fromtimestamp(0)",
        "import polars as pl\npl.DataFrame({})",
        "self.ctx.history('A')",
        "for x in sorted({1, 2}): pass",
        "names = {1, 2}\nsorted(names)\nlen(names)\n3 in names",
        "names = [1, 2]\nlist(names)\nnames.pop()",
        "if __name__ == '__main__':\n    open('x')",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    open('x')",
        "this is no python",
    ],
)
def test_what_is_harmless_is_not_suspected(tmp_path, text):
    assert found(tmp_path, text) == []


def test_classes_without_a_part_in_the_run_are_left_out(tmp_path):
    text = "class A:\n    x = open('a')\nclass B:\n    x = open('b')\n"
    assert found(tmp_path, text, without={"B"}) == [("read", "open()", 2)]
