"""Answers as Bybit's interface v5 gives them: newest first, a page at a time, both ends of a range inclusive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.support.loopback import Asked, Loopback, Reply, serving

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
_BARS = {"kline": 7, "mark-price-kline": 5, "index-price-kline": 5, "premium-index-price-kline": 5}
_LENGTHS = {"1": MINUTE_MS, "5": 5 * MINUTE_MS, "60": HOUR_MS, "D": 24 * HOUR_MS, "5min": 5 * MINUTE_MS, "1h": HOUR_MS}


class BybitMarket:
    """One symbol's history from `first_ms` until `now_ms`; bars in `missing` were never made. Values follow from the time."""

    def __init__(self, *, first_ms: int, now_ms: int, missing: frozenset[int] = frozenset(), page_max: int = 1000) -> None:
        self.first_ms = first_ms
        self.now_ms = now_ms
        self.missing = missing
        self.page_max = page_max
        self.funding_step_ms = 8 * HOUR_MS
        self.instruments: list[Mapping[str, Any]] = []
        self.risk_limits: list[Mapping[str, Any]] = []

    def bar(self, start_ms: int, width: int) -> list[str]:
        base = 100 + start_ms // MINUTE_MS % 50
        return [str(start_ms), f"{base}.5", f"{base + 2}", f"{base - 1}", f"{base + 1}.25", "12.5", "1300.75"][:width]

    def answer(self, asked: Asked) -> Reply:
        name = asked.path.removeprefix("/v5/market/")
        query = asked.query
        if name in {"instruments-info", "risk-limit"}:
            return self._listed(self.instruments if name == "instruments-info" else self.risk_limits, query)
        if query.get("symbol") not in {None, "BTCUSDT", "BTCUSD"}:
            return self._wrapped({}, code=10001, message="params error: symbol invalid")
        if name == "time":
            return self._wrapped({"timeSecond": str(self.now_ms // 1000)})
        if name in _BARS:
            starts = self._times(query, "start", "end", _LENGTHS[query["interval"]])
            return self._wrapped({"list": [self.bar(start_ms, _BARS[name]) for start_ms in starts]})
        if name == "funding/history":
            if "endTime" not in query:
                return self._wrapped({}, code=10001, message="endTime is required")
            times = self._times(query, "startTime", "endTime", self.funding_step_ms)
            rows = [{"symbol": query["symbol"], "fundingRate": "0.0001", "fundingRateTimestamp": str(time)} for time in times]
            return self._wrapped({"list": rows})
        if name == "open-interest":
            times = self._times(query, "startTime", "endTime", _LENGTHS[query["intervalTime"]])
            return self._wrapped({"list": [{"openInterest": "500.5", "timestamp": str(time)} for time in times]})
        if name == "recent-trade":
            return self._wrapped({"list": [self._trade(index) for index in range(min(int(query["limit"]), 3))]})
        if name == "orderbook":
            book = {"s": query["symbol"], "b": [["99.5", "2"], ["99", "3"]], "a": [["100", "1.5"]], "ts": self.now_ms + 5}
            return self._wrapped({**book, "u": 77, "seq": 5, "cts": self.now_ms})
        return Reply({"retCode": 404, "retMsg": "not found"}, status=404)

    def _trade(self, index: int) -> dict[str, Any]:
        side = ("Buy", "Sell", "Buy")[index]
        time = str(self.now_ms - index * 10)
        return {"execId": f"id-{index}", "symbol": "BTCUSDT", "price": f"{100 + index}", "size": "0.5", "side": side, "time": time}

    def _times(self, query: Mapping[str, str], first: str, last: str, step_ms: int) -> list[int]:
        """Times of rows in the range, newest first, at most a page; the bar of this moment is still open."""
        low_ms = max(int(query.get(first, 0)), self.first_ms)
        high_ms = min(int(query.get(last, self.now_ms)), self.now_ms)
        newest_ms = high_ms // step_ms * step_ms
        limit = min(int(query.get("limit", 200)), self.page_max)
        times = (time for time in range(newest_ms, low_ms - 1, -step_ms) if time not in self.missing)
        return [time for time, _ in zip(times, range(limit), strict=False)]

    def _listed(self, rows: list[Mapping[str, Any]], query: Mapping[str, str]) -> Reply:
        wanted = [row for row in rows if query.get("symbol") in {None, row["symbol"]}]
        first = int(query.get("cursor", "0"))
        limit = int(query.get("limit", 500))
        following = str(first + limit) if first + limit < len(wanted) else ""
        return self._wrapped({"category": query["category"], "list": wanted[first : first + limit], "nextPageCursor": following})

    def _wrapped(self, result: Mapping[str, Any], *, code: int = 0, message: str = "OK") -> Reply:
        return Reply({"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": self.now_ms})


@contextmanager
def bybit(market: BybitMarket) -> Iterator[Loopback]:
    """A venue that has this market."""
    with serving(market.answer) as served:
        yield served
