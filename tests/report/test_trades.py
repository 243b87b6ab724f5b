from __future__ import annotations

import csv
import io
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given

from backtester.domain.errors import JournalError
from backtester.domain.orders import Fill
from backtester.report.csv_files import TradeCount, write_fills, write_trades
from backtester.report.fill_book import FillBook
from backtester.report.trades import trades_of
from tests.report.market import fill, fills_of_a_run, naive
from tests.report.naive import naive_trades

CLOSES = {"AAAUSDT": 101.3, "BBBUSDT": 99.9}
UNIT = Fraction(1, 10**16)


def trade_rows(fills: list[Fill], closes: dict[str, float] | None = None) -> list[dict[str, str]]:
    file = io.StringIO()
    write_trades(file, trades_of(FillBook(fills), last_closes=CLOSES if closes is None else closes))
    return list(csv.DictReader(io.StringIO(file.getvalue())))


def test_a_round_trip_is_one_row_with_every_column() -> None:
    rows = trade_rows(
        [fill(1, "AAAUSDT", 2, 1000, fee_e8=100), fill(5, "AAAUSDT", -2, 1010, fee_e8=50, reason="TP", bar_fill=True)]
    )
    assert rows == [
        {
            "symbol": "AAAUSDT", "side": "buy", "qty": "0.00200000", "entry_time_ms": "1", "exit_time_ms": "5",
            "entry_price": "100.00000000", "exit_price": "101.00000000", "gross_pnl": "0.00200000", "fees": "0.00000150",
            "net_pnl": "0.00199850", "pnl_frac": "0.0099925", "close_reason": "TP", "order_type": "limit", "is_open": "false",
            "strategy_id": "s", "stop_price": "", "target_price": "", "position_side": "",
        } | {"pnl_frac": "0.00999250"}
    ]  # fmt: skip


def test_a_flip_ends_one_trade_and_starts_the_next_with_its_share_of_the_fee() -> None:
    first, second = trade_rows([fill(1, "AAAUSDT", 2, 1000), fill(2, "AAAUSDT", -3, 1010, fee_e8=300)])
    assert (first["side"], first["qty"], first["fees"], first["is_open"]) == ("buy", "0.00200000", "0.00000200", "false")
    assert (second["side"], second["qty"], second["fees"], second["is_open"]) == ("sell", "0.00100000", "0.00000100", "true")
    assert (second["entry_time_ms"], second["exit_time_ms"], second["close_reason"], second["order_type"]) == ("2", "", "END", "")
    assert (second["entry_price"], second["exit_price"], second["gross_pnl"]) == ("101.00000000", "101.30000000", "-0.00030000")


def test_an_open_trade_that_was_partly_closed_keeps_what_was_realised() -> None:
    (row,) = trade_rows([fill(1, "AAAUSDT", 4, 1000), fill(2, "AAAUSDT", -2, 1100)])
    assert (row["qty"], row["gross_pnl"]) == ("0.00400000", "0.02260000")  # 0.002 x 10 + 0.002 x 1.3
    assert row["exit_price"] == "105.65000000"  # half at 110, half at the close of 101.3


def test_an_open_trade_without_a_close_is_valued_at_its_entry() -> None:
    (row,) = trade_rows([fill(1, "AAAUSDT", 4, 1000)], closes={})
    assert (row["gross_pnl"], row["exit_price"]) == ("0.00000000", "100.00000000")


def test_scaling_in_and_out_is_one_trade() -> None:
    rows = trade_rows(
        [fill(1, "AAAUSDT", 1, 1000), fill(2, "AAAUSDT", 3, 1040), fill(3, "AAAUSDT", -2, 1050), fill(4, "AAAUSDT", -2, 1030)]
    )
    assert [(row["qty"], row["entry_price"], row["exit_price"], row["exit_time_ms"]) for row in rows] == [
        ("0.00400000", "103.00000000", "104.00000000", "4")
    ]


