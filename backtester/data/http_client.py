"""Requests over HTTP that end in whole answers or in one clear error: retried, paced, resumable, within a budget of time."""

from __future__ import annotations

import errno
import json
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from backtester.data.partial_file import PartialFile, Validators
from backtester.domain.errors import DownloadError, NetworkForbiddenError, NotFoundError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

T = TypeVar("T")

USER_AGENT = "backtester/0.1"
BODY_BYTES_MAX = 64 << 20
"""An answer that is held in memory is never larger."""
_BACKOFF_S_MAX = 60.0
_PASSING = frozenset({408, 418, 425, 429})
"""Client errors that pass when one waits; 418 is how Binance answers those who ignored 429."""
_ABSENT = frozenset({404, 410})
_PLACE = frozenset({403, 451})


class Downloaded(NamedTuple):
    """A file that was received whole: `size` in bytes, `sha256` of its content, and how the server names this revision."""

    url: str
    sha256: str
    size: int
    validators: Validators


class RequestPace:
    """Keeps the sum of the weights of the requests of any minute within a limit, as venues count them."""

    def __init__(self, weight_per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = weight_per_minute
        self._clock = clock
        self._spent: deque[tuple[float, int]] = deque()
        self._lock = threading.Lock()

    def delay_s(self, weight: int) -> float:
        """0 if a request of `weight` may go now (it is counted then); else the seconds after which to ask again."""
        with self._lock:
            now = self._clock()
            while self._spent and self._spent[0][0] <= now - 60:
                self._spent.popleft()
            used = sum(cost for _, cost in self._spent)
            if not self._spent or used + weight <= self._limit:
                self._spent.append((now, weight))
                return 0.0
            return self._spent[0][0] + 60 - now

    def reported(self, used: int) -> None:
        """The venue says that `used` is spent this minute: others behind the same address count too."""
        with self._lock:
            own = sum(cost for _, cost in self._spent)
            if used > own:
                self._spent.append((self._clock(), used - own))


class _TryAgainError(Exception):
    """What went wrong may pass. `after_s`: how long the server wants to be left alone."""

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


class HttpClient:
    """One client for many requests, of several threads. Nothing is asked where `allow_net` is False: NetworkForbiddenError.

    Args: timeout_s - of a connection and of each wait for bytes. retries - attempts after the first. budget_s - of one call with
          all its attempts. on_wait(seconds, reason) is told before each wait; `wait` does the waiting and `clock` measures (tests
          pass their own). pace - weights of the venue. seed - of the jitter.
    Raises (all requests): NotFoundError - no such address (404, 410). DownloadError - the server refuses or does not answer.
    """

    def __init__(
        self,
        *,
        allow_net: bool,
        timeout_s: float = 20.0,
        retries: int = 5,
        on_wait: Callable[[float, str], None] | None = None,
        wait: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        budget_s: float = 1800.0,
        pace: RequestPace | None = None,
        seed: int = 42,
    ) -> None:
        self.allow_net = allow_net
        self._timeout_s = timeout_s
        self._retries = retries
        self._on_wait = on_wait
        self._stopped = threading.Event()
        self._wait = wait or self._stopped.wait
        self._clock = clock
        self._budget_s = budget_s
        self._pace = pace
        self._jitter = random.Random(seed)
        self._lock = threading.Lock()
        self._opened: httpx.Client | None = None

    # -- requests ----------------------------------------------------------------------------------------------------

    def get(
        self, url: str, *, params: Mapping[str, str | int] | None = None, headers: Mapping[str, str] | None = None, weight: int = 1
    ) -> bytes:
        """The whole body of the answer."""

        def once(deadline: float) -> bytes:
            self._keep_pace(weight, deadline, url)
            with self._answer(url, params=params, headers=headers) as response:
                self._require_good(response, url)
                return self._body(response, url, deadline)

        return self._repeated(url, once)

    def get_json(
        self, url: str, *, params: Mapping[str, str | int] | None = None, headers: Mapping[str, str] | None = None, weight: int = 1
    ) -> Any:
        """The answer decoded. Raises DownloadError also where it is no JSON, as the page of a proxy is none."""
        body = self.get(url, params=params, headers=headers, weight=weight)
        try:
            return json.loads(body)
        except ValueError:
            raise DownloadError(f"{url} answered with something that is no JSON: {_excerpt(body)}; is the address right?") from None

    def download(self, url: str, to: Path, *, known: Downloaded | None = None) -> Downloaded:
        """`to` holds the whole file; what stood there before stays until then. A part received earlier is gone on with.

        `known`: what `to` holds already; if the server says that this is still its revision, nothing is fetched.
        Raises also StorageError - the disk refuses.
        """
        part = PartialFile(to)

        def once(deadline: float) -> Downloaded:
            asked = part.resume_headers() if known is None else known.validators.unless_changed()
            with self._answer(url, headers=asked) as response:
                if known is not None and response.status_code == HTTPStatus.NOT_MODIFIED:
                    return known
                if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    part.discard()
                    raise _TryAgainError("the server does not have the rest of a file that was begun", 0.0)
                self._require_good(response, url)
                self._receive(response, part, deadline, url)
            sha256, size = part.finish()
            return Downloaded(url, sha256, size, _validators(response))

        try:
            return self._repeated(url, once)
        except OSError as error:
            reason = "the disk is full" if error.errno in {errno.ENOSPC, errno.EDQUOT} else error.strerror or str(error)
            raise StorageError(f"cannot write {to}: {reason}") from error

    def close(self) -> None:
        """Waits and downloads of other threads end soon, each with an error; connections are closed."""
        self._stopped.set()
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    # -- one attempt -------------------------------------------------------------------------------------------------

    @contextmanager
    def _answer(
        self, url: str, *, params: Mapping[str, str | int] | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        """The answer with its body still to come; whatever fails on the way, also inside the block, may be tried again."""
        import httpx

        sent = {"Accept-Encoding": "identity", **(headers or {})}
        try:
            with self._client().stream("GET", url, params=params, headers=sent) as response:
                if response.url.scheme != "https" and any(hop.url.scheme == "https" for hop in response.history):
                    raise DownloadError(
                        f"{url} leads from https to {response.url}: refused, since anyone could change it on its way"
                    )
                used = response.headers.get("x-mbx-used-weight-1m", "")
                if self._pace is not None and used.isdigit():
                    self._pace.reported(int(used))
                yield response
        except httpx.TimeoutException as error:
            raise _TryAgainError(f"no answer within {self._timeout_s:g} s") from error
        except httpx.TransportError as error:
            raise _TryAgainError(str(error) or type(error).__name__) from error
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise DownloadError(f"{url} cannot be asked: {error}") from error

    def _client(self) -> httpx.Client:
        import httpx

        with self._lock:
            if self._stopped.is_set():
                raise DownloadError("the download was stopped")
            if self._opened is None:
                self._opened = httpx.Client(
                    timeout=self._timeout_s, follow_redirects=True, max_redirects=5, headers={"User-Agent": USER_AGENT}
                )
            return self._opened

    def _require_good(self, response: httpx.Response, url: str) -> None:
        """Returns if the answer is the thing itself."""
        status = response.status_code
        if status in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
            return
        if status in _ABSENT:
            raise NotFoundError(f"{url} does not exist (HTTP {status})")
        reason = f"HTTP {status} {response.reason_phrase}".rstrip()
        if status in _PASSING or status >= 500:
            raise _TryAgainError(reason, _retry_after_s(response))
        said = _excerpt(next(response.iter_bytes(2000), b""))
        if status in _PLACE:
            raise DownloadError(
                f"{url} refuses ({reason}): some venues do not serve every place or address. Use their archive, which is open to "
                f"all (--via archive), or another address (--rest-url, --base-url). It said: {said}"
            )
        raise DownloadError(f"{url} refuses ({reason}): {said}")

    def _body(self, response: httpx.Response, url: str, deadline: float) -> bytes:
        pieces: list[bytes] = []
        size = 0
        for piece in response.iter_bytes():
            size += len(piece)
            if size > BODY_BYTES_MAX:
                raise DownloadError(f"{url} answers with more than {BODY_BYTES_MAX >> 20} MB; is the address right?")
            self._require_time(deadline)
            pieces.append(piece)
        return b"".join(pieces)

    def _receive(self, response: httpx.Response, part: PartialFile, deadline: float, url: str) -> None:
        """The body stands in `part`, from where it was to its announced end."""
        resumed = response.status_code == HTTPStatus.PARTIAL_CONTENT
        if resumed and not part.continues(response.headers.get("Content-Range", "")):
            part.discard()
            raise _TryAgainError("the server sent another part of the file than asked for", 0.0)
        announced = response.headers.get("Content-Length", "")
        size = 0
        with part.writing(append=resumed, validators=_validators(response)) as write:
            for piece in response.iter_raw():
                self._require_time(deadline)
                write(piece)
                size += len(piece)
        if announced.isdigit() and size != int(announced):
            raise _TryAgainError(f"{size:,} of {int(announced):,} bytes came")

    def _require_time(self, deadline: float) -> None:
        if self._stopped.is_set():
            raise DownloadError("the download was stopped")
        if self._clock() > deadline:
            raise _TryAgainError(f"more than {self._budget_s:g} s")

    # -- attempts ----------------------------------------------------------------------------------------------------

    def _repeated(self, url: str, once: Callable[[float], T]) -> T:
        if not self.allow_net:
            raise NetworkForbiddenError(f"{url} is not cached, and the network may not be used (allow_net=False, --offline)")
        deadline = self._clock() + self._budget_s
        attempt = 0
        while True:
            if self._stopped.is_set():
                raise DownloadError(f"{url}: the download was stopped")
            try:
                return once(deadline)
            except _TryAgainError as failure:
                attempt += 1
                tried = f"{attempt} attempts" if attempt > 1 else "1 attempt"
                if attempt > self._retries:
                    raise DownloadError(f"{url}: {failure} ({tried}); try again later, what is complete is kept") from failure
                pause_s = self._backoff_s(attempt) if failure.after_s is None else failure.after_s
                if self._clock() + pause_s > deadline:
                    raise DownloadError(
                        f"{url}: {failure} ({tried}); the next would be in {pause_s:.0f} s, past the {self._budget_s:.0f} s for "
                        "one address; try again later, what is complete is kept"
                    ) from failure
                self._pause(pause_s, f"{url}: {failure}")

    def _keep_pace(self, weight: int, deadline: float, url: str) -> None:
        while self._pace is not None and (pause_s := self._pace.delay_s(weight)) > 0:
            if self._clock() + pause_s > deadline or self._stopped.is_set():
                raise DownloadError(f"{url}: the venue's limit of requests leaves no room in {self._budget_s:.0f} s")
            self._pause(pause_s, "keeping to the venue's limit of requests")

    def _backoff_s(self, attempt: int) -> float:
        """1, 2, 4... seconds up to a minute, each up to a half longer, so that many clients do not come back at once."""
        with self._lock:
            return float(min(2.0 ** (attempt - 1), _BACKOFF_S_MAX) * (1 + self._jitter.random() / 2))

    def _pause(self, seconds: float, reason: str) -> None:
        if seconds <= 0:
            return
        if self._on_wait is not None:
            self._on_wait(seconds, reason)
        self._wait(seconds)


def _validators(response: httpx.Response) -> Validators:
    return Validators(response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""))


def _retry_after_s(response: httpx.Response) -> float | None:
    """Retry-After in seconds; a date counts from the server's own, since our clock may differ. None where it says nothing."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    try:
        until, now = parsedate_to_datetime(text), parsedate_to_datetime(response.headers["Date"])
        return max((until - now).total_seconds(), 0.0)
    except (KeyError, TypeError, ValueError):
        return None


def _excerpt(body: bytes) -> str:
    """The start of an answer, on one line, for a message."""
    return " ".join(body[:300].decode("utf-8", "replace").split())[:200] or "nothing"
