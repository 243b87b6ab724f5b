"""What an option is worth at its expiry, from its name and the settlement price."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

_OPTION = re.compile(r"-(\d+(?:\.\d+)?)-([CP])(?:-[A-Z]+)?$")


def wrong_delivery(event: dict[str, Any]) -> str:
    """What a delivery of the journal says otherwise than the name of its contract; empty where nothing, or it is no option."""
    found = _OPTION.search(event["symbol"])
    if found is None:
        return ""
    gain = Fraction(event["settlement_price"]) - Fraction(found[1])
    worth = max(Fraction(0), gain if found[2] == "C" else -gain)
    if Fraction(event["price"]) == worth:
        return ""
    return f"{event['symbol']} is delivered at {event['price']}, settled at {event['settlement_price']} it is worth {float(worth)}"
