"""mypy refuses to put a message on a topic that carries another type."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAD = """
from backtester.domain.candle import Candle
from backtester.domain.intents import CancelOrderIntent, MarketOrderIntent
from backtester.domain.orders import Fill, OrderAck, OrderRefused
from backtester.engine.bus import Bus
from backtester.engine.topics import T_CANDLES, T_FILLS, T_ORDERS_ACK, T_ORDERS_INTENT, T_ORDERS_REFUSED, on

def takes_fill(fill: Fill) -> None:
    del fill

def snippet(
    bus: Bus, candle: Candle, fill: Fill, ack: OrderAck, refused: OrderRefused, market: MarketOrderIntent, cancel: CancelOrderIntent
) -> None:
"""
ACCEPTED = [
    "bus.publish(T_CANDLES, candle)",
    "bus.publish(T_FILLS, fill)",
    "bus.publish(T_ORDERS_INTENT, market)",
    "bus.publish(T_ORDERS_INTENT, cancel)",
    "on(T_ORDERS_REFUSED, refused)",
]
REJECTED = [
    "bus.publish(T_CANDLES, fill)",
    "bus.publish(T_FILLS, candle)",
    "bus.publish(T_ORDERS_INTENT, ack)",
    "bus.publish(T_ORDERS_ACK, refused)",
    "bus.subscribe(T_CANDLES, takes_fill)",
    "on(T_FILLS, ack)",
    "fill.time_ms = 0",
    "MarketOrderIntent('BTCUSDT')",
]


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What mypy strict says about each statement, by statement."""
    folder = tmp_path_factory.mktemp("typing")
    program = folder / "snippets.py"
    statements = ACCEPTED + REJECTED
    program.write_text(HEAD + "".join(f"    {statement}\n" for statement in statements), encoding="utf-8")
    first = HEAD.count("\n") + 1
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context"]
    command += ["--follow-imports=silent", "--cache-dir", str(ROOT / ".mypy_cache/typing"), str(program)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found: dict[str, list[str]] = {statement: [] for statement in statements}
    for line in done.stdout.splitlines():
        if ": error:" in line:
            path, number, rest = line.split(":", 2)
            assert path.endswith("snippets.py"), line
            found[statements[int(number) - first]].append(rest)
    assert not done.stderr, done.stderr
    return found


@pytest.mark.parametrize("statement", ACCEPTED)
def test_a_message_of_the_right_type_is_accepted(statement: str, complaints: dict[str, list[str]]) -> None:
    assert complaints[statement] == []


@pytest.mark.parametrize("statement", REJECTED)
def test_a_message_of_the_wrong_type_is_rejected(statement: str, complaints: dict[str, list[str]]) -> None:
    assert complaints[statement] != []
