"""Spot fees in the coin that a fill receives (`sim.spot_fee = received`)."""

from __future__ import annotations

from collections.abc import Mapping

from backtester.domain.costs import fee_ratio
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import CALCULATION, FEE_STEP
from backtester.domain.position import whole_lots
from backtester.domain.spot_costs import FeeCoin, fee_coin
from backtester.domain.vocabulary import Liquidity, Market, Side
from backtester.sim.sim_models import FeeModel, checked_rate_bps


class ReceivedFees:
    """Which fills pay in the base coin, and how much: a buy from what it bought; a maker's rebate for a sale is paid in it.

    Any other fee is one of quote, as without it. `symbols` are those on spot.
    """

    def __init__(
        self, *, specs: Mapping[str, SymbolSpec], fees: FeeModel, held_e8: Mapping[str, int] | None = None, in_coin: bool = True
    ) -> None:
        """`held_e8` is what the account begins with; without `in_coin` no fee is one of base, and only what is held is kept."""
        self._in_coin = in_coin
        self.symbols = frozenset(symbol for symbol, spec in specs.items() if spec.market is Market.SPOT)
        self._specs = specs
        self._lot_e8 = {symbol: specs[symbol].lot_e8 for symbol in self.symbols}
        self._fees = fees
        self._ratios: dict[tuple[str, Side, Liquidity], tuple[int, int] | None] = {}
        self.held_e8: dict[str, int] = dict.fromkeys(self.symbols, 0) | dict(held_e8 or {})
        """What is held of each coin, in 1e-8: with what is less than a lot."""

    def in_base(self, symbol: str, side: Side, liquidity: Liquidity) -> bool:
        """Whether a fill's fee is one of the base coin."""
        return self._ratio(symbol, side, liquidity) is not None

    def fee_e8(self, symbol: str, side: Side, liquidity: Liquidity, lots: int) -> int:
        """The fee of a fill that pays in base, rounded up to 1e-8 of it; negative for a rebate. It never is all that was traded.

        Source: exchange_semantics.md, sections 2 (rounding) and 3 ("Currency"); golden E01, E06.
        """
        ratio = self._ratio(symbol, side, liquidity)
        if ratio is None:
            return 0
        size_e8 = lots * self._lot_e8[symbol]
        fee_e8 = -(-size_e8 * FEE_STEP * ratio[0] // ratio[1])
        return max(1 - size_e8, min(size_e8 - 1, fee_e8))

    def hold(self, symbol: str, change_e8: int) -> int:
        """The whole lots that are held, or owed, after a change, and can be traded."""
        self.held_e8[symbol] += change_e8
        step = self._specs[symbol].lot_step
        return whole_lots(self.held_e8[symbol], self._lot_e8[symbol] * step) * step

    def on_rules(self, symbol: str) -> None:
        """The rates of `symbol` are asked for anew."""
        self._ratios = {key: ratio for key, ratio in self._ratios.items() if key[0] != symbol}

    def _ratio(self, symbol: str, side: Side, liquidity: Liquidity) -> tuple[int, int] | None:
        """The rate as a fraction, asked once; None where the fee is one of quote."""
        key = (symbol, side, liquidity)
        if key not in self._ratios:
            bps = checked_rate_bps(self._fees.rate_bps(symbol=symbol, liquidity=liquidity))
            coin = fee_coin(side=side, liquidity=liquidity, rate_frac=CALCULATION.scaleb(bps, -4))
            taken = self._in_coin and symbol in self.symbols and coin is FeeCoin.BASE
            self._ratios[key] = fee_ratio(bps) if taken else None
        return self._ratios[key]
