"""Answers as Binance, OKX and Bybit give them to ccxt: lists of instruments, candles, funding, the time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.loopback import Asked, Loopback, Reply, serving

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
LENGTHS = {"1m": MINUTE_MS, "5m": 5 * MINUTE_MS, "1h": HOUR_MS, "1H": HOUR_MS}


class Venue:
    """One history for every symbol, from `first_ms` until `now_ms`; the bar of this moment is open."""

    def __init__(self, *, first_ms: int, now_ms: int, page_max: int = 10_000) -> None:
        self.first_ms = first_ms
        self.now_ms = now_ms
        self.page_max = page_max
        self.missing: frozenset[int] = frozenset()
        self.funding_step_ms = 8 * HOUR_MS

    def times(self, low_ms: int, high_ms: int, step_ms: int) -> list[int]:
        """All times of rows in the range, oldest first."""
        first_ms = -(-max(low_ms, self.first_ms) // step_ms) * step_ms
        return [time for time in range(first_ms, min(high_ms, self.now_ms) + 1, step_ms) if time not in self.missing]

    @staticmethod
    def prices(start_ms: int) -> list[str]:
        base = 100 + start_ms // MINUTE_MS % 50
        return [f"{base}.5", f"{base + 2}", f"{base - 1}", f"{base + 1}.25"]


def _filters() -> list[dict[str, Any]]:
    return [
        {"filterType": "PRICE_FILTER", "minPrice": "0.1", "maxPrice": "1000000", "tickSize": "0.1"},
        {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
    ]


def _binance_symbol(symbol: str, base: str, quote: str, **more: Any) -> dict[str, Any]:
    common = {
        "symbol": symbol,
        "status": "TRADING",
        "baseAsset": base,
        "quoteAsset": quote,
        "filters": _filters(),
        "orderTypes": [],
    }
    return {**common, "pricePrecision": 1, "quantityPrecision": 3, "permissions": ["SPOT"], **more}


class Binance(Venue):
    """Oldest first; from startTime on, at most `limit`."""

    def answer(self, asked: Asked) -> Reply:
        query = asked.query
        kind, _, name = asked.path.rpartition("/v")
        if name.endswith("exchangeInfo"):
            perpetual = {"contractType": "PERPETUAL", "deliveryDate": 4133404800000, "onboardDate": 1569398400000}
            symbols = {
                "/api": [_binance_symbol("BTCUSDT", "BTC", "USDT", isSpotTradingAllowed=True)],
                "/fapi": [_binance_symbol("BTCUSDT", "BTC", "USDT", marginAsset="USDT", **perpetual)],
                "/dapi": [
                    _binance_symbol(
                        "BTCUSD_PERP", "BTC", "USD", marginAsset="BTC", contractSize=100, contractStatus="TRADING", **perpetual
                    )
                ],
            }[kind]
            return Reply({"serverTime": self.now_ms, "symbols": symbols})
        if name.endswith("time"):
            return Reply({"serverTime": self.now_ms})
        low_ms, high_ms = int(query.get("startTime", 0)), int(query.get("endTime", self.now_ms))
        limit = min(int(query.get("limit", 500)), self.page_max)
        if name.lower().endswith("klines"):
            step_ms = LENGTHS[query["interval"]]
            starts = self.times(low_ms, high_ms, step_ms)[:limit]
            return Reply([[time, *self.prices(time), "12.5", time + step_ms - 1, "7.75", 3, "1", "1", "0"] for time in starts])
        if name.endswith("fundingRate"):
            times = self.times(low_ms, high_ms, self.funding_step_ms)[:limit]
            return Reply([{"symbol": query["symbol"], "fundingTime": time, "fundingRate": "0.0001"} for time in times])
        return Reply({"code": -1, "msg": f"no such path {asked.path}"}, status=404)


class Okx(Venue):
    """Newest first; `before` and `after` are exclusive bounds, and name the older and the newer end."""

    def answer(self, asked: Asked) -> Reply:
        query = asked.query
        name = asked.path.removeprefix("/api/v5/")
        if name == "public/instruments":
            swap = {
                "instType": "SWAP", "instId": "BTC-USDT-SWAP", "uly": "BTC-USDT", "instFamily": "BTC-USDT", "settleCcy": "USDT", "ctVal": "0.01",
                "ctMult": "1", "ctValCcy": "BTC", "ctType": "linear", "lever": "100", "tickSz": "0.1", "lotSz": "1", "minSz": "1", "state": "live",
                "listTime": "1573557408000", "expTime": "", "baseCcy": "", "quoteCcy": "",
            }  # fmt: skip
            spot = {
                **swap,
                "instType": "SPOT",
                "instId": "BTC-USDT",
                "uly": "",
                "settleCcy": "",
                "ctVal": "",
                "ctType": "",
                "baseCcy": "BTC",
                "quoteCcy": "USDT",
            }
            return self._wrapped({"SWAP": [swap], "SPOT": [spot]}.get(query["instType"], []))
        if name == "public/time":
            return self._wrapped([{"ts": str(self.now_ms)}])
        low_ms, high_ms = int(query.get("before", -1)) + 1, int(query.get("after", self.now_ms + 1)) - 1
        limit = min(int(query.get("limit", 100)), self.page_max)
        if name.endswith("candles"):
            starts = self.times(low_ms, high_ms, LENGTHS[query["bar"]])[::-1][: min(limit, 100 if "mark" in name else 300)]
            return self._wrapped([[str(time), *self.prices(time), "1250", "12.5", "1300.75", "1"] for time in starts])
        if name == "public/funding-rate-history":
            times = self.times(low_ms, high_ms, self.funding_step_ms)[::-1][: min(limit, 100)]
            rows = [
                {"instId": query["instId"], "fundingRate": "0.00015", "realizedRate": "0.0001", "fundingTime": str(time)}
                for time in times
            ]
            return self._wrapped(rows)
        return Reply({"code": "404", "msg": f"no such path {asked.path}", "data": []}, status=404)

    @staticmethod
    def _wrapped(data: list[Any]) -> Reply:
        return Reply({"code": "0", "msg": "", "data": data})


@contextmanager
def venue(answering: Binance | Okx) -> Iterator[Loopback]:
    """That venue, running."""
    with serving(answering.answer) as served:
        yield served
