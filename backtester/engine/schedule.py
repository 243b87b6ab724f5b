"""What is due between and at bars: arrivals at the venue, hooks, and the engine's own dates."""

from __future__ import annotations

import sys
from heapq import heappush
from typing import Any

from backtester.engine.bus import Bus
from backtester.engine.clock import Clock

NEVER_MS = sys.maxsize

HOOK_DAY = 0
HOOK_REJECT = 1
HOOK_FILL = 2
HOOK_TIMER = 3
"""Order of hooks within one instant: the day's roll-over, rejections and cancels, fills, timers."""


Arrival = tuple[int, int, int, int, Any, int, int]
"""(time, symbol index, class, sequence, item, cause, depth)."""

Hook = tuple[int, int, int, Any, int, int]
"""(time, class, sequence, item, cause, depth)."""


class Schedule:
    """Two heaps, out of which the loop takes what is due. `next_ms` is the earliest time at which anything is due.

    Each entry ends with the message that caused it, and how deep it stood in the chain of causes of its instant.
    Arrivals are sorted by (time, symbol index, class, sequence): the total order of `architecture.md`, section 2. Hooks by
    (time, class, sequence).
    """

    def __init__(self, *, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self.next_ms = NEVER_MS
        self.halt_ms = NEVER_MS
        """The first tick that may not take the loop's short path, which takes a snapshot due at its own instant by itself."""
        self.arrivals: list[Arrival] = []
        self.hooks: list[Hook] = []
        self.snapshot_ms = NEVER_MS
        self._count = 0
        self._held = False

    def arrive(self, time_ms: int, *, symbol_index: int, order_class: int, item: Any, sequence: int = 0) -> int:
        """`item` reaches the venue at `time_ms`. Its sequence number is returned; one it had before is kept."""
        if not sequence:
            self._count += 1
            sequence = self._count
        current = self._bus.current
        depth = current[4] + 1 if time_ms == self._clock.now_ms else 0
        heappush(self.arrivals, (time_ms, symbol_index, order_class, sequence, item, current[2], depth))
        if time_ms < self.next_ms:
            self.next_ms = time_ms
        if time_ms < self.halt_ms:
            self.halt_ms = time_ms
        return sequence

    def hook(self, time_ms: int, *, hook_class: int, item: Any) -> None:
        """`item` is delivered to its strategy at `time_ms`."""
        self._count = count = self._count + 1
        current = self._bus.current
        depth = current[4] + 1 if time_ms == self._clock.now_ms else 0
        heappush(self.hooks, (time_ms, hook_class, count, item, current[2], depth))
        if time_ms < self.next_ms:
            self.next_ms = time_ms
        if time_ms < self.halt_ms:
            self.halt_ms = time_ms

    def snapshot_at(self, time_ms: int) -> None:
        """The next account snapshot is taken at `time_ms`."""
        self.snapshot_ms = time_ms
        self.refresh()

    def hold(self) -> None:
        """Make every tick look due, until `release`: the loop then takes its careful path."""
        self._held = True
        self.next_ms = self.halt_ms = -1

    def release(self) -> None:
        """Undo `hold`."""
        self._held = False
        self.refresh()

    def refresh(self) -> None:
        """Recompute `next_ms` after something was taken out."""
        if self._held:
            return
        arrivals, hooks, snapshot_ms = self.arrivals, self.hooks, self.snapshot_ms
        due_ms = arrivals[0][0] if arrivals else NEVER_MS
        if hooks and hooks[0][0] < due_ms:
            due_ms = hooks[0][0]
        if due_ms <= snapshot_ms:
            self.next_ms = self.halt_ms = due_ms
        else:
            self.next_ms, self.halt_ms = snapshot_ms, snapshot_ms + 1

    def postpone_hooks(self, time_ms: int) -> None:
        """Hooks due before `time_ms` are due then: what was missed fires once."""
        late = [entry for entry in self.hooks if entry[0] < time_ms]
        if late:
            self.hooks[:] = sorted((max(entry[0], time_ms), *entry[1:]) for entry in self.hooks)
        self.refresh()
