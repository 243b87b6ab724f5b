"""The drawn topology is the wired one: document, table and subscriptions say the same."""

from __future__ import annotations

import ast
import subprocess
import sys

from backtester.app.topology import TOPOLOGY
from backtester.engine.topics import TOPICS
from tests.architecture.source_tree import ROOT, sources

MODULES = {
    "risk": "risk",
    "rounding": "risk",
    "orders": "execution",
    "venue": "execution",
    "account": "account",
    "mailbox": "strategy",
}
"""Variable in the wiring's subscriptions -> name in the table."""


def test_the_document_is_generated_from_the_wiring() -> None:
    command = [sys.executable, str(ROOT / "scripts/make_topology.py"), "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_topic_stands_in_the_table_once_and_in_order() -> None:
    assert [row.topic for row in TOPOLOGY] == [topic.name for topic in TOPICS]


def test_the_indexes_of_topics_are_their_places() -> None:
    assert [topic.index for topic in TOPICS] == list(range(len(TOPICS)))


def test_the_table_lists_the_subscriptions_in_the_order_of_registration() -> None:
    """Read from the source of the wiring, so that a subscription cannot be added without the table."""
    (wiring,) = [source for source in sources("backtester") if source.module == "backtester.app.wiring"]
    topic_names = {}
    (topics,) = [source for source in sources("backtester") if source.module == "backtester.engine.topics"]
    for node in topics.tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Call) and isinstance(node.target, ast.Name):
            topic_names[node.target.id] = ast.literal_eval(node.value.args[0])
    wired: dict[str, list[str]] = {}
    for node in ast.walk(wiring.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "subscribe":
            topic, handler = node.args
            assert isinstance(topic, ast.Name)
            assert isinstance(handler, ast.Attribute)
            assert isinstance(handler.value, ast.Name)
            wired.setdefault(topic_names[topic.id], []).append(MODULES[handler.value.id])
    drawn = {row.topic: [name.split(" ")[0] for name in row.subscribers if name != "audit"] for row in TOPOLOGY}
    del drawn["candles"]  # routed by interest, see engine/routes.py
    assert {topic: names for topic, names in drawn.items() if names} == wired
