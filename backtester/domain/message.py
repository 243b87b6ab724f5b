"""The base of everything that is published."""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, frozen=True, gc=False):
    """An immutable fact or request with the simulated time at which it was made.

    Where many are made, fields are given by position: by name, one with twenty fields costs 0.6 us more.
    """

    time_ms: int
