"""Requests to Bybit through pybit: public ones only, retried here, every failure one of our errors."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from backtester.domain.errors import ConfigError, DownloadError, NetworkForbiddenError

LIMIT_CODES = frozenset({10006, 10018})
PASSING_CODES = frozenset({10000, 10002, 10016, *LIMIT_CODES})
"""retCodes of a venue that is busy or counts requests: the same request may succeed later."""
_NEVER = {-1}
"""pybit takes its own retry codes where it is given none; with this one it hands every error over."""
_WAIT_S_MAX = 60.0

Envelope = Mapping[str, Any]


class BybitClient:
    """One session. Requests are sent once each by pybit; what may pass is tried again here after a wait.

    Args: rest_url - another address of the interface. network - live, testnet or demo. wait - does the waiting (s).
    """

    def __init__(
        self,
        rest_url: str | None,
        network: str,
        allow_net: bool,
        now_ms: Callable[[], int],
        *,
        wait: Callable[[float], object] | None = None,
        timeout_s: float = 10.0,
        retries: int = 4,
    ) -> None:
        if network not in {"live", "testnet", "demo"}:
            raise ConfigError(f"network {network!r} is not known; use live, testnet or demo")
        self._rest_url = rest_url.rstrip("/") if rest_url else None
        self._network = network
        self._allow_net = allow_net
        self._now_ms = now_ms
        self._wait = wait or threading.Event().wait
        self._timeout_s = timeout_s
        self._retries = retries
        self._session: Any = None

    def address(self, path: str, params: Mapping[str, object]) -> str:
        """The request as an address, for messages and origins."""
        base = self._rest_url or {"live": "https://api.bybit.com", "testnet": "https://api-testnet.bybit.com"}.get(
            self._network, "https://api-demo.bybit.com"
        )
        return f"{base}{path}?{'&'.join(f'{name}={value}' for name, value in sorted(params.items()))}"

    def ask(self, method: str, path: str, **params: object) -> Envelope:
        """The whole answer of a method of pybit's HTTP, with `time` (ms) and `result`.

        Raises: NetworkForbiddenError - the network may not be used. DownloadError - the venue refuses or does not answer.
        """
        address = self.address(path, params)
        if not self._allow_net:
            raise NetworkForbiddenError(f"{address} is not cached, and the network may not be used (allow_net=False, --offline)")
        session = self._opened()
        attempt = 0
        while True:
            attempt += 1
            wait_s = self._attempt(session, method, dict(params), address, attempt)
            if not isinstance(wait_s, float):
                return wait_s
            self._wait(wait_s)

    def _attempt(self, session: Any, method: str, params: dict[str, object], address: str, attempt: int) -> Envelope | float:
        """The answer, or the seconds after which to try again. Raises DownloadError where that is no use."""
        from pybit.exceptions import (  # type: ignore[import-untyped] # pybit ships no types
            FailedRequestError,
            InvalidRequestError,
        )
        from requests.exceptions import RequestException  # type: ignore[import-untyped,unused-ignore] # nor does requests

        last = attempt > self._retries
        try:
            answer = getattr(session, method)(**params)
        except InvalidRequestError as error:
            if error.status_code not in PASSING_CODES or last:
                _refused(address, f"{error.message} (retCode {error.status_code})", error, attempt)
            return self._pause_s(attempt, error.resp_headers)
        except FailedRequestError as error:
            # 409 is pybit's own, for a body that is no JSON.
            if last or not (error.status_code >= 500 or error.status_code in {409, 429}):
                reason = "no JSON" if error.status_code == 409 else f"HTTP {error.status_code}"
                if error.status_code == 403:
                    reason += ": too many requests, or Bybit does not serve this place; its archive is open to all (--via archive)"
                _refused(address, reason, error, attempt)
            return self._pause_s(attempt, error.resp_headers)
        except RequestException as error:
            if last:
                _refused(address, _words(error, self._timeout_s), error, attempt)
            return self._pause_s(attempt, None)
        except (AttributeError, KeyError, TypeError) as error:  # pybit reads an envelope from whatever JSON came
            raise _not_bybit(address) from error
        if not isinstance(answer, Mapping) or not isinstance(answer.get("result"), Mapping):
            raise _not_bybit(address)
        return answer

    def _pause_s(self, attempt: int, headers: Mapping[str, str] | None) -> float:
        """Until the venue's limit is reset where it says when, else 1, 2, 4... seconds."""
        reset = (headers or {}).get("X-Bapi-Limit-Reset-Timestamp", "")
        if reset.isdigit():
            return min(max((int(reset) - self._now_ms()) / 1000, 0.1), _WAIT_S_MAX)
        return min(2.0 ** (attempt - 1), _WAIT_S_MAX)

    def _opened(self) -> Any:
        if self._session is None:
            from pybit.unified_trading import HTTP  # type: ignore[import-untyped] # pybit ships no types

            # Where the root logger has no handler, pybit adds one of its own that writes to stderr.
            logger = logging.getLogger("pybit._http_manager")
            before = list(logger.handlers)
            self._session = HTTP(
                testnet=self._network == "testnet",
                demo=self._network == "demo",
                timeout=self._timeout_s,
                max_retries=1,
                retry_codes=_NEVER,
                force_retry=False,
            )
            for handler in logger.handlers[:]:
                if handler not in before:
                    logger.removeHandler(handler)
            if self._rest_url is not None:
                self._session.endpoint = self._rest_url
        return self._session


def _not_bybit(address: str) -> DownloadError:
    return DownloadError(f"{address} did not answer as Bybit does; is the address right?")


def _refused(address: str, reason: str, error: Exception, attempts: int) -> NoReturn:
    tried = f" ({attempts} attempts)" if attempts > 1 else ""
    raise DownloadError(f"{address}: {reason}{tried}") from error


def _words(error: Exception, timeout_s: float) -> str:
    name = type(error).__name__
    if "Timeout" in name:
        return f"no answer within {timeout_s:g} s"
    return f"no connection ({name})" if "Connection" in name else f"the answer broke off ({name})"
