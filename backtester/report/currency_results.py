"""The files of a run with a reporting currency (ADR 019).

Equity is told at the closes of its instant. Profits, fees, funding and costs stay in their asset in trades.csv and fills.csv;
the figures of metrics.json sum them up at the last closes of the run: what has been earned is worth that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import msgspec

from backtester.domain.conversion import Currency
from backtester.domain.instruments import SymbolSpec
from backtester.engine.ports import MarketDataSource
from backtester.metrics.trades import TradeResult
from backtester.report.currency_equity import CurrencyCurve, currency_columns
from backtester.report.equity import EquityCurve, Replay, draw
from backtester.report.fill_book import FillBook
from backtester.report.metrics_file import MarketWatch
from backtester.report.waiting_orders import WaitingOrders


class CurrencyStart(msgspec.Struct, frozen=True):
    """The reporting currency of a run, and the wallets that it begins with, in money units by asset."""

    currency: Currency
    wallets: Mapping[str, int]

    def equity(self) -> int:
        """What they are worth in the currency at the first prices."""
        rates = self.currency.rates
        return sum(rates[asset].of(units, rates[asset].first_e8) for asset, units in self.wallets.items())


class AssetWatch(MarketWatch):
    """Watches the fills of one settlement asset; `marks` are in the reporting currency, sums in the asset."""

    def __init__(self, feed: MarketDataSource, *, asset: str, currency: Currency, **known: Any) -> None:
        """`known` is what `MarketWatch` takes."""
        self._asset = asset
        self._currency = currency
        super().__init__(feed, **known)

    def _account(self) -> None:
        super()._account()
        equity, gross, net = (self._currency.of(self._asset, units, self._closes) for units in self.marks[-1])
        self.marks[-1] = (equity, gross, net)


class CurrencyWatch:
    """One watch for each asset, one behind the other on the feed; afterwards they are told as one."""

    def __init__(
        self,
        feed: MarketDataSource,
        *,
        start: CurrencyStart,
        book: FillBook,
        specs: Mapping[str, SymbolSpec],
        waiting: WaitingOrders,
        start_ms: int,
        end_ms: int | None,
    ) -> None:
        self._start = start
        self.parts = {asset: book.part(_symbols(start.currency, asset)) for asset in start.currency.rates}
        self._watches: dict[str, AssetWatch] = {}
        for asset, part in self.parts.items():
            feed = self._watches[asset] = AssetWatch(
                feed,
                asset=asset,
                currency=start.currency,
                book=part,
                specs=specs,
                waiting=waiting,
                starting_cash=start.wallets[asset],
                start_ms=start_ms,
                end_ms=end_ms,
            )
        self.feed = feed
        """The feed to read, through all watches."""

    def write_equity(self, file: TextIO, *, specs: Mapping[str, SymbolSpec], start_ms: int, end_ms: int | None) -> EquityCurve:
        """As `equity.write_equity`, with the columns of the assets; the watches see the candles."""
        start = self._start
        file.write(currency_columns(start.currency) + "\n")
        replays = {asset: Replay(part, specs=specs, starting_cash=start.wallets[asset]) for asset, part in self.parts.items()}
        curve = CurrencyCurve(replays, start.currency, start_equity=start.equity(), start_ms=start_ms)
        return draw(file, curve, feed=self.feed, end_ms=end_ms)

    def told(self, curve: EquityCurve) -> MarketWatch:
        """All that was seen, in the reporting currency: the first watch with the sums of all."""
        for watch in self._watches.values():
            watch.finish(curve)
        first = next(iter(self._watches.values()))
        marks = zip(*(watch.marks for watch in self._watches.values()), strict=True)
        totals = ([sum(units) for units in zip(*parts, strict=True)] for parts in marks)
        first.marks = [(equity, gross, net) for equity, gross, net in totals]
        watches = self._watches.items()
        first.slippage = self._sum({asset: watch.slippage for asset, watch in watches}, curve)
        first.bought = self._sum({asset: watch.bought for asset, watch in watches}, curve)
        first.sold = self._sum({asset: watch.sold for asset, watch in watches}, curve)
        first.without_reference = sum(watch.without_reference for watch in self._watches.values())
        return first

    def fees(self, curve: EquityCurve) -> int:
        """All fees paid, in money units of the currency."""
        return self._sum({asset: part.fees() for asset, part in self.parts.items()}, curve)

    def funding(self, curve: EquityCurve) -> int:
        """All funding received less paid, in money units of the currency."""
        return self._sum({asset: part.funding() for asset, part in self.parts.items()}, curve)

    def trades(self, trades: Sequence[TradeResult], curve: EquityCurve) -> list[TradeResult]:
        """Closed trades with their amounts in the currency."""
        currency = self._start.currency

        def told(trade: TradeResult) -> TradeResult:
            asset = currency.settles[trade.symbol]
            amounts = {
                name: currency.of(asset, getattr(trade, name), curve.last_closes) for name in ("entry_value", "gross", "fees")
            }
            return msgspec.structs.replace(trade, **amounts)

        return [told(trade) for trade in trades]

    def _sum(self, units: Mapping[str, int], curve: EquityCurve) -> int:
        return sum(self._start.currency.of(asset, amount, curve.last_closes) for asset, amount in units.items())


def _symbols(currency: Currency, asset: str) -> frozenset[str]:
    return frozenset(symbol for symbol, settled in currency.settles.items() if settled == asset)