@given(fills_of_a_run())
def test_trades_are_those_of_a_naive_recomputation(fills: list[Fill]) -> None:
    rows, expected = trade_rows(fills), naive_trades(naive(fills))
    assert len(rows) == len(expected)
    for row, trade in zip(rows, expected, strict=True):
        exits = list(trade.exits)
        if trade.ended_ms is None:
            exits.append((trade.open_size(), Fraction(str(CLOSES[trade.symbol]))))
        size = sum(size for size, _ in trade.entries)
        value_in, value_out = sum(size * price for size, price in trade.entries), sum(size * price for size, price in exits)
        gross = trade.sign * (value_out - value_in)
        assert (row["symbol"], row["side"]) == (trade.symbol, "buy" if trade.sign > 0 else "sell")
        assert (row["entry_time_ms"], row["exit_time_ms"]) == (
            str(trade.begun_ms),
            "" if trade.ended_ms is None else str(trade.ended_ms),
        )
        assert (row["is_open"], row["close_reason"]) == ("true" if trade.ended_ms is None else "false", trade.reason)
        assert (Fraction(row["qty"]), Fraction(row["gross_pnl"])) == (size, gross)
        assert_near(row, "fees", trade.fees, steps=len(fills))
        assert_near(row, "net_pnl", gross - trade.fees, steps=len(fills))
        assert_near(row, "entry_price", value_in / size)
        assert_near(row, "exit_price", value_out / size)
        assert_near(row, "pnl_frac", (gross - trade.fees) / value_in, steps=1 + len(fills))


def assert_near(row: dict[str, str], name: str, value: Any, *, steps: int = 1) -> None:
    assert abs(Fraction(row[name]) - value) <= steps * UNIT, (name, row, float(value))


@given(fills_of_a_run())
def test_fees_of_all_trades_are_the_fees_of_all_fills_to_the_last_unit(fills: list[Fill]) -> None:
    rows = trade_rows(fills)
    assert sum(Fraction(row["fees"]) for row in rows) == sum(Fraction(one.fee_e8, 10**8) for one in fills)


def test_wins_are_counted_after_fees_and_open_trades_apart() -> None:
    fills = [
        fill(1, "AAAUSDT", 1, 1000), fill(2, "AAAUSDT", -1, 1001, fee_e8=10_000),
        fill(3, "AAAUSDT", 1, 1000), fill(4, "AAAUSDT", -1, 1001, fee_e8=9_999),
        fill(5, "BBBUSDT", -1, 1000),
    ]  # fmt: skip
    assert write_trades(io.StringIO(), trades_of(FillBook(fills), last_closes=CLOSES)) == TradeCount(closed=2, won=1, still_open=1)


def test_a_fill_row_has_plain_decimals_and_its_words_quoted_where_needed() -> None:
    file = io.StringIO()
    book = write_fills(file, [fill(7, "AAAUSDT", -12, 1000, fee_e8=-5, reason='a "b", c')])
    header, row = csv.reader(io.StringIO(file.getvalue()))
    assert (
        ",".join(header[:13]) == "time_ms,symbol,side,qty,price,fee,fee_asset,liquidity,order_id,fill_id,reason,order_type,bar_fill"
    )
    assert row[:8] == ["7", "AAAUSDT", "sell", "0.01200000", "100.00000000", "-0.00000005", "USDT", "taker"]
    assert row[8:] == ["s-1", "s-1-1", 'a "b", c', "market", "false", "s", "", "false", ""]
    assert len(book) == 1 and book.fees() == -5 * 10**8


def test_fills_that_go_back_in_time_or_are_too_large_are_refused() -> None:
    with pytest.raises(JournalError, match="is older"):
        FillBook([fill(2, "AAAUSDT", 1, 1000), fill(1, "AAAUSDT", 1, 1000)])
    with pytest.raises(JournalError, match="beyond 92 billion"):
        FillBook([fill(2, "AAAUSDT", 10**15, 1000)])


def test_the_decimal_context_of_a_strategy_changes_no_number() -> None:
    from decimal import ROUND_UP, localcontext

    fills = [fill(1, "AAAUSDT", 3, 1003, fee_e8=7), fill(2, "AAAUSDT", -3, 1017, fee_e8=9)]
    with localcontext() as context:
        context.prec, context.rounding = 1, ROUND_UP
        spoiled = trade_rows(fills)
        file = io.StringIO()
        write_fills(file, fills)
    assert spoiled == trade_rows(fills) and Decimal("0.003") == fills[0].qty
    assert ",0.00300000,100.30000000,0.00000007," in file.getvalue()
