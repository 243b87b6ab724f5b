"""A server on 127.0.0.1 that answers from a function, for tests of clients; it ends with its `with` block."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit


class Reply(NamedTuple):
    """What is sent back. `body` is sent as JSON unless it is bytes; `cut` announces more bytes than come."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = {}
    delay_s: float = 0.0
    cut: bool = False


class Asked(NamedTuple):
    """A request as it came."""

    path: str
    query: dict[str, str]


Answer = Callable[[Asked], Reply]


class Loopback:
    """`url` is where it listens; `asked` what was asked, in order. Replies in `next` go out before `answer` is called."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Asked] = []
        self.next: list[Reply] = []

    def paths(self) -> list[str]:
        return [one.path for one in self.asked]


@contextmanager
def serving(answer: Answer) -> Iterator[Loopback]:
    """A running server."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet: the second would wait for the client's delayed acknowledgement

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = Asked(parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)))
            served.asked.append(asked)
            reply = served.next.pop(0) if served.next else answer(asked)
            if reply.delay_s:
                time.sleep(reply.delay_s)
            body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            try:
                self.send_response(reply.status)
                for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body) + (100 if reply.cut else 0)))
                self.end_headers()
                self.wfile.write(body)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client did not wait
            self.close_connection = reply.cut

        def log_message(self, *arguments: object) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served = Loopback(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
