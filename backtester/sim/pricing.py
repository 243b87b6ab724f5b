"""What a fill costs: spread, slippage and impact in its price, and the fee on its value."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from math import ceil

from backtester.domain.candle import Candle
from backtester.domain.costs import cost_ratio, fee_ratio, over_share_impact_bps
from backtester.domain.instruments import SymbolSpec
from backtester.domain.money import CALCULATION, price_e8, size_from_e8
from backtester.domain.rounding import fill_price_ticks, on_step
from backtester.domain.vocabulary import BUY, TAKER, Liquidity, Side
from backtester.sim.liquidity import volume_e8
from backtester.sim.quoted_spread import QuotedSpreads
from backtester.sim.received_fees import ReceivedFees
from backtester.sim.sim_models import FeeModel, FixedSlippage, SlippageModel, checked_rate_bps
from backtester.sim.slippage_models import BarSlippage, SymbolSlippage, TickSlippage, slippage_bps


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
        self._rates: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {}
        self._models = slippage.models if isinstance(slippage, SymbolSlippage) else dict.fromkeys(specs, slippage)
        self._half_spreads = {symbol: self._half(spread_bps) for symbol in specs}
        self._half_spreads |= {symbol: self._half(spread) for symbol, spread in (spreads_bps or {}).items()}
        self._extra_ticks: dict[str, int] = {}
        self._fixed_ratios: dict[tuple[str, Side], tuple[int, int]] = {}
        for symbol, model in self._models.items():
            if type(model) is FixedSlippage or type(model) is TickSlippage:
                fixed_bps = CALCULATION.multiply(model.bps if type(model) is FixedSlippage else Decimal(0), cost_factor)
                for side in Side:
                    self._fixed_ratios[symbol, side] = cost_ratio(self._half_spreads[symbol], fixed_bps, side)
            if isinstance(model, TickSlippage | BarSlippage) and model.ticks:
                self._extra_ticks[symbol] = ceil(model.ticks * cost_factor)
        remembering = {key: model for key, model in self._models.items() if isinstance(model, BarSlippage) and model.remembers}
        self._remembering: Mapping[str, BarSlippage] = remembering
        self.remembering = bool(remembering) or quotes is not None
        """Whether something must be told what was traded; not so in most runs."""

    def _half(self, spread_bps: Decimal) -> Decimal:
        return CALCULATION.multiply(CALCULATION.divide(spread_bps, Decimal(2)), self._factor)

    def taker_ticks(self, *, symbol: str, side: Side, lots: int, bar: Candle, reference: float, over_share: bool) -> int:
        """reference x (1 +/- half spread) x (1 +/- slippage), rounded once to the tick, against the trader.

        `over_share` adds the impact of a fill larger than the share of the bar's volume that is allowed.
        """
        spec = self._specs[symbol]
        ratio = None if over_share or self.quotes is not None else self._fixed_ratios.get((symbol, side))
        if ratio is None:
            qty = size_from_e8(lots * spec.lot_e8)
            bps = slippage_bps(self._models[symbol], symbol=symbol, side=side, qty=qty, bar=bar, price=reference)
            if over_share:
                bps = CALCULATION.add(bps, over_share_impact_bps(lots * spec.lot_e8, volume_e8(bar.volume)))
            half_bps = self._half_spreads[symbol]
            if self.quotes is not None:
                half_bps = self.quotes.half_bps(symbol, half_bps)
            ratio = cost_ratio(half_bps, CALCULATION.multiply(bps, self._factor), side)
        ticks = fill_price_ticks(price_e8(reference), numerator=ratio[0], denominator=ratio[1], tick_e8=spec.tick_e8, side=side)
        if spec.tick_step != 1:
            ticks = max(spec.tick_step, on_step(ticks, spec.tick_step, up=side is BUY))
        if self._extra_ticks:
            ticks = max(spec.tick_step, ticks + side.sign * self._extra_ticks.get(symbol, 0) * spec.tick_step)
        return ticks

    def tell_traded(self, *, symbol: str, side: Side, lots: int, bar: Candle) -> None:
        """A model that remembers knows of a taker's fill, and what its spread went by is counted."""
        if self.quotes is not None:
            self.quotes.count(symbol)
        model = self._remembering.get(symbol)
        if model is not None:
            model.traded(symbol=symbol, side=side, qty=size_from_e8(lots * self._specs[symbol].lot_e8), bar=bar)

    def fee_e8(self, *, symbol: str, ticks: int, lots: int, liquidity: Liquidity) -> int:
        """Fee on the value of a fill, rounded up to 1e-8 of the account's asset; negative for a rebate."""
        spec = self._specs[symbol]
        rates = self._rates.get(symbol) or self._ask_rates(symbol)
        numerator, denominator = rates[liquidity is TAKER]
        if spec.face:  # exact until the one rounding (exchange_semantics.md, section 3; golden B05)
            return -(-lots * spec.lot_e8 * spec.face * numerator // (ticks * spec.tick_e8 * denominator))
        return -(-ticks * spec.tick_e8 * lots * spec.lot_e8 * numerator // denominator)

    def on_rules(self, symbol: str) -> None:
        """The rules of `symbol` are other ones now: what it pays is asked for anew."""
        self._rates.pop(symbol, None)
        if self.received is not None:
            self.received.on_rules(symbol)

    def liquidation_fee_e8(self, *, symbol: str, ticks: int, lots: int) -> int:
        """What a liquidation costs beside the trading fee: nothing where its price takes what is left of the margin."""
        return 0

    def _ask_rates(self, symbol: str) -> tuple[tuple[int, int], tuple[int, int]]:
        """The fee model's (maker, taker) rates of a symbol, asked once, as fractions of money units to fees in 1e-8."""
        maker, taker = (
            fee_ratio(checked_rate_bps(self._fees.rate_bps(symbol=symbol, liquidity=liquidity))) for liquidity in Liquidity
        )
        self._rates[symbol] = (maker, taker)
        return maker, taker
