"""Damaged, spliced and misnamed files end in rows that may be stored or in an error of ours: never in anything else."""

from __future__ import annotations

import gzip
import os
import random
import signal
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backtester.data.batch import Batch
from backtester.data.findings import Policies, Policy, Rule
from backtester.data.parsing.formats import parse_file
from backtester.data.sanitize import sanitize
from backtester.domain.errors import DataError
from tests.data.parsing.archives import JANUARY_MS, KLINE_HEADER, klines, zipped
from tests.support.shared_data import SHARED, needs_shared

ROUNDS = 5_000 if os.environ.get("BT_NIGHTLY") else 80
SECONDS_MAX = 20
DROPPING = Policies(dict.fromkeys(Rule, Policy.DROP))


def trades(count: int) -> str:
    return "".join(f"{n},{100 + n / 8},0.25,{25 + n / 32},{(JANUARY_MS + n * 7) * 1000 + n},True,True\n" for n in range(count))


def agg_trades(count: int) -> str:
    header = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"
    return header + "".join(f"{n},{100 + n / 8},0.25,{n},{n},{JANUARY_MS + n},false\n" for n in range(count))


def metrics(count: int) -> str:
    header = (
        "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
        "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio\n"
    )
    return header + "".join(f"2024-01-01 {n // 12:02}:{n % 12 * 5:02}:00,BTCUSDT,{n + 1}.5,2,1.5,,1,\n" for n in range(count))


UM = "data/futures/um/daily/"
FILES = {
    UM + "klines/BTCUSDT/1m/BTCUSDT-1m-2024-01-01.zip": KLINE_HEADER + klines(200),
    "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01-01.zip": klines(200),
    UM + "markPriceKlines/BTCUSDT/1m/BTCUSDT-1m-2024-01-01.zip": klines(50).replace(",12.5,", ",0,"),
    "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2024-01-01.zip": trades(200),
    UM + "aggTrades/BTCUSDT/BTCUSDT-aggTrades-2024-01-01.zip": agg_trades(200),
    UM + "metrics/BTCUSDT/BTCUSDT-metrics-2024-01-01.zip": metrics(200),
}
NAMES = list(FILES)


