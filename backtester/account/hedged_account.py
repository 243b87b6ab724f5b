"""Hedge mode: an account whose positions are legs, two a symbol, each with its own entry, profit and funding."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from backtester.account.account import Account
from backtester.domain.borrowing import InterestDue
from backtester.domain.candle import Candle
from backtester.domain.delivery import Expiry
from backtester.domain.legs import legs_of, split_leg
from backtester.domain.settlement import Settlement
from backtester.domain.vocabulary import PositionSide
from backtester.engine.topics import Published


class HedgedAccount(Account):
    """An account over `HedgedBooks`: `specs` are by leg, `routes` those of legs.

    `positions` holds each strategy's own signed quantities by leg, and by symbol both together.
    """

    def on_settlement(self, settlement: Settlement | Expiry | InterestDue) -> Sequence[Published]:
        """Each side of the symbol pays or receives on its own, the long one first."""
        if isinstance(settlement, Expiry | InterestDue):
            return super().on_settlement(settlement)
        return [published for leg in legs_of(settlement.symbol) for published in self._settled(settlement, leg)]

    def on_bar(self, bar: Candle) -> Sequence[Published]:
        """As `Account.on_bar`, where either side is open."""
        return self._watch() if any(self.books.lots[leg] for leg in legs_of(bar.symbol)) else ()

    def _side_of(self, position: str) -> PositionSide | None:
        return split_leg(position)[1]

    def _book_strategy(self, strategy_id: str, symbol: str, signed: int) -> None:
        super()._book_strategy(strategy_id, symbol, signed)
        table, traded = self._positions[strategy_id], split_leg(symbol)[0]
        table[traded] = sum((table[leg] for leg in legs_of(traded)), Decimal(0))
