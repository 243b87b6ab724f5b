"""Modules and objects with `generate_signals(market_data, position_state)`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from backtester.domain.candle import Candle
from backtester.domain.errors import StrategyError
from backtester.domain.intents import MarketOrderIntent
from backtester.domain.orders import Fill
from backtester.domain.vocabulary import Side
from backtester.strategy.base import Strategy, StrategyParams

_LONG = frozenset(("buy", "long", "1", "1.0", "+1"))
_SHORT = frozenset(("sell", "short", "-1", "-1.0"))
_FLAT = frozenset(("flat", "close", "exit", "0", "0.0"))
_NOTHING = frozenset(("hold", "none", ""))
_SYMBOL_KEYS = ("symbol", "ticker", "instrument")
_ACTION_KEYS = ("signal", "action", "side", "direction", "type")
_SIZE_KEYS = ("qty", "quantity", "size", "amount")
_COLUMNS = ("open", "high", "low", "close", "volume")


class SignalStrategy(Strategy):
    """Asks `source().generate_signals(market_data, position_state)` after every candle close and trades towards what it says.

    market_data     {symbol: {"timestamp": [...], "open": [...], ...}} of closed candles, oldest first; timestamps are the starts of
                    the candles, UTC milliseconds. With one symbol the columns stand at the top as well.
    position_state  {"cash": ..., "equity": ..., symbol: {"qty": ..., "avg_entry_price": ...}}; with one symbol also at the top.

    It may return one signal (with one symbol), {symbol: signal}, or a list of mappings with a symbol and a signal, and a size where
    it has one. Signals: buy, long, 1; sell, short, -1 (flat where `allow_short` is false); flat, close, exit, 0; hold or None.
    Anything else ends the run with a StrategyError. Orders are market orders at the next open.
    """

    class Params(StrategyParams, frozen=True):
        """Size of a position, where a signal has none, and how much history is shown."""

        notional_quote: Decimal = Decimal(1000)
        """Value of a position in the quote asset."""
        qty: Decimal | None = None
        """A fixed size instead."""
        allow_short: bool = False
        bars: int = 200
        """Closed candles shown of each symbol; fewer at the beginning."""

    def source(self) -> Any:
        """The module or object that has `generate_signals`; override it."""
        raise StrategyError(
            f"{type(self).__name__}: override source() to return what has generate_signals(market_data, position_state)"
        )

    def on_start(self) -> None:
        """The source is at hand; nothing is held."""
        self._source = self.source()
        if not callable(getattr(self._source, "generate_signals", None)):
            raise StrategyError(
                f"{type(self).__name__}: {self._source!r:.100} has no generate_signals(market_data, position_state)"
            )
        if self.params.bars > self.history_bars:
            raise StrategyError(f"{type(self).__name__}: bars={self.params.bars} is more than history_bars={self.history_bars}")
        self._entries: dict[str, float] = {}
        self._closes: dict[str, float] = {}

    def on_candle(self, candle: Candle) -> None:
        """The close is what sizes are worked out from."""
        self._closes[candle.symbol] = candle.close

    def on_fill(self, fill: Fill) -> None:
        """The average entry price is that of what is held."""
        held = self.ctx.position(fill.symbol)
        signed = fill.qty if fill.side is Side.BUY else -fill.qty
        before = held - signed
        if not held:
            self._entries.pop(fill.symbol, None)
        elif before * held <= 0:
            self._entries[fill.symbol] = float(fill.price)
        elif abs(held) > abs(before):
            value = self._entries[fill.symbol] * float(abs(before)) + float(abs(signed) * fill.price)
            self._entries[fill.symbol] = value / float(abs(held))

    def on_tick_end(self) -> list[MarketOrderIntent]:
        """The source is asked, and what differs from what is held and ordered is ordered."""
        answer = self._source.generate_signals(self._market_data(), self._position_state())
        intents: list[MarketOrderIntent] = []
        for symbol, signal, size in self._signals(answer):
            intents += self._towards(symbol, signal, size)
        return intents

    # -- what is shown -----------------------------------------------------------------------------------------------

    def _market_data(self) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for symbol in self.ctx.symbols:
            rows = self.ctx.history(symbol, n=self.params.bars)
            columns: dict[str, list[Any]] = {"timestamp": [row.start_ms for row in rows]}
            columns.update((name, [getattr(row, name) for row in rows]) for name in _COLUMNS)
            data[symbol] = columns
        if len(self.ctx.symbols) == 1:
            data.update(data[self.ctx.symbols[0]])
        return data

    def _position_state(self) -> dict[str, Any]:
        state: dict[str, Any] = {"cash": float(self.ctx.cash), "equity": float(self.ctx.equity)}
        for symbol in self.ctx.symbols:
            state[symbol] = {"qty": float(self.ctx.position(symbol)), "avg_entry_price": self._entries.get(symbol)}
        if len(self.ctx.symbols) == 1:
            state.update(state[self.ctx.symbols[0]])
        return state

    # -- what is answered --------------------------------------------------------------------------------------------

    def _signals(self, answer: Any) -> Iterable[tuple[str, int | None, Decimal | None]]:
        """(symbol, direction, size) of each signal; direction None leaves the position as it is."""
        if isinstance(answer, Mapping) and not any(key in answer for key in _ACTION_KEYS):
            given = list(answer.items())
        elif isinstance(answer, (list, tuple)):
            given = [(self._symbol_of(one), one) for one in answer]
        else:
            given = [(self._symbol_of(answer), answer)]
        for symbol, signal in given:
            if symbol not in self.ctx.symbols:
                raise StrategyError(
                    f"generate_signals names {symbol!r:.50}, which is not in this run ({', '.join(self.ctx.symbols)})"
                )
            size = None
            word = signal
            if isinstance(signal, Mapping):
                word = next((signal[key] for key in _ACTION_KEYS if key in signal), None)
                size = next((Decimal(str(signal[key])) for key in _SIZE_KEYS if signal.get(key) is not None), None)
            yield symbol, self._direction(word), size

    def _symbol_of(self, signal: Any) -> str:
        if isinstance(signal, Mapping):
            named = next((str(signal[key]) for key in _SYMBOL_KEYS if key in signal), None)
            if named is not None:
                return named
        if len(self.ctx.symbols) == 1:
            return self.ctx.symbols[0]
        raise StrategyError(f"generate_signals returned {signal!r:.100} without a symbol, but the run has several")

    def _direction(self, word: Any) -> int | None:
        text = str(getattr(word, "value", "" if word is None else word)).strip().lower()
        if text in _NOTHING:
            return None
        if text in _LONG:
            return 1
        if text in _SHORT:
            return -1 if self.params.allow_short else 0
        if text in _FLAT:
            return 0
        raise StrategyError(
            f"generate_signals returned {word!r:.100}, which is no signal (buy, long, 1; sell, short, -1; flat, exit, 0; hold)"
        )

    def _towards(self, symbol: str, direction: int | None, size: Decimal | None) -> list[MarketOrderIntent]:
        if direction is None or self.ctx.open_orders(symbol):
            return []
        held = self.ctx.position(symbol)
        if direction == 0:
            if not held:
                return []
            side = Side.SELL if held > 0 else Side.BUY
            return [MarketOrderIntent(symbol=symbol, side=side, qty=abs(held), reduce_only=True, reason="SIGNAL")]
        if held * direction > 0:
            return []
        close = self._closes.get(symbol)
        if close is None:
            return []
        wanted = size or self.params.qty or self.params.notional_quote / Decimal(str(self.ctx.spec(symbol).unit_value_quote(close)))
        return [
            MarketOrderIntent(symbol=symbol, side=Side.BUY if direction > 0 else Side.SELL, qty=wanted + abs(held), reason="SIGNAL")
        ]
