"""JSON as venues send it: one body, one message a line, or lines of a recording with the time of receipt before each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, BinaryIO, NamedTuple

import msgspec

from backtester.domain.errors import DataError

BODY_BYTES_MAX = 64 * 1024 * 1024
"""A body or a line beyond this is no answer of a venue; it is refused rather than held in memory."""
_RECORDED = re.compile(
    rb"\s*(?:(?P<url>(?:https?|wss?)://\S+)\s+(?:->|<-)\s+)?(?P<time>[0-9]{9,20}(?:\.[0-9]{1,9})?)(?::|)\s+(?=[{\[])"
)
_NOTE = re.compile(rb"[a-z_]+:\s*[{\[]")
"""A line that a recorder wrote about itself."""
_CONNECTED = re.compile(rb"\s*wss?://\S+ <-> [0-9.]+\s*")


class JsonMessage(NamedTuple):
    """A document and where it stands: `line` from 1; `received_us` and `url` where a recorder wrote them."""

    line: int
    document: Any
    received_us: int | None = None
    url: str = ""


def is_json(head: bytes) -> bool:
    """Whether a file that begins so holds JSON documents, bare or recorded."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return (
        start[:1] in {b"{", b"["} or _RECORDED.match(start) is not None or _CONNECTED.match(start.partition(b"\n")[0]) is not None
    )


def read_messages(stream: BinaryIO, *, file: str) -> Iterator[JsonMessage]:
    """The documents of a file, in order. Raises DataError naming the line that is none."""
    first = stream.readline(BODY_BYTES_MAX).removeprefix(b"\xef\xbb\xbf")
    if first.lstrip()[:1] in {b"{", b"["} and not _is_document(first):
        body = first + stream.read(BODY_BYTES_MAX)
        if len(body) > BODY_BYTES_MAX:
            raise DataError(
                f"{file}: a body of more than {BODY_BYTES_MAX} bytes; state whether it is a recording, one message a line"
            )
        yield JsonMessage(1, _decoded(body, file, 1))
        return
    line, text = 1, first
    while text:
        message = _message(text, file, line)
        if message is not None:
            yield message
        line, text = line + 1, stream.readline(BODY_BYTES_MAX)


def _message(text: bytes, file: str, line: int) -> JsonMessage | None:
    """The message of a line; None of one that is empty or that a recorder wrote about itself."""
    text = text.strip()
    if not text or _CONNECTED.fullmatch(text) or _NOTE.match(text):
        return None
    recorded = _RECORDED.match(text)
    if recorded is None:
        return JsonMessage(line, _decoded(text, file, line))
    url = (recorded["url"] or b"").decode("ascii", "replace")
    return JsonMessage(line, _decoded(text[recorded.end() :], file, line), _micros(recorded["time"].decode()), url)


def _micros(text: str) -> int:
    """A recorder's stamp in microseconds: nanoseconds as whole numbers, seconds as decimals."""
    if "." in text:
        return int(Decimal(text) * 1_000_000)
    scale = {10: 1_000_000, 13: 1_000, 16: 1}.get(len(text))
    return int(text) * scale if scale else int(text) // 1_000


def _is_document(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _decoded(text: bytes, file: str, line: int) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(
            f"{file}, line {line}: no JSON ({str(error) or 'nested too deeply'}); the file is cut or damaged, get it anew"
        ) from error
