"""An archive and interface on 127.0.0.1 that can be told to fail in every way a real one does."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, unquote, urlsplit


class Fault(NamedTuple):
    """How one request fails: by a status, late, or with a body that ends too soon (`keep` bytes of it are sent)."""

    status: int = 0
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""
    keep: int = -1
    delay_s: float = 0.0


class Asked(NamedTuple):
    """One request as it came."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]


def zipped(member: str, content: bytes) -> bytes:
    """A zip with one member, the same bytes each time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(member, (2024, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


class ArchiveServer:
    """Serves `files` by path (with ETag and Range) and `answers` by path as JSON; `faults` come first, one a request."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.answers: dict[str, Callable[[dict[str, str]], Any]] = {}
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.asked: list[Asked] = []
        self.lists_files = False
        self.validators = True
        self.chunk_bytes = 1 << 20
        self.chunk_delay_s = 0.0
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def paths(self) -> list[str]:
        """The paths asked for so far, in order."""
        return [one.path for one in self.asked]

    def publish(self, path: str, text: str, *, checksum: bool = True) -> str:
        """A csv file as the archive keeps it: zipped at `path`, its CHECKSUM beside it; the sha256."""
        name = path.rsplit("/", 1)[1]
        content = zipped(name.removesuffix(".zip") + ".csv", text.encode())
        return self.put(path, content, checksum=checksum)

    def put(self, path: str, content: bytes, *, checksum: bool = True) -> str:
        """`content` at `path`."""
        digest = hashlib.sha256(content).hexdigest()
        self.files[path] = content
        if checksum:
            self.files[f"{path}.CHECKSUM"] = f"{digest}  {path.rsplit('/', 1)[1]}\n".encode()
        return digest


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, archive: ArchiveServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.archive = archive

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        archive = self.server.archive
        parts = urlsplit(self.path)
        path, query = unquote(parts.path), dict(parse_qsl(parts.query))
        archive.asked.append(Asked(path, query, dict(self.headers)))
        fault = archive.faults[path].pop(0) if archive.faults[path] else Fault()
        if fault.delay_s:
            threading.Event().wait(fault.delay_s)
        if fault.status:
            self._send(fault.status, fault.body, fault.headers)
        elif path in archive.answers:
            self._answer(archive.answers[path](query))
        elif path in archive.files:
            self._file(archive.files[path], fault.keep)
        elif path in {"", "/"} and "prefix" in query and archive.lists_files:
            self._send(200, _listing(sorted(archive.files), query), {"Content-Type": "application/xml"})
        else:
            self._send(404, b"<Error><Code>NoSuchKey</Code></Error>", {})

    def _answer(self, answer: Any) -> None:
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        self._send(status, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _file(self, content: bytes, keep: int) -> None:
        digest = hashlib.sha256(content).hexdigest()
        headers = {"Accept-Ranges": "bytes"}
        if self.server.archive.validators:
            headers |= {"ETag": f'"{digest[:16]}"', "Last-Modified": formatdate(1_700_000_000 + digest.encode()[0], usegmt=True)}
        if self.headers.get("If-None-Match") == headers.get("ETag", "none"):
            self._send(304, b"", headers)
            return
        first = 0
        asked = self.headers.get("Range", "")
        if asked and self.headers.get("If-Range") in {headers.get("ETag"), headers.get("Last-Modified")}:
            first = int(asked.removeprefix("bytes=").partition("-")[0])
            if first >= len(content):
                self._send(416, b"", headers)
                return
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        self._send(206 if first else 200, content[first:], headers, keep)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str], keep: int = -1) -> None:
        archive = self.server.archive
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        sent = body if keep < 0 else body[:keep]
        for start in range(0, len(sent), archive.chunk_bytes):
            self.wfile.write(sent[start : start + archive.chunk_bytes])
            self.wfile.flush()
            if archive.chunk_delay_s:
                threading.Event().wait(archive.chunk_delay_s)
        if keep >= 0:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Tests look at `asked`."""


def _listing(paths: list[str], query: dict[str, str]) -> bytes:
    """As S3 lists the keys under a prefix after a marker, two a page."""
    keys = [path.removeprefix("/") for path in paths]
    keys = [key for key in keys if key.startswith(query["prefix"]) and key > query.get("marker", "")]
    page = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in keys[:2])
    more = "true" if len(keys) > 2 else "false"
    namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
    return f'<?xml version="1.0"?><ListBucketResult xmlns="{namespace}"><IsTruncated>{more}</IsTruncated>{page}</ListBucketResult>'.encode()
