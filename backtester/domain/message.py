"""The base of everything that is published."""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An immutable fact or request with the simulated time at which it was made."""

    time_ms: int
