"""Interest on what is borrowed, hour by hour, from the balances that the fills have left and the rates of the configuration."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from typing import Any

from backtester.proof.accounting import Accounting

HOUR_MS = 3_600_000
PAST_MS = 300_000
"""Charges are made five minutes past each full hour."""


class Charges:
    """Holds each charge of a journal against what was owed, and looks for those that are missing."""

    def __init__(self, account: Accounting, settings: dict[str, Any], *, coins: dict[str, str], quote: str, start_ms: int) -> None:
        """`settings` are those of [account]; without `borrow_rates` nothing is borrowed. `coins` has each spot symbol's asset."""
        rates = settings.get("borrow_rates", {})
        self._account = account
        self._rates = {asset: Fraction(str(rate)) for asset, rate in rates.items()}
        self._coins = coins
        self._quote = quote
        self._due_ms = (start_ms - PAST_MS) // HOUR_MS * HOUR_MS + HOUR_MS + PAST_MS
        self._expected: set[str] | None = None

    def wrong(self, topic: str, event: dict[str, Any]) -> Iterator[str]:
        """What an event that is about to be booked shows to be wrong; to be asked for each, in order."""
        time_ms = event.get("time_ms")
        if not self._rates or time_ms is None:
            return
        while time_ms > self._due_ms:
            missing = self._owing() if self._expected is None else self._expected & self._owing()
            for name in sorted(missing):
                yield f"no interest is charged on {name} at {self._due_ms}"
            self._due_ms += HOUR_MS
            self._expected = None
        if time_ms == self._due_ms and self._expected is None:
            self._expected = self._owing()
        if topic == "interest":
            yield from self._wrong_charge(event)
            (self._expected or set()).discard(event.get("symbol") or event["asset"])
        elif topic == "account.snapshot":
            yield from self._wrong_owed(event)
        elif topic == "fills" and time_ms == self._due_ms and self._expected is not None:
            self._expected -= {event["symbol"], self._quote}  # before or after the charge: not said

    def _wrong_charge(self, event: dict[str, Any]) -> Iterator[str]:
        symbol, asset = event.get("symbol", ""), event["asset"]
        held = self._account.held.get((symbol, ""), Fraction(0)) if symbol else self._account.cash()
        owed, rate = Fraction(event["owed"]), self._rates.get(asset)
        if event["time_ms"] != self._due_ms:
            yield f"interest is charged at {event['time_ms']}, not five minutes past the hour"
        if owed != -held or asset != (self._coins.get(symbol) if symbol else self._quote):
            yield f"interest is charged on {event['owed']} {asset}, the fills leave {float(-held)} owed"
        if rate is None or Fraction(event["rate"]) != rate:
            yield f"the rate of {asset} is {event['rate']}, the configuration has {float(rate) if rate is not None else 'none'}"
        elif Fraction(event["amount"]) != Fraction(ceil(owed * rate * 10**8), 10**8):
            yield f"interest on {event['owed']} {asset} is {event['amount']}, at {event['rate']} an hour it is another"
        if not symbol and Fraction(event["price"]) != 1:
            yield f"{asset} is valued at {event['price']}"

    def _wrong_owed(self, event: dict[str, Any]) -> Iterator[str]:
        """What a snapshot says is owed is what stands below 0: cash, and each position."""
        owed = {self._quote: max(Fraction(0), -self._account.cash())}
        for symbol, asset in self._coins.items():
            owed[asset] = owed.get(asset, Fraction(0)) + max(Fraction(0), -self._account.held.get((symbol, ""), Fraction(0)))
        if {row["asset"]: Fraction(row["amount"]) for row in event.get("owed", ())} != {a: n for a, n in owed.items() if n}:
            yield "what the snapshot says is owed is not what the fills leave"

    def _owing(self) -> set[str]:
        """Positions, or the quote asset, on which an hour costs something."""
        found = {
            symbol for symbol, asset in self._coins.items() if self._account.held.get((symbol, ""), 0) < 0 and self._rates[asset]
        }
        return found | ({self._quote} if self._account.cash() < 0 and self._rates.get(self._quote) else set())
