"""Real files, damaged at random: they end in rows that may be judged, or in our errors."""

from __future__ import annotations

import os
import random

import pytest

from backtester.data.findings import Policies, Policy, Rule
from backtester.data.parsing.formats import Hint, parse_file
from backtester.data.sanitize import sanitize
from backtester.domain.errors import BacktesterError
from tests.data.test_shared_files import PARSED, RAW
from tests.support.shared_data import needs_shared

ROUNDS = 20_000 if os.environ.get("BT_NIGHTLY") else 400
INSERTED = (b"nan", b'"', b"\n", b",", b"-", b"99999999999999999999999", b"null", b"{}", b"[]", b"1e400", b"\x00", b"true", b'""')


def mutated(content: bytearray, other: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content) + 1)
    match rng.randrange(5):
        case 0:
            del content[at:]
        case 1:
            for _ in range(rng.randrange(1, 8)):
                content[rng.randrange(len(content))] = rng.randrange(256)
        case 2:
            content[at:] = other[rng.randrange(len(other) + 1) :]
        case 3:
            content[at:at] = rng.choice(INSERTED)
        case _:
            del content[at : at + rng.randrange(40)]
    return bytes(content)


@needs_shared
@pytest.mark.parametrize("seed", range(2))
def test_damaged_files_end_in_rows_or_in_our_errors(tmp_path, seed):
    rng = random.Random(seed)
    files = [one for one in PARSED if (RAW / one.file).stat().st_size < 50_000]
    contents = {one.file: (RAW / one.file).read_bytes() for one in files}
    policies = Policies(dict.fromkeys(Rule, Policy.DROP))
    damaged = tmp_path / "damaged"
    judged = 0
    for _ in range(ROUNDS):
        one, other = rng.choice(files), rng.choice(files)
        damaged.write_bytes(mutated(bytearray(contents[one.file]), contents[other.file], rng))
        named = one if rng.random() < 0.8 else other
        try:
            for raw in parse_file(damaged, name=named.file, hint=Hint(**named.stated)):
                sanitize(raw, policies)
                judged += 1
        except BacktesterError:
            continue
    assert judged > ROUNDS // 10
    assert [path.name for path in tmp_path.iterdir()] == ["damaged"]
