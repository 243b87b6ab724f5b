"""Order rate: a token bucket on simulated time."""

from __future__ import annotations


class TokenBucket:
    """At most `burst` orders at once, refilled at `per_second`; whole numbers of 1/1000 of a milli-token, so exact."""

    _SCALE = 10**8

    def __init__(self, *, per_second_e8: int, burst: int, now_ms: int) -> None:
        self._per_ms = per_second_e8
        self._full = burst * self._SCALE * 1000
        self._level = self._full
        self._last_ms = now_ms

    def take(self, now_ms: int) -> bool:
        """Use one token; False when none is left at `now_ms`."""
        self._level = min(self._full, self._level + (now_ms - self._last_ms) * self._per_ms)
        self._last_ms = now_ms
        cost = self._SCALE * 1000
        if self._level < cost:
            return False
        self._level -= cost
        return True
