"""Runs a script through the engine and puts its result beside the oracle's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

import backtester
from backtester import CancelOrderIntent, Candle, Fill, LimitOrderIntent, MarketOrderIntent, Side, Strategy
from backtester.domain.instruments import SymbolSpec
from backtester.domain.intents import AnyIntent
from backtester.domain.timeframe import timeframe_text
from backtester.domain.vocabulary import Market, TimeInForce
from tests.oracle.naive import Oracle, Result
from tests.oracle.scenario import Action, Bar, Rules, Script, worth

WALLET_TOLERANCE = Fraction(1, 10**12)
"""Realised profit is rounded at 1e-16 of the quote asset per fill; what is rounded off stays in the position."""

TRADE_TOLERANCE = Fraction(1, 10**7)
"""Weighted prices and a flip's split fee are quotients: shown with at least eight decimals."""


def frame_of(bars: Sequence[Bar]) -> pl.DataFrame:
    """The bars as the frame a user would hand in."""
    columns = ("open", "high", "low", "close", "volume")
    data: dict[str, list[Any]] = {"start_ms": [bar.start_ms for bar in bars]}
    data |= {name: [float(getattr(bar, name)) for bar in bars] for name in columns}
    return pl.DataFrame(data)


def specs_of(symbols: Sequence[str], rules: Rules) -> list[SymbolSpec]:
    """Trading rules without minimums, so that only the script decides."""
    market = Market(market_of(rules))
    return [
        SymbolSpec(
            symbol=symbol,
            exchange="binance",
            market=market,
            base=symbol.removesuffix("USDT"),
            quote="USDT",
            tick_size=rules.tick,
            lot_size=rules.lot,
            min_qty=rules.lot,
            settle="COIN" if rules.inverse else None,
        )
        for symbol in symbols
    ]


def market_of(rules: Rules) -> str:
    """The market's name."""
    return "spot" if rules.spot else "inverse" if rules.inverse else "linear"


def settings_of(rules: Rules) -> dict[str, Any]:
    """The run settings that say the same as `rules`."""
    return {
        "sim.order_latency_ms": rules.order_latency_ms,
        "sim.cancel_latency_ms": rules.cancel_latency_ms,
        "sim.response_latency_ms": rules.response_latency_ms,
        "sim.spread_bps": rules.spread_bps,
        "sim.slippage_bps": rules.slippage_bps,
        "sim.maker_bps": rules.maker_bps,
        "sim.taker_bps": rules.taker_bps,
        "sim.spot_fee": "received" if rules.received else "quote",
        "sim.participation_bps": rules.participation_bps,
        "sim.remainder": "carry" if rules.carry else "cancel",
        "sim.work_bars": rules.work_bars,
        "sim.limit_fill": "through" if rules.through else "touch",
        "risk.price_collar_bps": 9_000,  # wide: a closing order alone in a thin bar pays up to 1,000 bps
    }


