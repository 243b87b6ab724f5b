"""What a fill costs: spread, slippage and impact in its price, and the fee on its value."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from math import ceil

from backtester.domain.candle import Candle
from backtester.domain.costs import cost_ratio, fee_ratio, over_share_impact_bps
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import CALCULATION, price_e8, size_from_e8
from backtester.domain.orders import SanitizedOrder
from backtester.domain.rounding import fill_price_ticks, on_step
from backtester.domain.vocabulary import BUY, TAKER, Liquidity, Side
from backtester.sim.liquidity import volume_e8
from backtester.sim.quoted_spread import QuotedSpreads
from backtester.sim.received_fees import ReceivedFees
from backtester.sim.sim_models import FeeModel, FixedSlippage, SlippageModel, checked_rate_bps
from backtester.sim.slippage_models import BarSlippage, SymbolSlippage, TickSlippage, slippage_bps

_Rate = tuple[int, int, bool]
"""(numerator, denominator) that take ticks x lots to a fee in 1e-8; last: lots / ticks, for contracts worth a sum of quote."""


class FillPricing:
    """Prices and fees of one run's fills, in whole ticks and whole 1e-8 of the quote asset."""

    def __init__(
        self,
        *,
        specs: Mapping[str, SymbolSpec],
        spread_bps: Decimal,
        slippage: SlippageModel | SymbolSlippage,
        fees: FeeModel,
        cost_factor: Decimal = Decimal(1),
        spreads_bps: Mapping[str, Decimal] | None = None,
        quotes: QuotedSpreads | None = None,
    ) -> None:
        """`cost_factor` multiplies spread and slippage; fees come as they are to be charged. `spreads_bps`: own ones.

        With `quotes` those decide about the spread, where there are some.
        """
        self.quotes = quotes
        self._specs = specs
        self.received: ReceivedFees | None = None
        """Set in a run whose spot fees are taken from the coin received."""
        self._factor = cost_factor
        self._fees = fees
        self._rates: dict[str, tuple[_Rate, _Rate]] = {}
        self._models = slippage.models if isinstance(slippage, SymbolSlippage) else dict.fromkeys(specs, slippage)
        self._half_spreads = {symbol: self._half(spread_bps) for symbol in specs}
        self._half_spreads |= {symbol: self._half(spread) for symbol, spread in (spreads_bps or {}).items()}
        self._extra_ticks: dict[str, int] = {}
        self._fixed_ratios: dict[tuple[str, Side], tuple[int, int]] = {}
        """From a price in 1e-8 to ticks, where a taker's costs depend on nothing."""
        for symbol, model in self._models.items():
            if quotes is None and (type(model) is FixedSlippage or type(model) is TickSlippage):
                fixed_bps = CALCULATION.multiply(model.bps if type(model) is FixedSlippage else Decimal(0), cost_factor)
                for side in Side:
                    numerator, denominator = cost_ratio(self._half_spreads[symbol], fixed_bps, side)
                    self._fixed_ratios[symbol, side] = (numerator, denominator * specs[symbol].tick_e8)
            if isinstance(model, TickSlippage | BarSlippage) and model.ticks:
                self._extra_ticks[symbol] = ceil(model.ticks * cost_factor)
        self._in_steps = self._are_ticks_in_steps()
        remembering = {key: model for key, model in self._models.items() if isinstance(model, BarSlippage) and model.remembers}
        self._remembering: Mapping[str, BarSlippage] = remembering
        self.remembering = bool(remembering) or quotes is not None
        """Whether something must be told what was traded; not so in most runs."""

    def _half(self, spread_bps: Decimal) -> Decimal:
        return CALCULATION.multiply(CALCULATION.divide(spread_bps, Decimal(2)), self._factor)

    def _are_ticks_in_steps(self) -> bool:
        """Whether some price is more than a rounded number of ticks: whole steps of them, or some more; not so in most runs."""
        return bool(self._extra_ticks) or any(spec.tick_step != 1 for spec in self._specs.values())

    def taker_ticks(self, order: SanitizedOrder, lots: int, bar: Candle, reference: float, over_share: bool) -> int:
        """reference x (1 +/- half spread) x (1 +/- slippage), rounded once to the tick, against the trader.

        Never beyond the order's limit. `over_share` adds the impact of a fill larger than the share of the bar's volume that is
        allowed.
        """
        side = order.side
        fixed = None if over_share else self._fixed_ratios.get((order.symbol, side))
        numerator, denominator = fixed or self._ratio(order, lots, bar, reference, over_share)
        ticks = fill_price_ticks(price_e8(reference), numerator, denominator, side)
        if self._in_steps:
            ticks = self._on_steps(order.symbol, side, ticks)
        if order.price_ticks:
            return min(ticks, order.price_ticks) if side is BUY else max(ticks, order.price_ticks)
        return ticks

    def _ratio(self, order: SanitizedOrder, lots: int, bar: Candle, reference: float, over_share: bool) -> tuple[int, int]:
        """From a price in 1e-8 to ticks with what spread and slippage are now."""
        symbol, side, spec = order.symbol, order.side, self._specs[order.symbol]
        qty = size_from_e8(lots * spec.lot_e8)
        bps = slippage_bps(self._models[symbol], symbol=symbol, side=side, qty=qty, bar=bar, price=reference)
        if over_share:
            bps = CALCULATION.add(bps, over_share_impact_bps(lots * spec.lot_e8, volume_e8(bar.volume)))
        half_bps = self._half_spreads[symbol]
        if self.quotes is not None:
            half_bps = self.quotes.half_bps(symbol, half_bps)
        numerator, denominator = cost_ratio(half_bps, CALCULATION.multiply(bps, self._factor), side)
        return numerator, denominator * spec.tick_e8

    def _on_steps(self, symbol: str, side: Side, ticks: int) -> int:
        """A price in ticks on whole steps of them, against the trader, and what the model adds."""
        step = self._specs[symbol].tick_step
        if step != 1:
            ticks = max(step, on_step(ticks, step, up=side is BUY))
        if self._extra_ticks:
            ticks = max(step, ticks + side.sign * self._extra_ticks.get(symbol, 0) * step)
        return ticks

    def tell_traded(self, *, symbol: str, side: Side, lots: int, bar: Candle) -> None:
        """A model that remembers knows of a taker's fill, and what its spread went by is counted."""
        if self.quotes is not None:
            self.quotes.count(symbol)
        model = self._remembering.get(symbol)
        if model is not None:
            model.traded(symbol=symbol, side=side, qty=size_from_e8(lots * self._specs[symbol].lot_e8), bar=bar)

    def fee_e8(self, symbol: str, ticks: int, lots: int, liquidity: Liquidity) -> int:
        """Fee on the value of a fill, rounded up to 1e-8 of the account's asset; negative for a rebate."""
        rates = self._rates.get(symbol) or self._ask_rates(symbol)
        numerator, denominator, of_contracts = rates[liquidity is TAKER]
        if of_contracts:  # exact until the one rounding (exchange_semantics.md, section 3; golden B05)
            return -(-lots * numerator // (ticks * denominator))
        return -(-ticks * lots * numerator // denominator)

    def on_rules(self, symbol: str) -> None:
        """The rules of `symbol` are other ones now: what it pays is asked for anew."""
        self._rates.pop(symbol, None)
        self._in_steps = self._are_ticks_in_steps()
        if self.received is not None:
            self.received.on_rules(symbol)

    def liquidation_fee_e8(self, *, symbol: str, ticks: int, lots: int) -> int:
        """What a liquidation costs beside the trading fee: nothing where its price takes what is left of the margin."""
        return 0

    def _ask_rates(self, symbol: str) -> tuple[_Rate, _Rate]:
        """The fee model's (maker, taker) rates of a symbol, asked once for the rules in force."""
        maker, taker = (self._asked_rate(symbol, liquidity) for liquidity in Liquidity)
        self._rates[symbol] = (maker, taker)
        return maker, taker

    def _asked_rate(self, symbol: str, liquidity: Liquidity) -> _Rate:
        spec = self._specs[symbol]
        numerator, denominator = fee_ratio(checked_rate_bps(self._fees.rate_bps(symbol=symbol, liquidity=liquidity)))
        if spec.face:
            return numerator * spec.lot_e8 * spec.face, denominator * spec.tick_e8, True
        return numerator * spec.tick_e8 * spec.lot_e8, denominator, False
