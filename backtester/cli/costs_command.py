"""`bt costs RUN`: what every fill cost, told apart."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence
from typing import Any

from backtester.app.run_costs import run_costs
from backtester.audit.run_store import RunDir
from backtester.cli.run_argument import chosen_data, run_directory, runs_directory, whole_number
from backtester.domain.errors import EXIT_DONE
from backtester.domain.money import MONEY_ONE, amount_text, format_money, format_scaled
from backtester.domain.timeframe import iso_text
from backtester.report.listing import Column, print_listing
from backtester.report.transaction_costs import FillCost, MissedCost, TransactionCosts

_PARTS = ("delay", "spread", "slippage", "fee")
_GROUPS = (
    Column("fills of"),
    *(Column(title, right=True) for title in ("fills", "traded", "delay bps", "spread bps", "slippage bps", "fee bps")),
    *(Column(title, right=True) for title in ("total bps", "total")),
)
_FILLS = (
    *(Column(title) for title in ("filled (UTC)", "symbol", "side")),
    *(Column(title, right=True) for title in ("qty", "price", "decision", "arrival", "vs typical bps", "vs next open bps")),
    *(Column(title, right=True) for title in _PARTS),
    Column("order", least=8),
)


def list_costs(options: Namespace) -> int:
    """Costs by symbol, side and order type in bps of the value traded, what was missed, and with --fills each fill."""
    limit = whole_number(options.limit, "--limit", least=1)
    run = run_directory(options.run, runs_directory(options))
    found = run_costs(run, data=chosen_data(options, run))
    asset = RunDir(run).read_manifest().quote or "quote"
    if options.json:
        print(json.dumps({"run": str(run), **_json(found)}))
        return EXIT_DONE
    print_listing(_GROUPS, _group_rows(found.fills, asset), sys.stdout)
    print(f"amounts are in {asset}")
    _print_missed(found.missed, asset)
    if options.fills:
        print()
        print_listing(_FILLS, [_fill_row(one) for one in found.fills[:limit]], sys.stdout)
    return EXIT_DONE


def _group_rows(fills: Sequence[FillCost], asset: str) -> list[list[str]]:
    """Everything, then by symbol, by side, by kind of order."""
    rows = [_group_row("all", fills, asset)]
    for name_of in (_symbol, _side, _kind):
        groups: dict[str, list[FillCost]] = {}
        for one in fills:
            groups.setdefault(name_of(one), []).append(one)
        rows += [_group_row(name, groups[name], asset) for name in sorted(groups)]
    return rows


def _symbol(one: FillCost) -> str:
    return one.fill.symbol


def _side(one: FillCost) -> str:
    return one.fill.side.value


def _kind(one: FillCost) -> str:
    return f"{one.fill.order_type.value}, {one.fill.liquidity.value}"


def _group_row(name: str, fills: Iterable[FillCost], asset: str) -> list[str]:
    known = [one for one in fills if one.total is not None]
    value = sum(one.value for one in known)
    parts = [sum(getattr(one, part) for one in known) for part in _PARTS]
    bps = ["-" if not value else f"{part / value * 10_000:,.2f}" for part in (*parts, sum(parts))]
    traded, total = (amount_text(units / MONEY_ONE, asset) for units in (value, sum(parts)))
    return [name, f"{len(known):,}", traded, *bps, total]


def _print_missed(missed: Sequence[MissedCost], asset: str) -> None:
    known = [one.missed for one in missed if one.missed is not None]
    if known:
        total = amount_text(sum(known) / MONEY_ONE, asset)
        print(f"\n{len(known):,} orders ended with something unfilled; that missed {total} {asset} from decision to their end")


def _fill_row(one: FillCost) -> list[str]:
    fill = one.fill
    return [
        iso_text(fill.time_ms),
        fill.symbol,
        fill.side.value,
        f"{fill.qty.normalize():f}",
        f"{fill.price.normalize():f}",
        _price(one.decision_e8),
        _price(one.arrival_e8),
        _bps(one.against_bps(one.typical_e8)),
        _bps(one.against_bps(one.next_open_e8)),
        *(_amount(getattr(one, part)) for part in _PARTS),
        fill.order_id,
    ]


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
    """Four decimals; all eight of what is less than a hundredth."""
    if amount is None:
        return "-"
    decimals = 4 if abs(amount) >= MONEY_ONE // 100 or not amount else 8
    return f"{amount / MONEY_ONE:,.{decimals}f}"


def _bps(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}"
