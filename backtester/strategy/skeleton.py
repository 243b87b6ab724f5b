"""The text that `bt new` writes: a commented strategy that runs as it is."""

from __future__ import annotations

import re
from pathlib import Path

from backtester.domain.errors import ConfigError, StorageError

SKELETON = '''"""CLASS_NAME: buys dips below an average, sells when the price is back above it.

Run it:  bt --strategy FILE_NAME --symbols BTCUSDT ETHUSDT
"""

from collections import deque

from backtester import Candle, CancelOrderIntent, Fill, LimitOrderIntent, MarketOrderIntent, Side, Strategy, StrategyParams


class CLASS_NAME(Strategy):
    """One position per symbol: a limit order opens it, a market order closes it."""

    class Params(StrategyParams, frozen=True):
        # What can be set with --params '{"length": 30}'. Types are checked, names too.
        timeframe: str = "1h"
        """candles to decide on; must be a multiple of the stored ones"""
        length: int = 24
        """candles in the average"""
        dip: float = 0.01
        """how far below the average to buy, as a fraction (0.01 is 1 %)"""
        patience: int = 6
        """candles after which an order that was not filled is cancelled"""
        notional_quote: float = 500.0
        """value of one position in quote"""

    def on_start(self):
        # Called once. Keep your state on self; there is no other place that survives between hooks.
        self.closes = {}
        self.waited = {}

    def on_candle(self, candle: Candle):
        # Called for each closed candle of each symbol. What you return is checked by Risk and sent; it is
        # filled later, at prices that do not exist yet. Prices here are floats, quantities may be.
        symbol = candle.symbol
        closes = self.closes.setdefault(symbol, deque(maxlen=self.params.length))
        closes.append(candle.close)
        if len(closes) < self.params.length:
            return []
        average = sum(closes) / len(closes)

        # Your own orders that are on their way or waiting, oldest first.
        orders = self.ctx.open_orders(symbol)
        if orders:
            self.waited[symbol] = self.waited.get(symbol, 0) + 1
            if orders[0].price is not None and self.waited[symbol] == self.params.patience:
                return [CancelOrderIntent(symbol=symbol, order_id=orders[0].order_id)]
            return []
        self.waited[symbol] = 0

        # What this strategy holds: signed, exact, 0 when flat.
        position = self.ctx.position(symbol)
        if position > 0 and candle.close > average:
            # reduce_only: can only make the position smaller, whatever has happened in the meantime.
            return [MarketOrderIntent(symbol=symbol, side=Side.SELL, qty=position, reduce_only=True, reason="BACK_UP")]
        if position == 0:
            price = min(candle.close, average * (1 - self.params.dip))
            qty = self.params.notional_quote / price
            return [LimitOrderIntent(symbol=symbol, side=Side.BUY, qty=qty, price=price, reason="DIP")]
        return []

    def on_fill(self, fill: Fill):
        # Called when a fill is reported. Notes go to the run's journal, never into its results.
        self.ctx.log("filled", side=fill.side.value, qty=fill.qty, price=fill.price, fee=fill.fee)
        return []

    # There are also on_reject, on_cancel, on_timer, on_tick_end and on_end: see docs/writing_a_strategy.md.
'''


def write_skeleton(path: Path) -> Path:
    """A new strategy stands at `path` (`.py` is added where it is missing); its class is named after the file.

    Raises ConfigError when the file exists or its directory does not, StorageError when it cannot be written.
    """
    if path.suffix != ".py":
        path = path.with_name(f"{path.name}.py")
    if not path.parent.is_dir():
        raise ConfigError(f"directory {path.parent} does not exist; make it first")
    text = SKELETON.replace("CLASS_NAME", class_name_of(path.stem)).replace("FILE_NAME", path.name)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{path} exists already and is left as it is; give another name") from None
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error
    return path


def class_name_of(stem: str) -> str:
    """`my_strategy` becomes `MyStrategy`; a name that is no identifier, or one that the skeleton imports, gets a word more."""
    words = re.findall(r"[A-Za-z0-9]+", stem)
    name = "".join(word[:1].upper() + word[1:] for word in words)
    if not name or not name[0].isalpha():
        name = f"Strategy{name}"
    imported = re.search(r"from backtester import (.*)", SKELETON)
    taken = imported.group(1).split(", ") if imported else []
    return f"My{name}" if name in taken else name
