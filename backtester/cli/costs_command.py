"""`bt costs RUN`: what every fill cost, told apart."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence
from typing import Any

from backtester.app.run_costs import run_costs
from backtester.cli.run_argument import chosen_data, run_directory, runs_directory, whole_number
from backtester.domain.errors import EXIT_DONE
from backtester.domain.money import MONEY_ONE, format_money, format_scaled
from backtester.domain.timeframe import iso_text
from backtester.report.listing import Column, print_listing
from backtester.report.transaction_costs import FillCost, MissedCost, TransactionCosts

_PARTS = ("delay", "spread", "slippage", "fee")
_GROUPS = (
    Column("fills of"), Column("fills", right=True), Column("traded (quote)", right=True), Column("delay bps", right=True),
    Column("spread bps", right=True), Column("slippage bps", right=True), Column("fee bps", right=True), Column("total bps", right=True),
    Column("total (quote)", right=True),
)  # fmt: skip
_FILLS = (
    Column("filled (UTC)"), Column("symbol"), Column("side"), Column("qty", right=True), Column("price", right=True),
    Column("decision", right=True), Column("arrival", right=True), Column("vs typical bps", right=True),
    Column("vs next open bps", right=True), Column("delay", right=True), Column("spread", right=True), Column("slippage", right=True),
    Column("fee", right=True), Column("order", least=8),
)  # fmt: skip


def list_costs(options: Namespace) -> int:
    """Costs by symbol, side and order type in bps of the value traded, what was missed, and with --fills each fill."""
    limit = whole_number(options.limit, "--limit", least=1)
    run = run_directory(options.run, runs_directory(options))
    found = run_costs(run, data=chosen_data(options, run))
    if options.json:
        print(json.dumps({"run": str(run), **_json(found)}))
        return EXIT_DONE
    print_listing(_GROUPS, _group_rows(found.fills), sys.stdout)
    _print_missed(found.missed)
    if options.fills:
        print()
        print_listing(_FILLS, [_fill_row(one) for one in found.fills[:limit]], sys.stdout)
    return EXIT_DONE


def _group_rows(fills: Sequence[FillCost]) -> list[list[str]]:
    groups: dict[str, list[FillCost]] = {"all": list(fills)}
    for one in fills:
        for name in (one.fill.symbol, one.fill.side.value, f"{one.fill.order_type.value}, {one.fill.liquidity.value}"):
            groups.setdefault(name, []).append(one)
    return [_group_row(name, rows) for name, rows in groups.items()]


def _group_row(name: str, fills: Iterable[FillCost]) -> list[str]:
    known = [one for one in fills if one.total is not None]
    value = sum(one.value for one in known)
    parts = [sum(getattr(one, part) for one in known) for part in _PARTS]
    bps = ["-" if not value else f"{part / value * 10_000:,.2f}" for part in (*parts, sum(parts))]
    return [name, f"{len(known):,}", f"{value / MONEY_ONE:,.2f}", *bps, f"{sum(parts) / MONEY_ONE:,.2f}"]


def _print_missed(missed: Sequence[MissedCost]) -> None:
    known = [one.missed for one in missed if one.missed is not None]
    if known:
        total = sum(known) / MONEY_ONE
        print(f"\n{len(known):,} orders ended with something unfilled; that missed {total:,.2f} quote from decision to their end")


def _fill_row(one: FillCost) -> list[str]:
    fill = one.fill
    return [
        iso_text(fill.time_ms), fill.symbol, fill.side.value, f"{fill.qty.normalize():f}", f"{fill.price.normalize():f}",
        _price(one.decision_e8), _price(one.arrival_e8), _bps(one.against_bps(one.typical_e8)), _bps(one.against_bps(one.next_open_e8)),
        *(_amount(getattr(one, part)) for part in _PARTS), fill.order_id,
    ]  # fmt: skip


def _json(found: TransactionCosts) -> dict[str, Any]:
    fills = [
        {
            "fill_id": one.fill.fill_id,
            "order_id": one.fill.order_id,
            "symbol": one.fill.symbol,
            "side": one.fill.side.value,
            "decision_ms": one.decision_ms,
            "arrival_ms": one.arrival_ms,
            "time_ms": one.fill.time_ms,
            **{name: _price(getattr(one, f"{name}_e8")) for name in ("decision", "arrival", "typical", "next_open")},
            **{name: _exact(getattr(one, name)) for name in (*_PARTS, "total")},
        }
        for one in found.fills
    ]
    missed = [
        {
            "order_id": one.order_id,
            "symbol": one.symbol,
            "side": one.side.value,
            "reason": one.reason,
            "ended_ms": one.ended_ms,
            "qty": format_scaled(one.size_e8, 8),
            "missed": _exact(one.missed),
        }
        for one in found.missed
    ]
    return {"fills": fills, "missed": missed}


def _price(price_e8: int | None) -> str:
    return "-" if price_e8 is None else format_scaled(price_e8, 8, least=2)


def _exact(amount: int | None) -> str | None:
    return None if amount is None else format_money(amount)


def _amount(amount: int | None) -> str:
    return "-" if amount is None else f"{amount / MONEY_ONE:,.4f}"


def _bps(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}"
