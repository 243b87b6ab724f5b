"""What a fill costs: spread, slippage and impact in its price, and the fee on its value."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from backtester.domain.candle import Candle
from backtester.domain.costs import cost_ratio, fee_ratio, over_share_impact_bps
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import CALCULATION, price_e8, size_from_e8
from backtester.domain.rounding import fill_price_ticks
from backtester.domain.vocabulary import Liquidity, Side
from backtester.sim.liquidity import volume_e8
from backtester.sim.sim_models import FeeModel, FixedSlippage, SlippageModel, checked_bps, checked_rate_bps


class FillPricing:
    """Prices and fees of one run's fills, in whole ticks and whole 1e-8 of the quote asset."""

    def __init__(
        self,
        *,
        specs: Mapping[str, SymbolSpec],
        spread_bps: Decimal,
        slippage: SlippageModel,
        fees: FeeModel,
        cost_factor: Decimal = Decimal(1),
    ) -> None:
        """`cost_factor` multiplies spread and slippage; fees come as they are to be charged."""
        self._specs = specs
        self._factor = cost_factor
        self._half_spread_bps = CALCULATION.multiply(CALCULATION.divide(spread_bps, Decimal(2)), cost_factor)
        self._slippage = slippage
        self._fees = fees
        self._rates: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {}
        self._fixed_ratios: dict[Side, tuple[int, int]] = {}
        if type(slippage) is FixedSlippage:
            bps = CALCULATION.multiply(slippage.bps, cost_factor)
            self._fixed_ratios = {side: cost_ratio(self._half_spread_bps, bps, side) for side in Side}

    def taker_ticks(self, *, symbol: str, side: Side, lots: int, bar: Candle, reference: float, over_share: bool) -> int:
        """reference x (1 +/- half spread) x (1 +/- slippage), rounded once to the tick, against the trader.

        `over_share` adds the impact of a fill larger than the share of the bar's volume that is allowed.
        """
        spec = self._specs[symbol]
        ratio = None if over_share else self._fixed_ratios.get(side)
        if ratio is None:
            qty = size_from_e8(lots * spec.lot_e8)
            bps = checked_bps(self._slippage.cost(symbol=symbol, side=side, qty=qty, price=reference, bar_volume=bar.volume))
            if over_share:
                bps = CALCULATION.add(bps, over_share_impact_bps(lots * spec.lot_e8, volume_e8(bar.volume)))
            ratio = cost_ratio(self._half_spread_bps, CALCULATION.multiply(bps, self._factor), side)
        return fill_price_ticks(price_e8(reference), numerator=ratio[0], denominator=ratio[1], tick_e8=spec.tick_e8, side=side)

    def fee_e8(self, *, symbol: str, ticks: int, lots: int, liquidity: Liquidity) -> int:
        """Fee on the value of a fill, rounded up to 1e-8 of the quote asset; negative for a rebate."""
        spec = self._specs[symbol]
        rates = self._rates.get(symbol) or self._ask_rates(symbol)
        numerator, denominator = rates[liquidity is Liquidity.TAKER]
        return -(-ticks * spec.tick_e8 * lots * spec.lot_e8 * numerator // denominator)

    def _ask_rates(self, symbol: str) -> tuple[tuple[int, int], tuple[int, int]]:
        """The fee model's (maker, taker) rates of a symbol, asked once, as fractions of money units to fees in 1e-8."""
        maker, taker = (
            fee_ratio(checked_rate_bps(self._fees.rate_bps(symbol=symbol, liquidity=liquidity))) for liquidity in Liquidity
        )
        self._rates[symbol] = (maker, taker)
        return maker, taker
