from __future__ import annotations

import gzip
import hashlib
import io
import struct
import zipfile

import pytest

from backtester.data.parsing import opened_file
from backtester.data.parsing.opened_file import open_file
from backtester.domain.errors import DataError, DataUnavailableError
from tests.data.parsing.archives import zipped

TEXT = b"1,2,3\n4,5,6\n"


def packed(data: bytes) -> bytes:
    """gzip without a time of day: a test's name must be the same in every process."""
    return gzip.compress(data, mtime=0)


def opened(tmp_path, content, name="a.zip", **options):
    path = tmp_path / name
    path.write_bytes(content)
    return open_file(path, **options)


def unpacked(tmp_path, content, name="a.zip", **options):
    with opened(tmp_path, content, name, **options).stream() as stream:
        return stream.read()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (zipped(TEXT, member="a.csv"), "a.zip"),
        (zipped(TEXT, member="folder/a.CSV"), "a.zip"),
        (packed(TEXT), "a.csv.gz"),
        (packed(packed(TEXT)), "a.csv.gz"),
        (packed(TEXT[:6]) + packed(TEXT[6:]), "a.csv.gz"),
        (zipped(packed(TEXT), member="a.csv.gz"), "a.zip"),
        (TEXT, "a.csv"),
        (TEXT, "a.csv.gz"),  # some clients unpack on the way and keep the name
    ],
)
def test_a_file_of_any_packing_gives_its_content_and_its_digest(tmp_path, content, name):
    file = opened(tmp_path, content, name)
    assert file.sha256 == hashlib.sha256(content).hexdigest()
    assert file.head(5) == b"1,2,3"
    assert unpacked(tmp_path, content, name) == TEXT


def test_the_member_is_taken_by_its_ending_and_not_by_its_position(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.mkdir("folder")
        archive.writestr("README.md", "nothing")
        archive.writestr("__MACOSX/._a.csv", "nothing")
        archive.writestr("folder/a.csv", TEXT)
    assert unpacked(tmp_path, buffer.getvalue()) == TEXT


def members(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, TEXT)
    return buffer.getvalue()


def claiming(size):
    """A zip whose directory says that its member unpacks to `size` bytes."""
    content = bytearray(zipped(TEXT * 1_000, member="a.csv"))
    at = content.index(b"PK\x01\x02")
    struct.pack_into("<I", content, at + 24, size)
    return bytes(content)


def unnamed():
    """A zip whose directory gives its member a name of no letters; they become its remark."""
    content = bytearray(zipped(TEXT, member="a.csv"))
    at = content.index(b"PK\x01\x02")
    struct.pack_into("<HHH", content, at + 28, 0, 0, 5)
    return bytes(content)


def encrypted():
    content = bytearray(members("a.csv"))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    content[6] |= 1
    return bytes(content)


GOOD = zipped(TEXT * 1_000, member="a.csv")


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (members("a.csv", "b.csv"), "a.zip", "must hold one file of data"),
        (members("a.exe"), "a.zip", "'a.exe'"),
        (members(), "a.zip", "it holds nothing"),
        (members("../a.csv"), "a.zip", "points outside"),
        (members("/etc/a.csv"), "a.zip", "points outside"),
        (members("a.csv", "b/../../c.txt"), "a.zip", "points outside"),
        (members("C:\\a.csv"), "a.zip", "points outside"),
        (claiming(2**31), "a.zip", "which cannot be"),
        (claiming(13_000), "a.zip", "it says 13,000 bytes and holds 12,000"),
        (claiming(11_000), "a.zip", "is damaged"),
        (unnamed(), "a.zip", "a member without a name"),
        (encrypted(), "a.zip", "cannot be unpacked"),
        (GOOD[: len(GOOD) // 2], "a.zip", "is damaged"),
        (GOOD[:40] + bytes([GOOD[40] ^ 1]) + GOOD[41:], "a.zip", "is damaged"),
        (packed(TEXT * 1_000)[:-9], "a.gz", "is damaged"),
        (packed(TEXT)[:-8] + b"\0" * 8, "a.gz", "is damaged"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "a.zip", "pointer of Git LFS"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "a.csv", "pointer of Git LFS"),
        (b"\n<!DOCTYPE html><html>404</html>", "a.zip", "web page"),
        (b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", "a.csv", "server's error message"),
        (b"", "a.csv", "is empty"),
        (b"", "a.zip", "is empty"),
        (zipped(b"", member="a.csv"), "a.zip", "is empty"),
        (TEXT, "a.zip", "not a zip archive"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_what_it_says_is_refused_with_its_name_and_the_reason(tmp_path, content, name, words):
    with pytest.raises(DataError) as caught:
        unpacked(tmp_path, content, name)
    assert name in str(caught.value)
    assert words in str(caught.value)


def test_no_more_is_unpacked_than_the_limit(tmp_path):
    assert unpacked(tmp_path, GOOD, limit_bytes=12_000) == TEXT * 1_000
    with pytest.raises(DataError, match="says that it unpacks to 12,000 bytes; no more than 11,999"):
        unpacked(tmp_path, GOOD, limit_bytes=11_999)
    with pytest.raises(DataError, match="more than 11,999 bytes"):
        unpacked(tmp_path, packed(TEXT * 1_000), "a.gz", limit_bytes=11_999)


@pytest.mark.parametrize("pack", [lambda data: zipped(data, level=9), lambda data: packed(packed(data))])
def test_a_bomb_is_cut_off_by_its_ratio(tmp_path, monkeypatch, pack):
    monkeypatch.setattr(opened_file, "RATIO_FREE_BYTES", 2**20)
    content = pack(bytes(2**24))
    file = opened(tmp_path, content, "a.zip" if content[:1] == b"P" else "a.gz")
    read = 0
    with file.stream() as stream, pytest.raises(DataError, match="250 times"):
        while chunk := stream.read(2**16):
            read += len(chunk)
    assert read < 2**24


def test_the_publishers_name_stands_in_messages_and_a_missing_file_is_told(tmp_path):
    (tmp_path / "local").touch()
    with pytest.raises(DataError, match="data/spot/x.zip is empty"):
        open_file(tmp_path / "local", name="data/spot/x.zip").head(1)
    with pytest.raises(DataUnavailableError, match="there is no file"):
        open_file(tmp_path / "absent")
