"""Entry and exit columns of a table, as vectorised backtests have them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from decimal import Decimal
from math import isnan
from typing import Any

from backtester.domain.candle import Candle
from backtester.domain.errors import StrategyError
from backtester.domain.intents import MarketOrderIntent
from backtester.domain.vocabulary import Side
from backtester.strategy.base import Strategy, StrategyParams

_TIMES = ("start_ms", "open_time_ms", "timestamp", "datetime", "date", "time", "open_time")
_FLAGS = ("entry", "exit", "short_entry", "short_exit")
_Flags = tuple[bool, bool, bool, bool]


class ColumnStrategy(Strategy):
    """Trades a table of signals: a row belongs to the candle that starts at its time, and is known when that candle has closed.

    So an entry is bought at the next open, never at the close that made it: results of a vectorised backtest that fills at the
    signal's close will differ, and that is the point. `table()` returns a pandas or polars frame or a mapping of columns: a time
    (`start_ms` in UTC milliseconds, or `timestamp`, `date`, ... of dates and times), boolean `entry` and `exit`, `short_entry` and
    `short_exit` where there are any, and `symbol` where the table holds several. An exit wins over an entry in one row.

    The engine cannot know how the columns were made: one that looks at later rows gives false results here as elsewhere, and
    `bt check` looks for it.
    """

    class Params(StrategyParams, frozen=True):
        """Size of a position."""

        notional_quote: Decimal = Decimal(1000)
        """Value of a position in the quote asset."""
        qty: Decimal | None = None
        """A fixed size instead."""

    def table(self) -> Any:
        """The signals; override it."""
        raise StrategyError(f"{type(self).__name__}: override table() to return a frame with columns time, entry and exit")

    def on_start(self) -> None:
        """The signals are known by symbol and start of candle."""
        columns = _columns_of(self.table(), type(self).__name__)
        times = next(name for name in _TIMES if name in columns)
        starts = [_start_ms(value) for value in columns[times]]
        symbols = columns.get("symbol")
        if symbols is None and len(self.ctx.symbols) > 1:
            raise StrategyError(f"{type(self).__name__}: the run has several symbols; the table needs a column symbol")
        names = [str(one) for one in symbols] if symbols is not None else [self.ctx.symbols[0]] * len(starts)
        flags = [[_is_set(value) for value in columns[name]] if name in columns else [False] * len(starts) for name in _FLAGS]
        self._rows: dict[tuple[str, int], _Flags] = {}
        for symbol, start_ms, *row in zip(names, starts, *flags, strict=True):
            if (symbol, start_ms) in self._rows:
                raise StrategyError(f"{type(self).__name__}: the table has two rows for {symbol} at {start_ms}")
            self._rows[(symbol, start_ms)] = (row[0], row[1], row[2], row[3])

    def on_candle(self, candle: Candle) -> list[MarketOrderIntent]:
        """What the candle's row says is ordered, where it changes anything."""
        row = self._rows.get((candle.symbol, candle.start_ms))
        if row is None or not any(row) or self.ctx.open_orders(candle.symbol):
            return []
        entry, exit_, short_entry, short_exit = row
        held = self.ctx.position(candle.symbol)
        if (held > 0 and exit_) or (held < 0 and short_exit):
            side = Side.SELL if held > 0 else Side.BUY
            return [MarketOrderIntent(symbol=candle.symbol, side=side, qty=abs(held), reduce_only=True, reason="SIGNAL")]
        wanted = self.params.qty or self.params.notional_quote / Decimal(
            str(self.ctx.spec(candle.symbol).unit_value_quote(candle.close))
        )
        if entry and not exit_ and held <= 0:
            return [MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty=wanted + abs(held), reason="SIGNAL")]
        if short_entry and not short_exit and held >= 0:
            return [MarketOrderIntent(symbol=candle.symbol, side=Side.SELL, qty=wanted + abs(held), reason="SIGNAL")]
        return []


def _columns_of(table: Any, name: str) -> dict[str, list[Any]]:
    """The columns of a frame or mapping, by lower-case name; a pandas index of times is the column `timestamp`."""
    if isinstance(table, Mapping):
        columns = {str(key).lower(): list(values) for key, values in table.items()}
    elif hasattr(table, "columns"):
        columns = {str(key).lower(): list(table[key]) for key in table.columns}
        index = getattr(table, "index", None)
        if not any(key in columns for key in _TIMES) and hasattr(index, "to_pydatetime"):
            columns["timestamp"] = list(index.to_pydatetime())  # type: ignore[union-attr] # it has the attribute
    else:
        raise StrategyError(f"{name}: table() returned {type(table).__name__}; return a frame or a mapping of columns")
    if not any(key in columns for key in _TIMES):
        raise StrategyError(
            f"{name}: the table has no time; it needs one of {', '.join(_TIMES)}, and has {', '.join(columns) or 'nothing'}"
        )
    if "entry" not in columns and "short_entry" not in columns:
        raise StrategyError(f"{name}: the table has no column entry or short_entry; it has {', '.join(columns)}")
    return columns


def _is_set(value: Any) -> bool:
    """Whether a cell of a flag column is true; an empty one (None, NaN) is not."""
    return value is not None and not (isinstance(value, float) and isnan(value)) and bool(value)


def _start_ms(value: Any) -> int:
    """UTC epoch milliseconds of a time; dates and times without a zone are UTC."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    stamp = getattr(value, "timestamp", None)
    if stamp is None:
        return int(value)
    moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    milliseconds: int = round(moment.timestamp() * 1000)
    return milliseconds
