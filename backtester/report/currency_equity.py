"""equity.csv of a run with a reporting currency: sums in that, then wallet, equity and price of each settlement asset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backtester.domain.contract_value import worth
from backtester.domain.conversion import Currency
from backtester.domain.money import PRICE_DECIMALS, format_money, format_scaled, price_e8
from backtester.engine.ports import Tick
from backtester.report.equity import EQUITY_COLUMNS, Curve, Replay


def currency_columns(currency: Currency) -> str:
    """The header: that of any run, then three columns for each settlement asset."""
    return ",".join((EQUITY_COLUMNS, *(f"cash_{asset},equity_{asset},price_{asset}" for asset in currency.rates)))


class CurrencyCurve(Curve):
    """As `Curve`, over one replay for each asset; each part counts at the last close of its rate, rounded down."""

    def __init__(self, replays: Mapping[str, Replay], currency: Currency, *, start_equity: int, start_ms: int) -> None:
        super().__init__(next(iter(replays.values())), start_equity, start_ms)
        self._replays = replays
        self._currency = currency

    def read(self, ticks: Sequence[Tick]) -> list[str]:
        """The rows of the next ticks."""
        rows: list[str] = []
        for time_ms, bars, signals in ticks:
            for bar in bars:
                self._closes[bar.symbol] = bar.close
            if time_ms <= self._start_ms:
                continue
            if self._next_day_ms < time_ms:
                self._pass_midnights(time_ms - 1, self._equity)
            for replay in self._replays.values():
                if replay.due_ms <= time_ms:
                    replay.advance(time_ms)
            self._tick_ms = time_ms
            cash, equity, exposure, texts = self._totals()
            if equity != self._equity:
                self._fall.see(equity)
            self._equity = equity
            self._lowest = equity if self._row_is_new else min(equity, self._lowest)
            self._highest = equity if self._row_is_new else max(equity, self._highest)
            self._row_is_new = False
            if signals is None or signals:
                self._rows += 1
                self._rows_held += any(replay.is_in_position for replay in self._replays.values())
                self._cash_text = format_money(cash)
                row = self._row(time_ms, equity, equity - cash, exposure, self._lowest, self._highest)
                rows.append(f"{row[:-1]},{texts}\n")
                self._row_is_new = True
        return rows

    def settle(self, end_ms: int) -> None:
        """What filled after the last close and up to `end_ms` is in the books."""
        due = [replay for replay in self._replays.values() if replay.due_ms <= end_ms]
        for replay in due:
            replay.advance(end_ms + 1)
        if due:
            _, self._equity, _, _ = self._totals()
            self._fall.see(self._equity)

    def _totals(self) -> tuple[int, int, int, str]:
        """(cash, equity, exposure) in the currency at the last closes, and the columns of the assets."""
        cash = equity = exposure = 0
        texts = []
        for asset, replay in self._replays.items():
            rate = self._currency.rates[asset]
            price = rate.price_at(self._closes)
            value, gross = marked(replay, self._closes)
            cash += rate.of(replay.cash, price)
            equity += rate.of(replay.base + value, price)
            exposure += rate.of(gross, price)
            texts += [format_money(replay.cash), format_money(replay.base + value), format_scaled(price, PRICE_DECIMALS)]
        return cash, equity, exposure, ",".join(texts)


def marked(replay: Replay, closes: Mapping[str, float]) -> tuple[int, int]:
    """(value, gross value) of what is held at these closes, in money units of its asset; at its entry where there is none."""
    value = gross = 0
    for symbol, size_e8, cost, face in replay.held:
        close = closes.get(symbol)
        one = cost if close is None else worth(size_e8, price_e8(close), face)
        value += one
        gross += abs(one)
    return value, gross
