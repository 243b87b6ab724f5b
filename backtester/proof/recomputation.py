"""A run directory recomputed: journal, fills, cash, equity, trades and figures, each compared with what the run wrote."""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Iterable
from datetime import UTC, datetime
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from backtester.proof.accounting import UNIT, Accounting, Change, Trade, position_of
from backtester.proof.currency import CurrencyAccounting
from backtester.proof.delivery import wrong_delivery
from backtester.proof.figures import Row, drawdown_bounds, figures
from backtester.proof.interest import Charges
from backtester.proof.levels import Levels
from backtester.proof.sealed_journal import Event, SealedJournal

TOLERANCE = 1e-9
"""Relative, of figures that are ratios of floating-point numbers; accounting is exact."""
SHOWN = 3
"""Differences of one kind that are told; the rest are counted."""


_DELIVERED = {
    "liquidity": "",
    "order_id": "",
    "reason": "DELIVERY",
    "order_type": "delivery",
    "bar_fill": True,
    "over_share": False,
}
"""What fills.csv says of a position that ended without an order."""


class Recomputed(NamedTuple):
    """What does not agree, each in a sentence, and how much was compared."""

    differences: tuple[str, ...]
    events: int
    fills: int
    snapshots: int
    trades: int
    figures: int


def recompute(run_dir: Path) -> Recomputed:
    """Compare everything that the journal of `run_dir` determines with its other files; nothing of the engine is used.

    Raises OSError or ValueError when a file is missing or is no file of a run.
    """
    manifest = json.loads((run_dir / "manifest.json").read_text(encoding="utf-8"))
    config = tomllib.loads((run_dir / "config.toml").read_text(encoding="utf-8"))
    start = Fraction(str(config["account"]["starting_cash"]))
    start_ms = int(datetime.fromisoformat(manifest["start"]).replace(tzinfo=UTC).timestamp() * 1000)
    told = _Differences()
    journal = SealedJournal(run_dir / "journal.jsonl")
    markets = {symbol: _market_of(symbol, manifest) for symbol in manifest["symbols"]}
    outright = frozenset(symbol for symbol, market in markets.items() if market in {"spot", "option"})
    contracts = {symbol: Fraction(size) for symbol, size in manifest.get("contracts", {}).items()}
    several = CurrencyAccounting(manifest["currency"], contracts=contracts) if manifest.get("currency") else None
    account = several or Accounting(start, outright=outright, contracts=contracts)
    start = Fraction(0) if several is not None else start
    coins = {symbol: asset for symbol, asset in manifest.get("bases", {}).items() if markets[symbol] == "spot"}
    charges = Charges(account, config["account"], coins=coins, quote=manifest.get("quote", ""), start_ms=start_ms)
    read = _Reading(account, coins, told, start)
    try:
        for event in journal.events():
            for problem in charges.wrong(event.topic, event.fields):
                told.add("journal", f"line {event.line}: {problem}")
            read.see(event)
    except ValueError as error:
        told.put_first("journal", str(error))
        return Recomputed(told.sentences(), read.events, len(read.fills), read.snapshots, 0, 0)
    if journal.digest != manifest["digest"]:
        told.add("journal", f"its digest is {journal.digest[:16]}, the manifest has {manifest['digest'][:16]}")
    _compare_fills(_rows(run_dir / "fills.csv"), read.fills, told)
    trade_rows, equity_rows = _rows(run_dir / "trades.csv"), _rows(run_dir / "equity.csv")
    trades = account.all_trades()
    guards = read.levels.of(trades, entry_price=lambda trade: _price(account, trade, trade.entry_value)[0])
    _compare_trades(trade_rows, trades, guards, account, told)
    if several is not None:
        problems, held_rows = several.equity_problems(equity_rows, read.changes)
        for problem in problems:
            told.add("equity.csv", problem)
        trade_rows = several.told_trades(trade_rows)
    else:
        held_rows = _compare_equity(
            equity_rows, read.changes, start, told, has_outright=bool(outright), slack=account.reductions * UNIT
        )
    start += account.deposited
    fees, funding = account.paid()
    metrics = json.loads((run_dir / "metrics.json").read_text(encoding="utf-8"))
    expected = figures(equity_rows, trade_rows, start_ms=start_ms, starting_cash=start)
    expected |= {"total_return": float(read.equity / start - 1), "fees": float(fees), "funding": float(-funding)}
    expected |= {"interest": float(account.interest)} if account.interest else {}
    expected |= {"exposure": held_rows / len(equity_rows)} if equity_rows else {}
    compared = _compare_figures(metrics, expected, told)
    least, most = drawdown_bounds(equity_rows, start, read.equity)
    if metrics["max_drawdown"] is not None and not least - TOLERANCE <= metrics["max_drawdown"] <= most + TOLERANCE:
        told.add("metrics.json", f"max_drawdown is {metrics['max_drawdown']}, equity.csv allows {least} to {most}")
    return Recomputed(told.sentences(), read.events, len(read.fills), read.snapshots, len(trade_rows), compared + 1)


