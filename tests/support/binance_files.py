"""Files and answers as Binance gives them, of a market that is a function of time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.support.archive_server import ArchiveServer

DAY_MS = 86_400_000
_FOLDERS = {"spot": "spot", "linear": "futures/um", "inverse": "futures/cm"}
EOH_HEADER = (
    "date,hour,symbol,underlying,type,strike,open,high,low,close,volume_contracts,volume_usdt,best_bid_price,best_ask_price,"
    "best_bid_qty,best_ask_qty,best_buy_iv,best_sell_iv,mark_price,mark_iv,delta,gamma,vega,theta,openinterest_contracts,"
    "openinterest_usdt"
)


def ms(text: str) -> int:
    """UTC epoch ms of an ISO date or time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


def bar(start_ms: int, length_ms: int) -> list[Any]:
    """A kline as the interface gives it; its prices are those of its time."""
    base = 2000 + (start_ms // 60_000) % 977
    prices = [f"{base + offset:.2f}" for offset in (0, 1.5, -1.25, 0.5)]
    return [start_ms, *prices, "12.500", start_ms + length_ms - 1, f"{base * 12.5:.4f}", 321, "6.250", f"{base * 6.25:.4f}", "0"]


def bars(start_ms: int, end_ms: int, length_ms: int = 3_600_000) -> list[list[Any]]:
    """The klines that start in [start_ms, end_ms)."""
    return [bar(at, length_ms) for at in range(start_ms, end_ms, length_ms)]


def csv_text(rows: list[list[Any]]) -> str:
    """Lines without a header."""
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


def kline_path(symbol: str, period: str, *, market: str = "linear", timeframe: str = "1h") -> str:
    """Where the klines of a month (`2024-01`) or a day (`2024-01-05`) lie."""
    span = "monthly" if len(period) == 7 else "daily"
    return f"/data/{_FOLDERS[market]}/{span}/klines/{symbol}/{timeframe}/{symbol}-{timeframe}-{period}.zip"


def publish_bars(
    server: ArchiveServer,
    symbol: str,
    period: str,
    *,
    market: str = "linear",
    timeframe: str = "1h",
    without: tuple[str, ...] = (),
    checksum: bool = True,
) -> str:
    """A month or a day of klines is published; `without` names days that the file lacks. Returns its path."""
    length_ms = {"1h": 3_600_000, "1m": 60_000}[timeframe]
    first_ms, end_ms = period_ms(period)
    lacking = [ms(day) for day in without]
    rows = [row for row in bars(first_ms, end_ms, length_ms) if row[0] - row[0] % DAY_MS not in lacking]
    path = kline_path(symbol, period, market=market, timeframe=timeframe)
    server.publish(path, csv_text(rows), checksum=checksum)
    return path


def period_ms(period: str) -> tuple[int, int]:
    """Start and end of a month or a day."""
    if len(period) > 7:
        return ms(period), ms(period) + DAY_MS
    year, month = int(period[:4]), int(period[5:])
    following = f"{year + month // 12}-{month % 12 + 1:02d}-01"
    return ms(f"{period}-01"), ms(following)


def publish_options(server: ArchiveServer, underlying: str, day: str) -> str:
    """A day of end-of-hour summaries of two contracts."""
    lines = [EOH_HEADER]
    for hour in range(24):
        for kind in "CP":
            symbol = f"{underlying.removesuffix('USDT')}-231027-1800-{kind}"
            lines.append(
                f"{day},{hour},{symbol},{underlying},{kind},231027-1800,10,12,9,11,5,55,10.5,11.5,2,3,0.5,0.6,11,0.55,0.4,0.001,1.2,-0.8,40,440"
            )
    path = f"/data/option/daily/EOHSummary/{underlying}/{underlying}-EOHSummary-{day}.zip"
    server.publish(path, "\n".join(lines) + "\n")
    return path


def kline_answer(first_ms: int, last_ms: int, *, length_ms: int = 3_600_000, limit_max: int = 1500) -> Any:
    """How the interface answers for klines of a market that trades in [first_ms, last_ms)."""

    def answer(query: dict[str, str]) -> list[list[Any]]:
        start_ms = max(int(query["startTime"]), first_ms)
        end_ms = min(int(query["endTime"]) + 1, last_ms)
        start_ms += -start_ms % length_ms
        return bars(start_ms, end_ms, length_ms)[: min(int(query["limit"]), limit_max)]

    return answer
