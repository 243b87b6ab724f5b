"""Hedge mode against one-way mode, and whole runs in it: what they write, and what recomputes it."""

from __future__ import annotations

import csv
import shutil
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import backtester
from backtester import Candle, ExitSize, LimitOrderIntent, MarketOrderIntent, PositionSide, Side, Strategy
from backtester.app.explain import explain
from backtester.audit.journal import read_journal
from backtester.domain.account import AccountSnapshot
from backtester.domain.errors import ConfigError
from backtester.domain.orders import Fill
from backtester.domain.settlement import Settlement
from backtester.proof.recomputation import recompute
from backtester.report.fill_book import fills_of
from backtester.report.positions import held_by_symbol
from backtester.report.recorded_run import _rows
from tests.sim.small_run import A, SmallRun, ms, small_run, spec

PRICES = st.sampled_from([94, 96, 98, 99, 100, 101, 102, 104, 106])


@st.composite
def a_bar(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """Open, high, low, close."""
    four = sorted(draw(PRICES) for _ in range(4))
    open_, close = draw(st.permutations(four))[:2]
    return open_, four[3], four[0], close


BARS = st.lists(a_bar(), min_size=8, max_size=14)
ORDERS = st.lists(
    st.tuples(
        st.integers(1, 7),
        st.booleans(),
        st.sampled_from([1, 2, 5]),
        st.sampled_from(["", "at 99", "at 101", "stop 97", "stop 103", "at 100 ioc", "exits", "trail 2"]),
    ),
    max_size=10,
)


def outcome(run: SmallRun) -> tuple[Any, ...]:
    """Fills, ends and accounts, without a word of sides."""
    fills = [replace(fill, position_side=None) for fill in run.messages(Fill)]
    accounts = [
        replace(one, positions=tuple(replace(view, position_side=None) for view in one.positions))
        for one in run.messages(AccountSnapshot)
    ]
    return run.reason, run.told(), fills, accounts


@given(
    bars=BARS,
    orders=ORDERS,
    side=st.sampled_from(list(PositionSide)),
    leverage=st.sampled_from([1, 20]),
    cash=st.sampled_from([300, 5000]),
)
@settings(max_examples=60, deadline=None)
def test_a_hedged_run_that_uses_one_side_is_the_one_way_run_of_the_same_orders(
    bars: Any, orders: Any, side: PositionSide, leverage: int, cash: int
) -> None:
    table = "\n".join(f"00:{minute:02d} {' '.join(map(str, bar))} 100" for minute, bar in enumerate(bars))
    told = {True: [], False: []}  # type: dict[bool, list[str]]
    for number, (minute, opens, qty, how) in enumerate(orders):
        buys = opens is (side is PositionSide.LONG)
        exits = ("tp 104 sl 96" if buys else "tp 96 sl 104") if opens else ""
        words = exits if how == "exits" else how
        line = f"00:{minute:02d} o{number} {'buy' if buys else 'sell'} {qty} {words} {'' if opens else 'reduce'}"
        told[False].append(line)
        told[True].append(f"{line} {side.value}")
    facts: dict[str, Any] = {
        "cash": str(cash),
        "fee_bps": ("2", "5"),
        "participation_bps": 200,
        "settlements": [Settlement(ms("00:05"), A, Decimal("0.001"), 100 * 10**8)],
        "risk": {"daily_loss_limit": Decimal("0.3")},
        "snapshot_every": "1m",
    }
    account = {"leverage": Decimal(leverage)}
    one_way = small_run(table, "\n".join(told[False]), account=account, **facts)
    hedged = small_run(table, "\n".join(told[True]), account={**account, "position_mode": "hedge"}, **facts)
    assert outcome(hedged) == outcome(one_way)


class Straddler(Strategy):
    """Opens, adds to, cuts and leaves both sides at its own chance, with stops and targets."""

    def on_candle(self, candle: Candle) -> Any:
        draw, symbol = self.ctx.rng("orders"), candle.symbol
        if draw.random() < 0.6:
            return None
        side = PositionSide.LONG if draw.random() < 0.5 else PositionSide.SHORT
        opens = draw.random() < 0.6
        way = side.opens if opens else side.opens.opposite
        facts: dict[str, Any] = {"symbol": symbol, "side": way, "qty": Decimal(draw.randint(1, 40)) / 1000, "position_side": side}
        exits: dict[str, Any] = {}
        if opens and draw.random() < 0.4:
            stop, target = (0.99, 1.01) if side is PositionSide.LONG else (1.01, 0.99)
            whole = ExitSize.WHOLE if draw.random() < 0.5 else ExitSize.PART
            exits = {"stop_loss": candle.close * stop, "take_profit": candle.close * target, "exit_size": whole}
        if draw.random() < 0.5:
            return MarketOrderIntent(**facts, **exits)
        price = candle.close * (0.9995 if way is Side.BUY else 1.0005)
        return LimitOrderIntent(**facts, price=price, **exits)


@pytest.fixture(scope="module", params=["cross", "isolated"])
def hedged_run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A complete run that hedges, on margin."""
    return backtester.run(
        Straddler, symbols=["BTCUSDT", "ETHUSDT"], market="linear", timeframe="15m", cash=20_000,
        output=tmp_path_factory.mktemp("hedge"),
        settings={
            "data.sample_days": "8", "account.position_mode": "hedge", "account.leverage": "10", "account.margin": request.param,
        },
    )  # fmt: skip


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_hedged_run_is_recomputed_to_the_last_digit(hedged_run: Any) -> None:
    done = recompute(hedged_run.path)
    assert done.differences == ()
    assert done.fills > 100 and done.snapshots > 100 and done.trades >= 20


def test_the_ledger_of_a_hedged_run_is_explained_by_side(hedged_run: Any) -> None:
    found = explain(hedged_run.path)
    assert found.problems == () and found.snapshot_count > 100
    assert {total.symbol for total in found.totals} >= {
        f"{name} {side}" for name in ("BTCUSDT", "ETHUSDT") for side in ("long", "short")
    }


def test_trades_are_of_sides_and_are_the_sum_of_their_fills(hedged_run: Any) -> None:
    trades = rows_of(hedged_run.path / "trades.csv")
    assert list(trades[0])[-1] == "position_side"
    assert {(row["position_side"], row["side"]) for row in trades} == {("long", "buy"), ("short", "sell")}
    entered: dict[str, Decimal] = defaultdict(Decimal)
    for row in trades:
        entered[f"{row['symbol']} {row['side']}"] += Decimal(row["qty"])
    opening: dict[str, Decimal] = defaultdict(Decimal)
    held: dict[str, Decimal] = defaultdict(Decimal)
    for fill in fills_of_run(hedged_run.path):
        held[fill.leg] += fill.qty * fill.side.sign
        if fill.side is fill.position_side.opens:
            opening[f"{fill.symbol} {fill.side.value}"] += fill.qty
    assert opening == entered
    assert all((amount >= 0) is leg.endswith("long") or not amount for leg, amount in held.items())


def fills_of_run(path: Path) -> list[Fill]:
    """The fills of a run's journal."""
    return [event for event in fills_of(read_journal(path / "journal.jsonl")) if isinstance(event, Fill)]


def test_a_side_that_is_changed_in_a_file_is_found(hedged_run: Any, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(hedged_run.path, tmp_path / "copy"))
    text = (copy / "trades.csv").read_text()
    head, _, tail = text.rpartition(",long\n")
    (copy / "trades.csv").write_text(f"{head},short\n{tail}")
    assert "position_side" in recompute(copy).differences[0]


def test_spot_has_no_sides(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is for linear and inverse contracts"):
        backtester.run(Straddler, symbols=["BTCUSDT"], market="spot", output=tmp_path, settings={"account.position_mode": "hedge"})


def test_fills_name_their_side_and_the_report_holds_both_together(hedged_run: Any) -> None:
    fills = _rows((hedged_run.path / "fills.csv").read_bytes())
    assert set(fills["position_side"]) == {"long", "short"}
    held: dict[str, float] = defaultdict(float)
    for fill in fills_of_run(hedged_run.path):
        held[fill.symbol] += float(fill.qty) * fill.side.sign
    drawn = {symbol: float(one.size[-1]) for symbol, one in held_by_symbol(fills, quote="USDT").items()}
    assert drawn == pytest.approx(held, abs=1e-9)


def test_the_delivery_of_both_sides_is_recomputed_to_the_last_digit(tmp_path: Path) -> None:
    name, opened_ms = "BTCUSDT_250106", ms("07:20")

    class Both(Strategy):
        def on_candle(self, candle: Candle) -> list[MarketOrderIntent] | None:
            if candle.end_ms != opened_ms + 300_000:
                return None
            sides = {PositionSide.LONG: "2", PositionSide.SHORT: "3"}
            return [MarketOrderIntent(symbol=name, side=side.opens, qty=qty, position_side=side) for side, qty in sides.items()]

    starts = [opened_ms + 60_000 * n for n in range(45)]
    frame = {"start_ms": starts, **{column: [100.0 + n % 7 for n in range(45)] for column in ("open", "high", "low", "close")}}
    dated = replace(spec(name), exchange="binance", base="BTC", expires_ms=ms("08:00"))
    done = backtester.run(
        Both, symbols=[name], data=frame | {"volume": [1000.0] * 45}, timeframe="1m", output=tmp_path, specs=[dated],
        settings={"account.position_mode": "hedge"},
    )  # fmt: skip
    assert recompute(done.path).differences == ()
    assert [(row["position_side"], row["close_reason"]) for row in rows_of(done.path / "trades.csv")] == [
        ("long", "DELIVERY"), ("short", "DELIVERY"),
    ]  # fmt: skip
