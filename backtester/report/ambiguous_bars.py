"""How many bars of a run hid their order of events, what finer data told of them, and what hangs on the rest: in words."""

from __future__ import annotations

from decimal import Decimal

from backtester.audit.run_store import Manifest
from backtester.domain.money import amount_text


def ambiguity_text(manifest: Manifest, quote: str) -> str:
    """One line: the bars, those of them that were resolved and on what, and the amount in `quote` that hangs on the others."""
    count, at_stake = manifest.ambiguous_bars, f"{amount_text(Decimal(manifest.ambiguous_quote), quote)} {quote}"
    bars = "1 bar" if count == 1 else f"{count:,} bars"
    told = f"{bars} in which the order of events decided an outcome"
    by = [
        f"{resolved:,} on {what}"
        for resolved, what in ((manifest.resolved_by_candles, "shorter candles"), (manifest.resolved_by_trades, "trades"))
        if resolved
    ]
    if not by:
        return f"{told}; {at_stake} of profit hang on them"
    return f"{told}, resolved {' and '.join(by)}; {at_stake} of profit hang on the others"
