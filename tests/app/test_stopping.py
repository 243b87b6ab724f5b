from __future__ import annotations

import signal
import threading

import pytest

from backtester.app import stopping
from backtester.app.stopping import StopSignals


class AskedLoop:
    """Counts how often it was asked to stop."""

    def __init__(self):
        self.asked = 0

    def request_stop(self):
        self.asked += 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_before_there_is_a_loop_a_signal_interrupts_at_once(number):
    with pytest.raises(KeyboardInterrupt), StopSignals():
        signal.raise_signal(number)


def test_the_first_signal_asks_the_loop_and_one_passed_on_by_a_parent_changes_nothing():
    loop = AskedLoop()
    with StopSignals() as signals:
        signals.finish(loop)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    assert loop.asked == 1


def test_a_later_signal_insists(monkeypatch):
    loop, now = AskedLoop(), [10.0]
    monkeypatch.setattr(stopping, "perf_counter", lambda: now[0])
    with pytest.raises(KeyboardInterrupt), StopSignals() as signals:
        signals.finish(loop)
        signal.raise_signal(signal.SIGINT)
        now[0] += stopping.INSIST_S
        signal.raise_signal(signal.SIGINT)
    assert loop.asked == 1


def test_handlers_are_put_back_and_other_threads_touch_none():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    seen = []

    def work() -> None:
        with StopSignals():
            seen.append((signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    with StopSignals():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert seen == [before]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
