"""Real files, damaged at random: they end in rows that may be judged, or in our errors."""

from __future__ import annotations

import os
import random

import pytest

from backtester.data.findings import Policies, Policy, Rule
from backtester.data.parsing.formats import Hint, parse_file
from backtester.data.sanitize import sanitize
from backtester.domain.errors import BacktesterError
from tests.support.shared_data import SHARED, needs_shared

DATA = SHARED / "data"
ROUNDS = 20_000 if os.environ.get("BT_NIGHTLY") else 400
INSERTED = (b"nan", b'"', b"\n", b",", b"-", b"99999999999999999999999", b"null", b"{}", b"[]", b"1e400", b"\x00", b"true", b'""')
HINTS = (
    Hint(),
    Hint(market="linear", symbol="BTCUSDT", timeframe="1m"),
    Hint(exchange="okx", market="spot", symbol="BTC-USDT", timeframe="1m"),
)


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
    files = [path for path in sorted(DATA.rglob("*")) if path.is_file() and path.suffix != ".md" and path.stat().st_size < 50_000]
    contents = {path: path.read_bytes() for path in files}
    policies = Policies(dict.fromkeys(Rule, Policy.DROP))
    damaged = tmp_path / "damaged"
    judged = 0
    for _ in range(ROUNDS):
        path, other = rng.choice(files), rng.choice(files)
        damaged.write_bytes(mutated(bytearray(contents[path]), contents[other], rng))
        name = (path if rng.random() < 0.8 else other).relative_to(DATA).as_posix()
        try:
            for raw in parse_file(damaged, name=name, hint=rng.choice(HINTS)):
                sanitize(raw, policies)
                judged += 1
        except BacktesterError:
            continue
    assert judged > ROUNDS // 10
    assert [path.name for path in tmp_path.iterdir()] == ["damaged"]
