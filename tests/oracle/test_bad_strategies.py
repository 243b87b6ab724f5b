"""A strategy that fails, answers rubbish or never settles ends the run with exit code 2 and a message that says why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from backtester.cli.main import main

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
        "orders.refused",
    ),
    "timer_that_is_always_due": (
        (
            "    def on_candle(self, candle):\n        self.ctx.timer('again', at_ms=self.ctx.now_ms)\n"
            "    def on_timer(self, name):\n        self.ctx.timer('again', at_ms=self.ctx.now_ms)\n"
        ),
        "again",
    ),
}


@pytest.fixture
def run_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Exit code and messages of a run of a strategy with this body, on a day of the sample."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BT_DATA", raising=False)

    def run(body: str, *arguments: str) -> tuple[int, str]:
        path = tmp_path / "bad.py"
        path.write_text(HEAD + body)
        chosen = ["--strategy", f"{path}:Bad", "--symbols", "BTCUSDT", "--timeframe", "1m", "--set", "data.sample_days=1"]
        code = main([*chosen, "--output", str(tmp_path / "runs"), *arguments])
        captured = capsys.readouterr()
        return code, captured.err + captured.out

    return run


@pytest.mark.parametrize("name", list(BODIES))
def test_a_bad_strategy_ends_with_exit_code_two_and_a_message(name: str, run_bad: Callable[..., tuple[int, str]]) -> None:
    body, expected = BODIES[name]
    code, message = run_bad(body)
    assert code == 2, message
    assert expected in message
    assert "internal error" not in message.lower()


def test_a_strategy_that_cannot_be_made_is_the_users_mistake(run_bad: Callable[..., tuple[int, str]]) -> None:
    code, message = run_bad("    def __init__(self, params=None):\n        raise ValueError('bad birth')\n")
    assert (code, "bad birth" in message) == (2, True), message


def test_an_order_resubmitted_for_ever_in_one_instant_is_named(run_bad: Callable[..., tuple[int, str]]) -> None:
    body = (
        "    def send(self, symbol):\n"
        "        return LimitOrderIntent(symbol=symbol, side=Side.BUY, qty='0.01', price='50000', tif=TimeInForce.IOC)\n"
        "    def on_candle(self, candle):\n        return self.send(candle.symbol)\n"
        "    def on_cancel(self, canceled):\n        return self.send(canceled.symbol)\n"
    )
    at_once = [f"--set=sim.{leg}_latency_ms=0" for leg in ("order", "cancel", "response")]
    code, message = run_bad(body, *at_once)
    assert code == 2, message
    assert "orders.canceled" in message


def test_the_journal_up_to_the_failure_is_on_disk(tmp_path: Path, run_bad: Callable[..., tuple[int, str]]) -> None:
    body = (
        "    def on_candle(self, candle):\n"
        "        self.n = getattr(self, 'n', 0) + 1\n"
        "        if self.n == 100:\n            raise ValueError('the hundredth candle')\n"
        "        return self.order(candle.symbol) if self.n == 5 else None\n"
    )
    code, message = run_bad(body, "--run-id", "broken")
    assert (code, "the hundredth candle" in message) == (2, True), message
    run = tmp_path / "runs" / "broken"
    assert '"failed"' in (run / "manifest.json").read_text()
    journals = [path for path in run.iterdir() if path.name.startswith("journal")]
    assert journals and journals[0].stat().st_size > 0
