"""A small S3-compatible server on 127.0.0.1: what Arrow's S3 file system asks for, in memory. Signatures are not checked."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


class S3Server(ThreadingHTTPServer):
    """`objects` holds (bytes, version) by `bucket/key`; `requests` what was asked, as `GET bucket/key`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, tuple[bytes, int]] = {}
        self.buckets = {"market"}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.requests: list[str] = []
        self.bytes_sent = 0
        self.page = 1000
        self.refuse = 0
        """So many further requests are answered with 503."""
        self.denied = False
        self.read_only = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def s3_server() -> Iterator[S3Server]:
    server = S3Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: S3Server
    disable_nagle_algorithm = True

    def log_message(self, *args: Any) -> None:
        pass

    def _asked(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        path = unquote(parts.path).strip("/")
        self.server.requests.append(f"{self.command} {path}")
        return path, query

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("x-amz-request-id", "1")
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            self.server.bytes_sent += len(body)

    def _xml(self, text: str, status: int = 200) -> None:
        self._answer(status, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode(), {"Content-Type": "application/xml"})

    def _error(self, status: int, code: str) -> None:
        self._xml(f"<Error><Code>{code}</Code><Message>{code}</Message></Error>", status)

    def _turned_away(self) -> bool:
        if self.server.denied or (self.server.read_only and self.command in {"PUT", "POST", "DELETE"}):
            self._error(403, "AccessDenied")
            return True
        if self.server.refuse:
            self.server.refuse -= 1
            self._error(503, "SlowDown")
            return True
        return False

    def _body(self) -> bytes:
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        if "aws-chunked" not in self.headers.get("Content-Encoding", ""):
            return data
        whole = b""
        while data:
            size_text, _, data = data.partition(b"\r\n")
            size = int(size_text.split(b";")[0], 16)
            if size == 0:
                break
            whole, data = whole + data[:size], data[size + 2 :]
        return whole

    def _facts(self, path: str) -> dict[str, str]:
        content, version = self.server.objects[path]
        return {"ETag": f'"{hashlib.md5(content).hexdigest()}"', "Last-Modified": _http_date(version), "Accept-Ranges": "bytes"}

    def do_HEAD(self) -> None:
        path, _ = self._asked()
        if self._turned_away():
            return
        if path in self.server.objects:
            length = str(len(self.server.objects[path][0]))
            self._answer(200, headers={**self._facts(path), "Content-Length": length})
        elif path in self.server.buckets:
            self._answer(200)
        else:
            self._answer(404)

    def do_GET(self) -> None:
        path, query = self._asked()
        if self._turned_away():
            return
        if "list-type" in query:
            self._list(path, query)
        elif path not in self.server.objects:
            self._error(404, "NoSuchKey")
        else:
            content = self.server.objects[path][0]
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if asked is None:
                self._answer(200, content, self._facts(path))
                return
            first, last = int(asked[1]), min(int(asked[2] or len(content) - 1), len(content) - 1)
            span = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
            self._answer(206, content[first : last + 1], {**self._facts(path), **span})

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        rows: dict[str, str] = {}
        for path in sorted(self.server.objects):
            name = path.removeprefix(f"{bucket}/")
            if not path.startswith(f"{bucket}/") or not name.startswith(prefix):
                continue
            head, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            if found:
                common = prefix + head + delimiter
                rows[common] = f"<CommonPrefixes><Prefix>{escape(common)}</Prefix></CommonPrefixes>"
            else:
                content, version = self.server.objects[path]
                rows[name] = (
                    f"<Contents><Key>{escape(name)}</Key><LastModified>{_iso_date(version)}</LastModified>"
                    f"<Size>{len(content)}</Size></Contents>"
                )
        after = query.get("continuation-token", "")
        names = [name for name in sorted(rows) if name > after]
        page = names[: min(self.server.page, int(query.get("max-keys", 1000)))]
        more = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if len(page) < len(names) else ""
        self._xml(
            f"<ListBucketResult><Name>{bucket}</Name><KeyCount>{len(page)}</KeyCount>"
            f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>{more}{''.join(rows[name] for name in page)}</ListBucketResult>"
        )

    def do_PUT(self) -> None:
        path, query = self._asked()
        body = self._body()
        if self._turned_away():
            return
        if "uploadId" in query:
            self.server.uploads[query["uploadId"]][int(query["partNumber"])] = body
        elif "/" in path:
            self._put(path, body)
        self._answer(200, headers={"ETag": f'"{hashlib.md5(body).hexdigest()}"'})

    def _put(self, path: str, body: bytes) -> None:
        version = self.server.objects.get(path, (b"", 0))[1] + 1
        self.server.objects[path] = (body, version)

    def do_POST(self) -> None:
        path, query = self._asked()
        self._body()
        if self._turned_away():
            return
        if "uploads" in query:
            name = str(len(self.server.uploads) + 1)
            self.server.uploads[name] = {}
            self._xml(f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>")
        elif "uploadId" in query:
            parts = self.server.uploads.pop(query["uploadId"])
            self._put(path, b"".join(parts[number] for number in sorted(parts)))
            self._xml("<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>")
        else:
            self._error(400, "NotImplemented")

    def do_DELETE(self) -> None:
        path, _ = self._asked()
        if self._turned_away():
            return
        self.server.objects.pop(path, None)
        self._answer(204)


def _http_date(version: int) -> str:
    return f"Mon, 06 Jan 2025 {version // 3600:02d}:{version // 60 % 60:02d}:{version % 60:02d} GMT"


def _iso_date(version: int) -> str:
    return f"2025-01-06T{version // 3600:02d}:{version // 60 % 60:02d}:{version % 60:02d}.000Z"