class _Reading:
    """One pass over the journal: accounting follows the events, snapshots are compared with it."""

    def __init__(self, account: Accounting, coins: dict[str, str], told: _Differences, start: Fraction) -> None:
        self._account = account
        self._coins = coins
        self._told = told
        self.levels = Levels()
        self.fills: list[dict[str, Any]] = []
        self.changes: list[Change] = []
        self.equity = start
        """That of the last snapshot."""
        self.events = 0
        self.snapshots = 0

    def see(self, event: Event) -> None:
        """Take the next event."""
        account, fields = self._account, event.fields
        self.events += 1
        self.levels.see(event.topic, fields)
        if event.topic == "fills":
            self.fills.append(fields)
            account.fill(fields)
            self._changed(fields, at_close=bool(fields["bar_fill"]) or fields["reason"] == "END")
        elif event.topic == "deliveries" and "fill_id" in fields:
            self.fills.append(fields | _DELIVERED)
            account.fill(self.fills[-1])
            self._changed(fields, at_close=True)
            if problem := wrong_delivery(fields):
                self._told.add("journal", f"line {event.line}: {problem}")
        elif event.topic == "funding":
            account.pay(fields)
            self._changed(fields, at_close=True)
        elif event.topic == "interest":
            account.charge(fields)
            self._changed(fields, at_close=True)
        elif event.topic == "account.balances":
            account.deposit(fields)
            self._changed(fields, at_close=True)
        elif event.topic == "account.snapshot":
            self.snapshots += 1
            self.equity = Fraction(fields["equity"])
            _compare_snapshot(event.line, fields, account, self._told)
            _compare_coins(event.line, fields, account, self._coins, self._told)

    def _changed(self, fields: dict[str, Any], *, at_close: bool) -> None:
        self.changes.append((fields["time_ms"], at_close, self._account.wallets(), self._account.in_position()))


def _market_of(symbol: str, manifest: dict[str, Any]) -> str:
    """That of the run, or of a qualified symbol such as `binance.spot:BTCUSDT`."""
    return str(manifest["market"]) or symbol.partition(":")[0].rpartition(".")[2]


class _Differences:
    """Sentences by file, the first few of each."""

    def __init__(self) -> None:
        self._by_name: dict[str, list[str]] = {}

    def add(self, name: str, sentence: str) -> None:
        self._by_name.setdefault(name, []).append(sentence)

    def put_first(self, name: str, sentence: str) -> None:
        """The cause of what else was found."""
        self._by_name[name] = [sentence, *self._by_name.get(name, [])]

    def sentences(self) -> tuple[str, ...]:
        """The first of each file, and how many more there are."""
        lines: list[str] = []
        for name, found in self._by_name.items():
            lines += [f"{name}: {sentence}" for sentence in found[:SHOWN]]
            if len(found) > SHOWN:
                lines.append(f"{name}: and {len(found) - SHOWN} more")
        return tuple(lines)