def scripted(script: Script, rules: Rules) -> type[Strategy]:
    """A strategy class that follows the script."""

    class Scripted(Strategy):
        def on_start(self) -> None:
            self.counts: dict[str, int] = {}
            self.reacted: set[str] = set()

        def on_candle(self, candle: Candle) -> Iterator[AnyIntent]:
            index = self.counts.get(candle.symbol, 0)
            self.counts[candle.symbol] = index + 1
            return self.intents(candle.symbol, script.on_candle.get((candle.symbol, index), ()), Decimal(repr(candle.close)))

        def on_fill(self, fill: Fill) -> Iterator[AnyIntent]:
            if fill.order_id in self.reacted:
                return iter(())
            self.reacted.add(fill.order_id)
            return self.intents(fill.symbol, script.on_fill.get(fill.order_id, ()), fill.price)

        def intents(self, symbol: str, actions: Sequence[Action], reference: Decimal) -> Iterator[AnyIntent]:
            for action in actions:
                intent = self.intent(symbol, action, reference)
                if intent is not None:
                    yield intent

        def intent(self, symbol: str, action: Action, reference: Decimal) -> AnyIntent | None:
            if action.kind == "cancel":
                return CancelOrderIntent(symbol=symbol, order_id=action.target)
            side = Side.BUY if action.buy else Side.SELL
            tif = TimeInForce.IOC if action.ioc else TimeInForce.GTC
            qty = action.lots * rules.lot
            if action.kind == "flatten":
                held = Decimal(self.ctx.position(symbol))
                if held == 0:
                    return None
                side = Side.BUY if held < 0 else Side.SELL
                return MarketOrderIntent(symbol=symbol, order_id=action.order_id, side=side, qty=abs(held), reduce_only=True)
            if action.kind == "market":
                return MarketOrderIntent(
                    symbol=symbol, order_id=action.order_id, side=side, qty=qty, tif=tif, reduce_only=action.reduce_only
                )
            price = (reference // rules.tick + action.offset_ticks) * rules.tick
            return LimitOrderIntent(
                symbol=symbol, order_id=action.order_id, side=side, qty=qty, price=price, tif=tif, reduce_only=action.reduce_only
            )

    return Scripted


def run_engine(bars: Mapping[str, Sequence[Bar]], script: Script, rules: Rules, **overrides: Any) -> Any:
    """The engine's result of a script."""
    arguments: dict[str, Any] = {
        "symbols": list(bars),
        "data": {symbol: frame_of(rows) for symbol, rows in bars.items()},
        "timeframe": timeframe_text(rules.signal_ms),
        "cash": rules.cash,
        "specs": specs_of(list(bars), rules),
        "exchange": "binance",
        "market": market_of(rules),
        "settings": settings_of(rules) | overrides.pop("settings", {}),
    }
    strategy = overrides.pop("strategy", None) or scripted(script, rules)
    return backtester.run(strategy, **(arguments | overrides))


def number(text: Any) -> Fraction:
    """An amount of a result frame, exact."""
    return Fraction(str(text))


def engine_fills(result: Any) -> list[tuple[Any, ...]]:
    """fills.csv in the oracle's shape."""
    return [
        (
            row["time_ms"],
            row["symbol"],
            row["side"],
            number(row["qty"]),
            number(row["price"]),
            number(row["fee"]),
            row["liquidity"],
            row["order_id"],
            row["order_type"],
            row["bar_fill"],
            row["fee_asset"] not in {"USDT", "COIN"},
        )
        for row in result.fills.to_dicts()
    ]


def assert_same(result: Any, expected: Result) -> None:
    """Every fill, fee, trade and equity value of the engine is the oracle's."""
    fills = engine_fills(result)
    wanted = [tuple(row) for row in expected.fills]
    for index, (mine, theirs) in enumerate(zip(wanted, fills, strict=False)):
        assert theirs == mine, f"fill {index}: engine {theirs}, oracle {mine}"
    assert len(fills) == len(wanted), (
        f"engine {len(fills)} fills, oracle {len(wanted)}: {(fills + wanted)[min(len(fills), len(wanted)) :]}"
    )
    assert_same_equity(result, expected)
    assert_same_trades(result, expected)


def assert_same_equity(result: Any, expected: Result) -> None:
    """Equity, its range and exposure to the last digit; wallet and unrealised up to the rounding of realised profit."""
    exact = Fraction(0)
    if expected.rules.inverse:  # each fill and each mark is rounded to a unit
        exact = WALLET_TOLERANCE
    rows = result.equity.to_dicts()
    assert [row["time_ms"] for row in rows] == [row.time_ms for row in expected.equity]
    for row, mine in zip(rows, expected.equity, strict=True):
        for name in ("equity", "exposure", "equity_min", "equity_max"):
            apart = abs(number(row[name]) - getattr(mine, name))
            assert apart <= exact, (mine.time_ms, name, row[name], float(getattr(mine, name)))
        assert abs(number(row["cash"]) - mine.cash) <= WALLET_TOLERANCE, (mine.time_ms, row["cash"], float(mine.cash))
        assert abs(number(row["unrealised_pnl"]) - mine.unrealised_pnl) <= WALLET_TOLERANCE, (mine.time_ms, row)


def assert_same_trades(result: Any, expected: Result) -> None:
    """Trades flat to flat: sides, sizes, times, weighted prices, profit and fees."""
    rows = sorted(
        result.trades.to_dicts(), key=lambda row: (row["symbol"], row["is_open"], row["entry_time_ms"], row["exit_time_ms"])
    )
    mine = sorted(expected.trades, key=lambda trade: (trade.symbol, trade.is_open, trade.entry_time_ms, trade.exit_time_ms))
    assert len(rows) == len(mine), (rows, mine)
    for row, trade in zip(rows, mine, strict=True):
        sign = 1 if trade.side == "buy" else -1
        gross = sign * (trade.exit_value - trade.entry_value)
        wanted = {
            "entry_price": worth(trade.entry_value / trade.entry_qty, expected.rules),
            "exit_price": worth(trade.exit_value / trade.exit_qty, expected.rules),
            "qty": trade.entry_qty,
            "gross_pnl": gross,
            "fees": trade.fees,
            "net_pnl": gross - trade.fees,
        }
        facts = (row["symbol"], row["side"], row["entry_time_ms"], row["exit_time_ms"], row["is_open"])
        exit_time_ms = None if trade.is_open else trade.exit_time_ms
        assert facts == (trade.symbol, trade.side, trade.entry_time_ms, exit_time_ms, trade.is_open)
        for name, value in wanted.items():
            allowed = TRADE_TOLERANCE
            if expected.rules.inverse and name.endswith("price"):  # worked out from coins, which are rounded to 1e-16
                allowed = max(allowed, abs(value) / 10**6)
            assert abs(number(row[name]) - value) <= allowed, (name, row, float(value))


def compare(bars: Mapping[str, Sequence[Bar]], script: Script, rules: Rules) -> tuple[Any, Result]:
    """Run both and require the same result."""
    result, expected = run_engine(bars, script, rules), Oracle(bars, script, rules).run()
    assert_same(result, expected)
    return result, expected
