"""`bt trades RUN`: every trade with reason, duration, excursions and what it paid."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from backtester.app.run_trades import run_trades
from backtester.cli.run_argument import chosen_data, run_directory, runs_directory, whole_number
from backtester.domain.errors import EXIT_DONE, ConfigError
from backtester.domain.money import MONEY_DECIMALS, MONEY_ONE, PRICE_DECIMALS, amount_text, format_money, format_scaled
from backtester.domain.timeframe import iso_text
from backtester.report.listing import Cell, Column, print_listing
from backtester.report.trade_facts import TradeFacts

_COLUMNS = (
    Column("#", right=True),
    Column("symbol"),
    Column("side"),
    Column("qty", right=True),
    Column("entered (UTC)"),
    Column("held", right=True),
    Column("entry", right=True),
    Column("exit", right=True),
    Column("gross", right=True),
    Column("fees", right=True),
    Column("funding", right=True),
    Column("net", right=True),
    Column("slippage", right=True),
    Column("MAE bps", right=True),
    Column("MFE bps", right=True),
    Column("closed by", least=6),
)
_LEVELS = (Column("stop", right=True), Column("target", right=True), Column("R", right=True))
"""Columns of trades of which one has a stop or a target."""


def list_trades(options: Namespace) -> int:
    """The trades asked for are told; on stderr, why there are no excursions where the candles are gone."""
    limit = whole_number(options.limit, "--limit", least=1)
    run = run_directory(options.run, runs_directory(options))
    found = run_trades(run, data=chosen_data(options, run))

    def asset_of(one: TradeFacts) -> str:
        return found.settles.get(one.trade.symbol, found.asset)

    symbols = sorted({one.trade.symbol for one in found.facts})
    if options.symbol is not None and options.symbol not in symbols:
        raise ConfigError(f"{run} has no trade of {options.symbol}; it traded {', '.join(symbols) or 'nothing'}")
    facts = [one for one in found.facts if options.symbol in {None, one.trade.symbol}]
    shown = facts[:limit]
    if found.note and not options.quiet:
        sys.stderr.write(f"bt: note: no excursions and slippage: {found.note}\n")
    if options.json:
        rows = [_json(one) | ({"asset": asset_of(one)} if found.settles else {}) for one in shown]
        print(json.dumps({"run": str(run), "trades": rows, "matching": len(facts), "note": found.note}))
        return EXIT_DONE
    if shown:
        guarded = any(one.trade.stop_price is not None or one.trade.target_price is not None for one in shown)
        columns = (*_COLUMNS[:8], *_LEVELS, *_COLUMNS[8:]) if guarded else _COLUMNS
        print_listing(columns, [_cells(one, guarded=guarded, asset=asset_of(one)) for one in shown], sys.stdout)
    if not options.quiet:
        for asset in dict.fromkeys(map(asset_of, facts)) or (found.asset,):
            mine = [one for one in facts if asset_of(one) == asset]
            print(_totals(mine, shown=sum(asset_of(one) == asset for one in shown), asset=asset))
    return EXIT_DONE


def _cells(one: TradeFacts, *, guarded: bool, asset: str) -> Sequence[Cell | str]:
    trade = one.trade
    levels = ["-" if price is None else _price(price) for price in (trade.stop_price, trade.target_price)] if guarded else []
    if guarded:
        levels.append("-" if one.r_multiple is None else f"{one.r_multiple:,.2f}")
    net = trade.net + one.funding
    return (
        str(one.number),
        trade.symbol,
        "long" if trade.side.sign > 0 else "short",
        _plain(trade.qty_e8, PRICE_DECIMALS),
        iso_text(trade.entry_time_ms)[:19],
        _held(one.held_ms),
        _price(trade.entry_price),
        _price(trade.exit_price),
        *levels,
        _amount(asset, trade.gross),
        _amount(asset, trade.fees),
        _amount(asset, one.funding) if one.funding else "-",
        Cell(_amount(asset, net), "good" if net > 0 else "bad" if net < 0 else ""),
        "-" if one.slippage is None else _amount(asset, one.slippage),
        "-" if one.worst_bps is None else f"{one.worst_bps:,.1f}",
        "-" if one.best_bps is None else f"{one.best_bps:,.1f}",
        Cell("still open", "warn") if trade.is_open else f"{trade.close_reason} ({trade.order_type.replace('_', ' ')})",
    )


def _json(one: TradeFacts) -> dict[str, Any]:
    """Amounts as decimal text, as in trades.csv, and null where they are not known."""
    trade = one.trade
    return {
        "number": one.number,
        "symbol": trade.symbol,
        "side": trade.side.value,
        "qty": format_scaled(trade.qty_e8, PRICE_DECIMALS),
        "entry_time_ms": trade.entry_time_ms,
        "exit_time_ms": None if trade.is_open else trade.exit_time_ms,
        "held_ms": one.held_ms,
        "entry_price": format_money(trade.entry_price),
        "exit_price": format_money(trade.exit_price),
        "gross_pnl": format_money(trade.gross),
        "fees": format_money(trade.fees),
        "net_pnl": format_money(trade.net),
        "funding": format_money(one.funding),
        "net_with_funding": format_money(trade.net + one.funding),
        "stop_price": _text(trade.stop_price),
        "target_price": _text(trade.target_price),
        "r_multiple": one.r_multiple,
        "pnl_frac": format_scaled(trade.pnl_frac_e16, MONEY_DECIMALS),
        "slippage": _text(one.slippage),
        "mae": _text(one.worst),
        "mae_bps": one.worst_bps,
        "mfe": _text(one.best),
        "mfe_bps": one.best_bps,
        "close_reason": trade.close_reason,
        "order_type": trade.order_type,
        "is_open": trade.is_open,
        "strategy_id": trade.strategy_id,
        "position_side": trade.position_side.value if trade.position_side is not None else "",
    }


def _totals(facts: Sequence[TradeFacts], *, shown: int, asset: str) -> str:
    of = f"{shown:,} of " if shown < len(facts) else ""
    gross, fees, funding = (
        (sum(amounts) for amounts in zip(*((one.trade.gross, one.trade.fees, one.funding) for one in facts), strict=True))
        if facts
        else (0, 0, 0)
    )
    parts = (("gross", gross), ("fees", fees), ("funding", funding), ("net", gross - fees + funding))
    listed = ", ".join(f"{name} {_amount(asset, units)}" for name, units in parts)
    return f"{of}{len(facts):,} trades; in {asset}: {listed} (funding: received +)"


def _amount(asset: str, units: int) -> str:
    return amount_text(units / MONEY_ONE, asset)


def _price(units: int) -> str:
    """Seven figures are enough to look at; --json has all."""
    value = units / MONEY_ONE
    return f"{value:,.2f}" if value >= 1_000 else f"{value:.7g}"


def _plain(units: int, decimals: int) -> str:
    return format_scaled(units, decimals, least=0).rstrip(".")


def _text(units: int | None) -> str | None:
    return None if units is None else format_money(units)


def _held(span_ms: int) -> str:
    minutes, seconds = divmod(round(span_ms / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours:02d}h"
    return f"{hours}h {minutes:02d}m" if hours else f"{minutes}m {seconds:02d}s"