def _rows(path: Path) -> list[Row]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except csv.Error as error:
        raise ValueError(f"{path.name}: {error}") from None


def _compare_snapshot(line: int, event: dict[str, Any], account: Accounting, told: _Differences) -> None:
    held = {symbol: size for symbol, size in account.held.items() if size}
    shown = {position_of(row): Fraction(row["qty"]) for row in event["positions"]}
    if shown != held:
        told.add("journal", f"line {line}: the snapshot's positions are not the sum of the fills before it")
        return
    marks = {position_of(row): Fraction(row["mark"]) for row in event["positions"]}
    for name, value, allowed in account.snapshot_figures(event, marks):
        if abs(Fraction(event[name]) - value) > allowed:
            told.add("journal", f"line {line}: the snapshot's {name} is {event[name]}, the fills make it {float(value)}")


def _compare_coins(line: int, event: dict[str, Any], account: Accounting, coins: dict[str, str], told: _Differences) -> None:
    """Each coin's balance is what the fills of its symbols have left, fees taken from it included."""
    if isinstance(account, CurrencyAccounting):
        if account.wrong_balances(event):
            told.add("journal", f"line {line}: the snapshot's balances are not what the fills leave in the wallets")
        return
    held: dict[str, Fraction] = {}
    for symbol, asset in coins.items():
        held[asset] = held.get(asset, Fraction(0)) + account.held.get((symbol, ""), Fraction(0))
    shown = {row["asset"]: Fraction(row["amount"]) for row in event.get("balances", ())}
    if shown != {asset: amount for asset, amount in held.items() if amount}:
        told.add("journal", f"line {line}: the snapshot's balances are not the sum of the fills before it")


def _compare_fills(rows: Iterable[Row], fills: Iterable[dict[str, Any]], told: _Differences) -> None:
    for number, (row, event) in enumerate(zip_longest(rows, fills), start=2):
        if row is None or event is None:
            told.add("fills.csv", f"line {number}: {'it is missing' if row is None else 'there is no such fill in the journal'}")
            return
        amounts = ("qty", "price", "fee")
        texts = ("time_ms", "symbol", "side", "fee_asset", "liquidity", "order_id", "fill_id", "reason", "order_type")
        wrong = [name for name in amounts if Fraction(row[name]) != Fraction(event[name])]
        wrong += [name for name in texts if row[name] != str(event[name])]
        wrong += [name for name in ("bar_fill", "over_share") if row[name] != str(event[name]).lower()]
        wrong += ["position_side"] if (row.get("position_side") or "") != (event.get("position_side") or "") else []
        if wrong:
            told.add("fills.csv", f"line {number}: {', '.join(wrong)} differ from the journal's fill {event['fill_id']}")


