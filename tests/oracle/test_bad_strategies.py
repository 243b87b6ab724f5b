"""A strategy that fails, answers rubbish or never settles ends the run with exit code 2 and a message that says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.oracle.test_fresh_processes import bt

HEAD = """
import itertools
from decimal import Decimal
from backtester import CancelOrderIntent, LimitOrderIntent, MarketOrderIntent, Side, Strategy
from backtester.domain.vocabulary import TimeInForce


class Bad(Strategy):
    def order(self, symbol, qty="0.01"):
        return MarketOrderIntent(symbol=symbol, side=Side.BUY, qty=qty)

"""

BODIES = {
    "raises": ("    def on_candle(self, candle):\n        raise ZeroDivisionError('my own mistake')\n", "my own mistake"),
    "raises_in_on_start": ("    def on_start(self):\n        raise ValueError('bad start')\n", "bad start"),
    "raises_in_init": ("    def __init__(self, params=None):\n        raise ValueError('bad birth')\n", "bad birth"),
    "raises_in_on_end": ("    def on_end(self):\n        raise ValueError('bad end')\n", "bad end"),
    "returns_number": ("    def on_candle(self, candle):\n        return 42\n", "on_candle"),
    "returns_text": ("    def on_candle(self, candle):\n        return 'buy'\n", "on_candle"),
    "returns_list_of_numbers": ("    def on_candle(self, candle):\n        return [1, 2]\n", "on_candle"),
    "returns_dict": ("    def on_candle(self, candle):\n        return {'side': 'buy'}\n", "on_candle"),
    "returns_candle": ("    def on_candle(self, candle):\n        return candle\n", "on_candle"),
    "generator_raises": (
        "    def on_candle(self, candle):\n        yield self.order(candle.symbol)\n        raise ValueError('half way')\n",
        "half way",
    ),
    "raises_system_exit": ("    def on_candle(self, candle):\n        raise SystemExit(0)\n", "SystemExit"),
    "is_not_a_strategy": ("    pass\n\nBad = 3\n", "Bad"),
    "million_intents": ("    def on_candle(self, candle):\n        return [self.order(candle.symbol)] * 1_000_000\n", "intents"),
    "endless_intents": (
        "    def on_candle(self, candle):\n        return itertools.repeat(self.order(candle.symbol))\n",
        "intents",
    ),
    "resubmits_refused_orders": (
        (
            "    def on_candle(self, candle):\n        return self.order(candle.symbol, '1e12')\n"
            "    def on_reject(self, rejection):\n        return self.order(rejection.symbol, '1e12')\n"
        ),
        "on_reject",
    ),
    "timer_that_is_always_due": (
        (
            "    def on_candle(self, candle):\n        self.ctx.timer('again', at_ms=self.ctx.now_ms)\n"
            "    def on_timer(self, name):\n        self.ctx.timer('again', at_ms=self.ctx.now_ms)\n"
        ),
        "again",
    ),
}


def run_bad(tmp_path: Path, body: str, *arguments: str) -> tuple[int, str]:
    """Exit code and messages of a run of this strategy on a day of the sample."""
    path = tmp_path / "bad.py"
    path.write_text(HEAD + body)
    done = bt(
        "--strategy",
        f"{path}:Bad",
        "--symbols",
        "BTCUSDT",
        "--timeframe",
        "1m",
        "--set",
        "data.sample_days=1",
        "--output",
        str(tmp_path / "runs"),
        *arguments,
        cwd=tmp_path,
    )
    return done.returncode, done.stderr + done.stdout


@pytest.mark.parametrize("name", list(BODIES))
def test_a_bad_strategy_ends_with_exit_code_two_and_a_message(name: str, tmp_path: Path) -> None:
    body, expected = BODIES[name]
    code, message = run_bad(tmp_path, body)
    assert code == 2, message
    assert expected in message
    assert "internal error" not in message.lower()


def test_an_order_resubmitted_for_ever_in_one_instant_is_named(tmp_path: Path) -> None:
    body = (
        "    def send(self, symbol):\n"
        "        return LimitOrderIntent(symbol=symbol, side=Side.BUY, qty='0.01', price='50000', tif=TimeInForce.IOC)\n"
        "    def on_candle(self, candle):\n        return self.send(candle.symbol)\n"
        "    def on_cancel(self, canceled):\n        return self.send(canceled.symbol)\n"
    )
    at_once = [f"--set=sim.{leg}_latency_ms=0" for leg in ("order", "cancel", "response")]
    code, message = run_bad(tmp_path, body, *at_once)
    assert code == 2, message
    assert "on_cancel" in message


def test_the_journal_up_to_the_failure_is_on_disk(tmp_path: Path) -> None:
    body = (
        "    def on_candle(self, candle):\n"
        "        self.n = getattr(self, 'n', 0) + 1\n"
        "        if self.n == 100:\n            raise ValueError('the hundredth candle')\n"
        "        return self.order(candle.symbol) if self.n == 5 else None\n"
    )
    code, message = run_bad(tmp_path, body, "--run-id", "broken")
    assert (code, "the hundredth candle" in message) == (2, True), message
    run = tmp_path / "runs" / "broken"
    assert '"failed"' in (run / "manifest.json").read_text()
    journals = [path for path in run.iterdir() if path.name.startswith("journal")]
    assert journals and journals[0].stat().st_size > 0
