"""Reports on their way to the strategies: what the venue said arrives after the response latency."""

from __future__ import annotations

from collections.abc import Callable

from backtester.domain.orders import Fill, OrderCanceled, OrderRefused, OrderRejected
from backtester.domain.vocabulary import RejectReason
from backtester.engine.schedule import HOOK_FILL, HOOK_REJECT, Schedule

_SILENT = (RejectReason.END_OF_RUN, RejectReason.BANKRUPT)


class Mailbox:
    """Subscribed to reports; puts each on the schedule for the time at which its strategy learns of it."""

    def __init__(self, *, schedule: Schedule, response_ms: Callable[[], int]) -> None:
        self._schedule = schedule
        self._response_ms = response_ms

    def on_refused(self, refused: OrderRefused) -> None:
        """Risk is near: the strategy learns of it within the same instant."""
        self._schedule.hook(refused.time_ms, hook_class=HOOK_REJECT, item=refused)

    def on_rejected(self, rejected: OrderRejected) -> None:
        """The venue's rejection arrives after the response leg."""
        self._schedule.hook(rejected.time_ms + self._response_ms(), hook_class=HOOK_REJECT, item=rejected)

    def on_canceled(self, canceled: OrderCanceled) -> None:
        """The venue's report arrives after the response leg; what ends with the run is not reported."""
        if canceled.reason not in _SILENT:
            self._schedule.hook(canceled.time_ms + self._response_ms(), hook_class=HOOK_REJECT, item=canceled)

    def on_fill(self, fill: Fill) -> None:
        """The venue's report arrives after the response leg."""
        self._schedule.hook(fill.time_ms + self._response_ms(), hook_class=HOOK_FILL, item=fill)
