"""What a contract is worth at its end, from its name and the settlement price."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

_OPTION = re.compile(r"-(\d+(?:\.\d+)?)-([CP])(?:-[A-Z]+)?$")


def wrong_delivery(event: dict[str, Any]) -> str:
    """What a delivery of the journal says otherwise than the name of its contract and its price; empty where nothing."""
    found = _OPTION.search(event["symbol"])
    if found is None:
        same = Fraction(event["price"]) == Fraction(event["settlement_price"])
        return "" if same else f"{event['symbol']} is settled at {event['settlement_price']} and delivered at {event['price']}"
    gain = Fraction(event["settlement_price"]) - Fraction(found[1])
    worth = max(Fraction(0), gain if found[2] == "C" else -gain)
    if Fraction(event["price"]) == worth:
        return ""
    return f"{event['symbol']} is delivered at {event['price']}, settled at {event['settlement_price']} it is worth {float(worth)}"
