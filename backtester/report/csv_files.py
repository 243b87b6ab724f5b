"""fills.csv and trades.csv: plain decimals, `true|false`, line feeds, in the order of the journal."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple, TextIO

from backtester.domain.borrowing import InterestCharged
from backtester.domain.delivery import DELIVERY_REASON, Delivery
from backtester.domain.deposits import CoinsDeposited
from backtester.domain.money import MONEY_DECIMALS, PRICE_DECIMALS, e8_from_decimal, format_money, format_scaled
from backtester.domain.settlement import FundingPaid
from backtester.domain.vocabulary import PositionSide
from backtester.report.fill_book import DELIVERY_TYPE, FillBook, Kept
from backtester.report.trades import Trade

FILLS_NAME = "fills.csv"
TRADES_NAME = "trades.csv"
FILL_COLUMNS = (
    "time_ms,symbol,side,qty,price,fee,fee_asset,liquidity,order_id,fill_id,reason,order_type,bar_fill,strategy_id,note,over_share,"
    "position_side"
)
TRADE_COLUMNS = (
    "symbol,side,qty,entry_time_ms,exit_time_ms,entry_price,exit_price,gross_pnl,fees,net_pnl,pnl_frac,close_reason,order_type,"
    "is_open,strategy_id,stop_price,target_price,position_side"
)


def write_fills(file: TextIO, fills: Iterable[Kept], *, faces: Mapping[str, int] | None = None) -> FillBook:
    """The fills stand in `file`, one row each; they are returned packed for trades and equity, with what else was paid.

    A position that a delivery ended has a row as well: without liquidity, its order type is `delivery`. `faces` are those of
    inverse contracts, by symbol.
    """
    book = FillBook(faces=faces)
    file.write(FILL_COLUMNS + "\n")
    row = csv.writer(file, lineterminator="\n").writerow
    for fill in fills:
        if isinstance(fill, FundingPaid):
            book.add_payment(fill)
            continue
        if isinstance(fill, InterestCharged):
            book.add_interest(fill)
            continue
        if isinstance(fill, CoinsDeposited):
            book.add_opening(fill)
            continue
        if isinstance(fill, Delivery):
            book.add_delivery(fill)
            row(_delivered(fill))
            continue
        book.add(fill)
        row(
            (
                fill.time_ms,
                fill.symbol,
                fill.side.value,
                _amount(fill.qty),
                _amount(fill.price),
                format_scaled(fill.fee_e8, PRICE_DECIMALS),
                fill.fee_asset,
                fill.liquidity.value,
                fill.order_id,
                fill.fill_id,
                fill.reason,
                fill.order_type.value,
                _flag(fill.bar_fill),
                fill.strategy_id,
                fill.note.value,
                _flag(fill.over_share),
                _side(fill.position_side),
            )
        )
    return book


def _delivered(ended: Delivery) -> tuple[object, ...]:
    """The row of a position that ended without an order, in the columns of a fill."""
    amounts = (_amount(ended.qty), _amount(ended.price), format_scaled(ended.fee_e8, PRICE_DECIMALS))
    names = (ended.fee_asset, "", "", ended.fill_id, DELIVERY_REASON, DELIVERY_TYPE)
    rest = (_flag(True), ended.strategy_id, "last" if ended.is_last else "", _flag(False), _side(ended.position_side))
    return (ended.time_ms, ended.symbol, ended.side.value, *amounts, *names, *rest)


class TradeCount(NamedTuple):
    """How many trades are over, how many of them won (net profit above 0), how many are still open."""

    closed: int
    won: int
    still_open: int


def write_trades(file: TextIO, trades: Iterable[Trade]) -> TradeCount:
    """The trades stand in `file`, one row each; an open one has no exit time, one without a stop or a target an empty field."""
    closed = won = still_open = 0
    file.write(TRADE_COLUMNS + "\n")
    row = csv.writer(file, lineterminator="\n").writerow
    for trade in trades:
        still_open += trade.is_open
        closed += not trade.is_open
        won += not trade.is_open and trade.net > 0
        row(
            (
                trade.symbol,
                trade.side.value,
                format_scaled(trade.qty_e8, PRICE_DECIMALS),
                trade.entry_time_ms,
                "" if trade.is_open else trade.exit_time_ms,
                format_money(trade.entry_price),
                format_money(trade.exit_price),
                format_money(trade.gross),
                format_money(trade.fees),
                format_money(trade.net),
                format_scaled(trade.pnl_frac_e16, MONEY_DECIMALS),
                trade.close_reason,
                trade.order_type,
                _flag(trade.is_open),
                trade.strategy_id,
                _level(trade.stop_price),
                _level(trade.target_price),
                _side(trade.position_side),
            )
        )
    return TradeCount(closed, won, still_open)


def _amount(value: Decimal) -> str:
    return format_scaled(e8_from_decimal(value), PRICE_DECIMALS)


def _level(price: int | None) -> str:
    return "" if price is None else format_money(price)


def _side(side: PositionSide | None) -> str:
    return side.value if side is not None else ""


def _flag(value: bool) -> str:
    return "true" if value else "false"
