"""A writer that is killed at any moment: every file is whole, old or new, and a rerun completes to the same content."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from threading import Event

import pyarrow as pa
import pytest

from backtester.data.batch import Batch
from backtester.data.catalog import Catalog
from backtester.data.content_hash import content_sha256
from backtester.data.kinds import CANDLES, FUNDING, TRADES, kind_named
from backtester.data.manifest import NAME
from tests.data.rows import a_series, batch_of, seeded_rows

ROOT = Path(__file__).parents[2]
SEEDS = range(50 if os.environ.get("BT_NIGHTLY") else 5)
BATCHES = 24
WRITER = """
import sys
from backtester.data.catalog import Catalog
from tests.data.test_catalog_kills import batches
catalog = Catalog(sys.argv[1])
for batch in batches():
    sys.stdout.write(".")
    sys.stdout.flush()
    catalog.store(batch)
"""


@cache
def batches() -> list[Batch]:
    """Overlapping batches of three kinds, each across the turn of a year: two files a batch."""
    made = []
    for index in range(BATCHES):
        kind = (CANDLES, TRADES, FUNDING)[index % 3]
        first = Random(index).randrange(-240, 60)
        table = seeded_rows(kind, seed=7, count=250, first=first)
        made.append(batch_of(table, a_series(kind), origin=f"{index}.csv"))
    return made


@cache
def undisturbed() -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """The content of each file at the end, and all contents it has on the way."""
    history: dict[str, tuple[str, ...]] = {}
    with TemporaryDirectory() as directory:
        catalog = Catalog(directory)
        for batch in batches():
            catalog.store(batch)
            for one in catalog.partitions():
                history[one.file] = (*history.get(one.file, ()), one.content_sha256 or "")
        return {one.file: one.content_sha256 or "" for one in catalog.partitions()}, history


def contents(catalog: Catalog) -> dict[str, str]:
    """What the files really hold, each row read."""
    found = {}
    for one in catalog.all_series():
        kind = kind_named(one.kind)
        for part in catalog.partitions():
            if part.series == one.series:
                scale = 1000 if kind.time == "time_us" else 1
                tables = catalog.read_tables(one.series, part.first // scale, part.last // scale + 1)
                found[part.file] = content_sha256(kind, pa.concat_tables(tables).combine_chunks())
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_a_writer_killed_at_a_random_moment_leaves_whole_files_and_a_rerun_completes(tmp_path, seed):
    final, history = undisturbed()
    random = Random(seed)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    assert writer.stdout is not None
    begun = writer.stdout.read(random.randrange(1, BATCHES))  # so many batches are done or begun
    Event().wait(random.random() * 0.012)  # about as long as one takes
    writer.kill()
    rest = writer.stdout.read()
    writer.stdout.close()
    assert writer.wait() == -9
    done = len(begun) + len(rest) - 1

    catalog = Catalog(tmp_path)
    held = contents(catalog)
    recorded = catalog.manifest.partitions()
    assert {file: one.content_sha256 for file, one in recorded.items()} == held
    assert {file: content in history[file] for file, content in held.items()} == dict.fromkeys(held, True)
    for batch in batches()[:done]:
        assert catalog.store(batch).rows_written == 0
    for batch in batches():
        catalog.store(batch)
    assert contents(catalog) == final
    assert {one.name for one in catalog.manifest.sources(final)} == {f"{index}.csv" for index in range(BATCHES)}
    assert (tmp_path / NAME).is_file()


def test_a_kill_between_file_and_manifest_is_healed_by_the_next_look(tmp_path):
    one, other = batches()[0], batches()[3]
    catalog = Catalog(tmp_path)
    catalog.store(one)
    program = (
        "import os, signal, sys\n"
        "from backtester.data.catalog import Catalog\n"
        "from tests.data.test_catalog_kills import batches\n"
        "catalog = Catalog(sys.argv[1])\n"
        "catalog.manifest.record = lambda *given, **named: os.kill(os.getpid(), signal.SIGKILL)\n"
        "catalog.store(batches()[3])\n"
    )
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, cwd=ROOT).returncode == -9
    behind = catalog.manifest.partitions()
    now = catalog.partitions()
    assert [part.content_sha256 for part in now] != [part.content_sha256 for part in behind.values()]
    assert catalog.manifest.partitions() == {part.file: part for part in now}
    assert catalog.store(other).rows_written == 0
    assert [origin.name for origin in catalog.manifest.sources(behind)] == ["0.csv", "3.csv"]
