"""What a user or a source states about a file."""

from __future__ import annotations

from typing import Literal

import msgspec

from backtester.data.series import LIVE


class Hint(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a file beside its name and content. What the name says too must agree.

    `stamp`: whether the time of a bar is its open or its close; `volume_unit`: what its volumes count.
    """

    exchange: str | None = None
    market: str | None = None
    symbol: str | None = None
    kind: str | None = None
    timeframe: str | None = None
    network: str = LIVE
    stamp: Literal["open", "close"] | None = None
    volume_unit: Literal["base", "quote", "contracts"] | None = None
