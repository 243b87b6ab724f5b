"""The decoded copy of a month: the same numbers, or none that anybody sees."""

from __future__ import annotations

import os
from pathlib import Path
from zlib import crc32

import numpy as np
import pyarrow.parquet as pq
import pytest

from backtester.data import candle_file
from backtester.data.candle_file import read_candle_files
from backtester.data.columns import CandleColumns, join_columns
from backtester.data.decoded_month import DIRECTORY, file_version, keep_decoded, load_decoded, unbroken_span
from backtester.domain.errors import DataError
from tests.data.test_file_parts import MINUTES, minutes, write


def read(path: Path) -> CandleColumns:
    """Read twice, as a run does."""
    join_columns(*read_candle_files([path], MINUTES))
    return join_columns(*read_candle_files([path], MINUTES))


def same(left: CandleColumns, right: CandleColumns) -> bool:
    return all(one.tobytes() == other.tobytes() for one, other in zip(left, right, strict=True))


def copy_of(path: Path) -> Path:
    return path.parent / DIRECTORY / f"{path.stem}.columns"


def decoded(path: Path) -> CandleColumns | None:
    version = file_version(path)
    assert version is not None
    return load_decoded(path, MINUTES, version)


@pytest.fixture
def month(tmp_path: Path) -> Path:
    write(tmp_path / "m.parquet", minutes(31))
    return tmp_path / "m.parquet"


def test_a_month_that_was_read_is_decoded_once(month: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read(month)
    monkeypatch.setattr(candle_file, "read_parts", lambda *given: pytest.fail("decoded again"))
    assert same(read(month), first)
    assert same(first, minutes(31))


def test_a_month_is_kept_when_it_is_decoded_a_second_time(month: Path) -> None:
    join_columns(*read_candle_files([month], MINUTES))
    assert decoded(month) is None
    join_columns(*read_candle_files([month], MINUTES))
    assert decoded(month) is not None


def test_numbers_come_back_bit_for_bit_whatever_they_are(month: Path) -> None:
    odd = np.array([0.1, -0.0, 5e-324, 1.7976931348623157e308, float("nan"), 2**53 + 1.0])
    columns = CandleColumns(np.arange(6, dtype=np.int64) - 2**62, odd, odd[::-1], odd, odd[::2].repeat(2), odd)
    version = file_version(month)
    assert version is not None
    keep_decoded(month, MINUTES, version, columns)
    held = load_decoded(month, MINUTES, version)
    assert held is not None
    assert same(held, columns)
    with pytest.raises(ValueError, match="read-only"):
        held.close[0] = 1.0


def test_a_month_that_was_replaced_is_decoded_again(month: Path) -> None:
    read(month)
    other = CandleColumns(*(column[: 20 * 1440] for column in minutes(31)))
    write(month, other)
    assert decoded(month) is None
    assert same(read(month), other)
    held = decoded(month)
    assert held is not None
    assert same(held, other)


def test_a_month_that_is_damaged_later_is_not_read_from_its_copy(month: Path) -> None:
    read(month)
    damaged = bytearray(month.read_bytes())
    damaged[50_000] ^= 0xFF
    month.write_bytes(damaged)
    with pytest.raises(DataError, match=r"m\.parquet cannot be read"):
        read(month)


@pytest.mark.parametrize("harm", ["a byte", "a digit of the head", "cut off", "empty", "another head", "of another series"])
def test_a_copy_that_cannot_be_believed_is_made_anew(month: Path, harm: str) -> None:
    whole = read(month)
    copy = copy_of(month)
    content = bytearray(copy.read_bytes())
    if harm == "a byte":
        content[4_000] ^= 1
    elif harm == "a digit of the head":
        content[content.index(b'"unbroken":[') + 14] ^= 1
    elif harm == "cut off":
        del content[-8:]
    elif harm == "empty":
        content.clear()
    elif harm == "another head":
        content[:1] = b"["
    else:
        facts = bytes(content[:504]).replace(b"BTCUSDT", b"ETHUSDT")
        content[:512] = facts + b"%08x" % crc32(facts)
    copy.write_bytes(content)
    assert decoded(month) is None
    assert harm in {"a byte", "cut off"} or unbroken_span(month, MINUTES) is None  # the head speaks of the file, not of the rest
    assert same(read(month), whole)
    held = decoded(month)
    assert held is not None
    assert same(held, whole)


def test_what_cannot_be_kept_is_read_all_the_same(month: Path) -> None:
    (month.parent / DIRECTORY).write_text("a file where the directory would be")
    assert same(read(month), minutes(31))
    assert same(read(month), minutes(31))


def test_only_whole_months_of_many_days_are_kept(tmp_path: Path) -> None:
    write(tmp_path / "day.parquet", minutes(1))
    read(tmp_path / "day.parquet")
    write(tmp_path / "long.parquet", minutes(60))  # two parts: more than is held at a time
    read(tmp_path / "long.parquet")
    write(tmp_path / "m.parquet", minutes(31))
    ends_ms = int(minutes(31).start_ms[2000])
    for _ in range(2):
        next(read_candle_files([tmp_path / "m.parquet"], MINUTES, end_ms=ends_ms))
    assert not (tmp_path / DIRECTORY).exists()


def test_a_copy_counts_for_the_version_that_it_was_made_of_only(month: Path) -> None:
    read(month)
    assert decoded(month) is not None
    os.utime(month, ns=(2, 2))
    assert decoded(month) is None


def test_other_programs_do_not_meet_the_copies(month: Path) -> None:
    read(month)
    assert [path.name for path in month.parent.rglob("*.parquet")] == ["m.parquet"]
    assert pq.ParquetFile(month).metadata.num_rows == 31 * 1440
