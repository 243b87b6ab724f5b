"""Random streams: each named consumer has its own, derived from the run's seed."""

from __future__ import annotations

import hashlib
import random

RandomStream = random.Random
"""What a stream is: Python's generator, seeded from run seed and name."""


class RandomStreams:
    """Streams by name: equal seed and names give equal numbers, whatever else draws."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._streams: dict[tuple[str, ...], random.Random] = {}

    def stream(self, *names: str) -> random.Random:
        """The stream of `names`, made at first use; the same object afterwards."""
        stream = self._streams.get(names)
        if stream is None:
            text = "\x1f".join((str(self.seed), *names))
            stream = random.Random(int.from_bytes(hashlib.sha256(text.encode()).digest(), "big"))
            self._streams[names] = stream
        return stream


def keyed_fraction(seed: int, *names: str) -> float:
    """A number in [0, 1) that belongs to these names: the same whenever and however often it is asked for."""
    text = "\x1f".join((str(seed), *names))
    return (int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 11) / 2**53
