"""How Binance names the files of its public archive, and which there are of each market and kind."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from backtester.data.series import Series
from backtester.domain.errors import DataUnavailableError
from backtester.domain.timeframe import DAY_MS

INTERVALS = ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w")
"""Timeframes that are published; months are too, but have no fixed length."""
_MARKETS = {"spot": "spot", "linear": "futures/um", "inverse": "futures/cm", "option": "option"}
_FUTURES = ("linear", "inverse")
_TRADED = ("spot", "linear", "inverse")


class ArchiveKind(NamedTuple):
    """One kind of file: its folder, the markets with files of days and with files of months, and whether it is of bars."""

    folder: str
    daily: tuple[str, ...]
    monthly: tuple[str, ...]
    bars: bool = False


KINDS = {
    "candles": ArchiveKind("klines", _TRADED, _TRADED, bars=True),
    "mark": ArchiveKind("markPriceKlines", _FUTURES, _FUTURES, bars=True),
    "index": ArchiveKind("indexPriceKlines", _FUTURES, _FUTURES, bars=True),
    "premium": ArchiveKind("premiumIndexKlines", _FUTURES, _FUTURES, bars=True),
    "agg_trades": ArchiveKind("aggTrades", _TRADED, _TRADED),
    "trades": ArchiveKind("trades", _TRADED, _TRADED),
    "quotes": ArchiveKind("bookTicker", _FUTURES, _FUTURES),
    "funding": ArchiveKind("fundingRate", (), _FUTURES),
    "metrics": ArchiveKind("metrics", _FUTURES, ()),
    "book_depth": ArchiveKind("bookDepth", _FUTURES, ()),
    "liquidations": ArchiveKind("liquidationSnapshot", ("inverse",), ()),
    "option_summary": ArchiveKind("EOHSummary", ("option",), ()),
    "volatility_index": ArchiveKind("BVOLIndex", ("option",), ()),
}


class Month(NamedTuple):
    """A month of the calendar in UTC, and the starts of those of its days that are asked for and over."""

    start_ms: int
    end_ms: int
    days: tuple[int, ...]

    @property
    def whole(self) -> bool:
        """Whether all of its days are asked for."""
        return len(self.days) * DAY_MS == self.end_ms - self.start_ms


def archive_kind(series: Series) -> ArchiveKind:
    """What the archive has of a series. Raises DataUnavailableError, saying what it has instead."""
    kind = KINDS.get(series.kind)
    if kind is None or series.market not in {*kind.daily, *kind.monthly}:
        there = ", ".join(name for name, one in KINDS.items() if series.market in {*one.daily, *one.monthly})
        raise DataUnavailableError(f"the binance archive has no {series.kind} of the {series.market} market; it has {there}")
    if kind.bars and series.timeframe not in INTERVALS:
        raise DataUnavailableError(
            f"the binance archive has no {series.kind} of {series.timeframe}; it has {', '.join(INTERVALS)}: download a shorter "
            "timeframe, from which runs make longer ones"
        )
    return kind


def file_name(series: Series, kind: ArchiveKind, period_ms: int, *, monthly: bool) -> str:
    """The path of a file under the archive's address; `period_ms` is the start of its month or day."""
    moment = datetime.fromtimestamp(period_ms // 1000, tz=UTC)
    period = f"{moment:%Y-%m}" if monthly else f"{moment:%Y-%m-%d}"
    return f"{_stem(series, kind, monthly=monthly)}-{period}.zip"


def month_prefix(series: Series, kind: ArchiveKind, month_ms: int) -> str:
    """How the paths of the daily files of a month begin."""
    return f"{_stem(series, kind, monthly=False)}-{datetime.fromtimestamp(month_ms // 1000, tz=UTC):%Y-%m}-"


def _stem(series: Series, kind: ArchiveKind, *, monthly: bool) -> str:
    # The index of a coin-margined contract belongs to its pair: BTCUSD_PERP and BTCUSD_240628 have one, under BTCUSD.
    symbol = pair_of(series.symbol) if series.kind == "index" else series.symbol
    folder = f"data/{_MARKETS[series.market]}/{'monthly' if monthly else 'daily'}/{kind.folder}/{symbol}"
    if kind.bars:
        return f"{folder}/{series.timeframe}/{symbol}-{series.timeframe}"
    return f"{folder}/{symbol}-{kind.folder}"


def pair_of(symbol: str) -> str:
    """The pair of a contract: `BTCUSD` of `BTCUSD_PERP`; a symbol without `_` is its own pair."""
    return symbol.partition("_")[0]


def months_over(start_ms: int, end_ms: int, now_ms: int) -> list[Month]:
    """The months that [start_ms, end_ms) touches, with those of its days that were over at `now_ms`; none is empty."""
    days: dict[int, list[int]] = {}
    for day_ms in range(start_ms - start_ms % DAY_MS, end_ms, DAY_MS):
        if day_ms + DAY_MS <= now_ms:
            days.setdefault(_month_start_ms(day_ms), []).append(day_ms)
    return [Month(month_ms, _month_start_ms(month_ms + 31 * DAY_MS), tuple(asked)) for month_ms, asked in days.items()]


def _month_start_ms(time_ms: int) -> int:
    moment = datetime.fromtimestamp(time_ms // 1000, tz=UTC)
    return int(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp()) * 1000
