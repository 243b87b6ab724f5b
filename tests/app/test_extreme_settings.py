"""Settings at the ends of what can be typed: a run, or a message that names the setting; never a fault of the program."""

from __future__ import annotations

import json

import pytest

from tests.e2e.program import bt_here

RUN = ("--strategy", "sma_extended", "--symbols", "BTCUSDT", "--timeframe", "15m", "--set", "data.sample_days=2", "--quiet")


@pytest.fixture(autouse=True)
def no_named_catalog(monkeypatch):
    monkeypatch.delenv("BT_DATA", raising=False)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--cash", "1e400"), "--cash: account.starting_cash"),
        (("--cash", "1e-20"), "--cash: account.starting_cash"),
        (("--cash", "inf"), "--cash: account.starting_cash"),
        (("--fees", "nan"), "--fees: sim.fee_bps"),
        (("--set", "risk.orders_per_second=1e-30"), "risk.orders_per_second"),
        (("--set", "risk.max_position_notional=1e-30"), "risk.max_position_notional"),
        (("--set", "risk.price_collar_bps=1e30"), "risk.price_collar_bps"),
        (("--start", "0001-01-01", "--end", "2025-01-02"), "is before 1970"),
        (("--run-id", "two\nlines"), "is no directory name"),
        (("--run-id", "a" * 300), "File name too long"),
        (("--symbols", ""), "no symbols given"),
        (("--params", '{"fast": NaN}'), "fast"),
    ],
)
def test_what_cannot_be_is_the_users_mistake_and_named(tmp_path, words, named):
    done = bt_here(*RUN, *words, cwd=tmp_path, code=2)
    assert named in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "words",
    [
        ("--cash", "1e15"),
        ("--cash", "0.00000001"),
        ("--slippage", "10000"),
        ("--slippage", "1e-30"),
        ("--fees", "10000"),
        ("--seed", "99999999999999999999999999"),
        ("--start", "2025-01-01T00:00:30.123+02:00"),
        ("--set", "sim.order_latency_ms=1000000000000000000"),
        ("--set", "sim.latency_jitter_ms=100000000000"),
        ("--set", "sim.participation_bps=1e-20"),
        ("--set", "sim.work_bars=10000000000000000000"),
        ("--set", "params.notional_quote=1e300"),
        ("--set", "params.qty=1e-300"),
        ("--params", '{"tp_pct": 1e-300}'),
    ],
)
def test_what_is_only_extreme_runs(tmp_path, words):
    bt_here(*RUN, *words, cwd=tmp_path)
    manifests = [json.loads(path.read_text()) for path in tmp_path.rglob("manifest.json")]
    assert [manifest["status"] for manifest in manifests] == ["complete"]
