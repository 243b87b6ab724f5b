"""What of a check cannot be asked of contracts that end on a date."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from backtester.app.market_data import SymbolRef
from backtester.trust.look_ahead import is_dated, shift_findings
from backtester.trust.repeated_run import RepeatedRun


def test_the_feed_of_an_option_is_not_moved_to_other_years() -> None:
    refs = [SymbolRef("ETH-250530-2500-C", "binance", "option", "ETH-250530-2500-C")]
    run = cast("RepeatedRun", SimpleNamespace(resolved=SimpleNamespace(refs=refs)))  # which could not be run again
    assert is_dated(run)
    assert shift_findings(run, [], declared=()) == []