def truncated(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def flipped(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def doubled(content: bytes, rng: random.Random) -> bytes:
    first, last = sorted(rng.choices(range(len(content) + 1), k=2))
    return content[:last] + content[first:]


def holed(content: bytes, rng: random.Random) -> bytes:
    first, last = sorted(rng.choices(range(len(content) + 1), k=2))
    return content[:first] + content[last:]


def spliced(content: bytes, rng: random.Random) -> bytes:
    other = FILES[rng.choice(NAMES)].encode()
    return content[: rng.randrange(len(content))] + other[rng.randrange(len(other)) :]


def lied(content: bytes, rng: random.Random) -> bytes:
    """A field of a zip's directory, or four bytes anywhere, hold an extreme number."""
    changed = bytearray(content)
    directory = content.find(b"PK\x01\x02")
    at = (
        directory + rng.choice((8, 10, 16, 20, 24, 28, 30, 32, 42))
        if directory >= 0 and rng.random() < 0.7
        else rng.randrange(len(content) - 4)
    )
    struct.pack_into("<I", changed, min(at, len(changed) - 4), rng.choice((0, 1, 2**31, 2**32 - 1, 10**9)))
    return bytes(changed)


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (truncated, flipped, doubled, holed, spliced, lied)


@contextmanager
def no_hanging() -> Iterator[None]:
    def stop(*_: object) -> None:
        pytest.fail(f"still reading after {SECONDS_MAX} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS_MAX)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def read(directory: Path, content: bytes, name: str, policies: Policies) -> list[Batch] | None:
    """What may be stored of these bytes; None where they are refused. Nothing but the file itself is in the directory then."""
    path = directory / "received"
    path.write_bytes(content)
    try:
        with no_hanging():
            batches = [sanitize(raw, policies) for raw in parse_file(path, name=name, member_limit_bytes=2**26)]
    except DataError as error:
        assert str(error)
        return None
    finally:
        assert [found.name for found in directory.iterdir()] == ["received"]
    for batch in batches:
        times = batch.table.column(0)
        assert not times.null_count
        assert times.to_pylist() == sorted(times.to_pylist())
    return batches


def rows_of(batches: list[Batch]) -> list[dict[str, object]]:
    return [row for batch in batches for row in batch.table.to_pylist()]


@pytest.mark.parametrize("name", NAMES)
def test_the_files_to_be_damaged_are_good(tmp_path, name):
    batches = read(tmp_path, zipped(FILES[name]), name, Policies())
    assert batches is not None
    assert len(rows_of(batches)) == FILES[name].count("\n") - (not FILES[name][0].isdigit())
    assert [batch.findings for batch in batches] == [()]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_a_damaged_zip_is_refused_or_gives_what_it_gave_whole(tmp_path, mutation):
    rng = random.Random(f"zip {mutation.__name__}")
    whole = {name: read(tmp_path, zipped(FILES[name]), name, Policies()) for name in NAMES}
    refused = 0
    for _ in range(ROUNDS):
        name = rng.choice(NAMES)
        batches = read(tmp_path, mutation(zipped(FILES[name]), rng), name, Policies())
        refused += batches is None
        assert batches is None or rows_of(batches) == rows_of(whole[name] or [])
    assert refused > ROUNDS // 10


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
@pytest.mark.parametrize("policies", [Policies(), DROPPING], ids=["default", "drop"])
def test_damaged_text_is_refused_or_gives_rows_that_may_be_stored(tmp_path, mutation, policies):
    rng = random.Random(f"text {mutation.__name__}")
    read_any = 0
    for _ in range(ROUNDS):
        name = rng.choice(NAMES)
        batches = read(tmp_path, mutation(FILES[name].encode(), rng), name.replace(".zip", ".csv"), policies)
        read_any += batches is not None
    assert read_any


def test_a_damaged_gzip_is_refused_or_gives_what_it_gave_whole(tmp_path):
    rng = random.Random("gzip")
    name = NAMES[3].replace(".zip", ".csv.gz")
    for packed in (gzip.compress(FILES[NAMES[3]].encode()), gzip.compress(gzip.compress(FILES[NAMES[3]].encode()))):
        whole = rows_of(read(tmp_path, packed, name, Policies()) or [])
        assert len(whole) == 200
        for _ in range(ROUNDS):
            batches = read(tmp_path, rng.choice((truncated, flipped))(packed, rng), name, Policies())
            assert batches is None or rows_of(batches) == whole


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_another_kind_under_a_name_is_refused_or_cannot_be_told_apart(tmp_path, name):
    accepted = {other for other in NAMES if read(tmp_path, zipped(FILES[other]), name, Policies()) is not None}
    bars = {other for other in NAMES if "lines" in other}
    assert accepted - {name} <= (bars if name in bars else set())
    assert name in accepted


def test_bytes_of_no_format_are_refused_under_every_name(tmp_path):
    rng = random.Random("noise")
    for name in NAMES:
        for suffix in (".csv", ".csv.gz", ".zip"):
            noise = rng.randbytes(rng.choice((1, 10, 5_000)))
            assert read(tmp_path, noise, name.replace(".zip", suffix), DROPPING) is None


def test_zeros_without_end_are_refused_early(tmp_path):
    assert read(tmp_path, zipped(bytes(2**26), level=9), NAMES[0], DROPPING) is None
    assert read(tmp_path, zipped(b"1\n" * 2**22, level=9), NAMES[0], DROPPING) is None
    assert read(tmp_path, zipped(klines(1).encode() * 3_000 + b"1," * 2**20), NAMES[1], Policies()) is None


@needs_shared
def test_a_real_month_that_is_damaged_is_refused_or_gives_rows_that_may_be_stored(tmp_path):
    rng = random.Random("real")
    path = SHARED / "data/raw/binance/um/monthly/klines/AVAXUSDT/1m/AVAXUSDT-1m-2024-02.csv"
    content = path.read_bytes()
    name = "data/futures/um/monthly/klines/AVAXUSDT/1m/AVAXUSDT-1m-2024-02"
    packed = zipped(content)
    for _ in range(max(ROUNDS // 30, 5)):
        mutation = rng.choice((truncated, flipped, holed, doubled))
        batches = read(tmp_path, mutation(packed, rng), name + ".zip", Policies())
        assert batches is None or len(rows_of(batches)) == 41_760
        batches = read(tmp_path, mutation(content, rng), name + ".csv", DROPPING)
        assert batches is None or all(batch.table.num_rows <= 41_760 for batch in batches)