def _compare_trades(
    rows: Iterable[Row],
    trades: Iterable[Trade],
    levels: Iterable[tuple[Fraction | None, Fraction | None]],
    account: Accounting,
    told: _Differences,
) -> None:
    for number, (row, trade, guards) in enumerate(zip_longest(rows, trades, levels), start=2):
        if row is None or trade is None or guards is None:
            told.add("trades.csv", f"line {number}: {'it is missing' if row is None else 'the fills make no such trade'}")
            return
        wrong = [
            name for name in ("symbol", "side", "strategy_id", "close_reason", "order_type") if row[name] != getattr(trade, name)
        ]
        wrong += ["position_side"] if (row.get("position_side") or "") != trade.position_side else []
        wrong += [name for name in ("qty", "fees") if Fraction(row[name]) != getattr(trade, name)]
        exit_ms = "" if trade.exit_time_ms is None else str(trade.exit_time_ms)
        wrong += [
            name for name, text in (("entry_time_ms", str(trade.entry_time_ms)), ("exit_time_ms", exit_ms)) if row[name] != text
        ]
        gross, net = Fraction(row["gross_pnl"]), Fraction(row["net_pnl"])
        sign = 1 if trade.side == "buy" else -1
        checks = [("entry_price", *_price(account, trade, trade.entry_value)), ("net_pnl", gross - trade.fees, Fraction(0))]
        if trade.exit_value is not None:
            checks.append(("exit_price", *_price(account, trade, trade.exit_value)))
            checks.append(("gross_pnl", sign * (trade.exit_value - trade.entry_value), trade.rounded * UNIT))
        rounded = trade.rounded * UNIT / abs(trade.entry_value)
        checks.append(("pnl_frac", net / abs(trade.entry_value), UNIT + rounded * (1 + abs(net / trade.entry_value))))
        wrong += [name for name, value, allowed in checks if abs(Fraction(row[name]) - value) > allowed]
        allowed = 2 * checks[0][2]  # a trailing stop begins its distance from the entry price
        for name, level in zip(("stop_price", "target_price"), guards, strict=True):
            if (level is None) is not (row[name] == "") or (level is not None and abs(Fraction(row[name]) - level) > allowed):
                wrong.append(name)
        if (row["is_open"] == "true") is not (trade.exit_value is None):
            wrong.append("is_open")
        if wrong:
            told.add("trades.csv", f"line {number}: {', '.join(wrong)} are not what the fills make them")


def _price(account: Accounting, trade: Trade, value: Fraction) -> tuple[Fraction, Fraction]:
    """The average price of a side of a trade, and by how much it may be rounded: of an inverse contract it comes from coins."""
    price = account.price(trade.symbol, value / trade.qty)
    if trade.symbol not in account.inverse:
        return price, UNIT
    return price, Fraction(1, 10**8) + 2 * price * trade.rounded * UNIT / abs(value)


def _compare_equity(
    rows: Iterable[Row],
    changes: list[Change],
    start: Fraction,
    told: _Differences,
    *,
    has_outright: bool,
    slack: Fraction,
) -> int:
    """Cash of each row is that after the fills and payments up to it; equity, cash, profit, minimum and maximum fit together.

    Returns how many rows had a position.
    """
    index, cash, before_ms, is_held, held_rows = 0, start, -1, False, 0
    for number, row in enumerate(rows, start=2):
        time_ms = int(row["time_ms"])
        while index < len(changes) and (changes[index][0] < time_ms or (changes[index][0] == time_ms and changes[index][1])):
            _, _, wallets, is_held = changes[index]
            cash = wallets[""]
            index += 1
        held_rows += is_held
        equity, low, high = Fraction(row["equity"]), Fraction(row["equity_min"]), Fraction(row["equity_max"])
        problems = []
        if abs(Fraction(row["cash"]) - cash) > slack:
            problems.append(f"cash is {row['cash']}, the fills make it {float(cash)}")
        if not has_outright and equity != Fraction(row["cash"]) + Fraction(row["unrealised_pnl"]):
            problems.append("equity is not cash and unrealised profit")
        if not low <= equity <= high:
            problems.append("equity does not lie between its minimum and maximum")
        if time_ms <= before_ms:
            problems.append("time does not rise")
        before_ms = time_ms
        for problem in problems:
            told.add("equity.csv", f"line {number}: {problem}")
    return held_rows


def _compare_figures(metrics: dict[str, Any], expected: dict[str, float | None], told: _Differences) -> int:
    for name, value in expected.items():
        found = metrics.get(name)
        if found is None or value is None:
            agrees = found is None and value is None
        else:
            agrees = abs(found - value) <= TOLERANCE * max(1.0, abs(value))
        if not agrees:
            told.add("metrics.json", f"{name} is {found}, recomputed it is {value}")
    return len(expected)
