"""What one unit of each symbol's settlement asset was worth in the reporting currency when a run ended, from its journal."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from backtester.audit.events import decode_snapshot
from backtester.audit.journal import JOURNAL_NAME, read_journal
from backtester.audit.run_store import Manifest
from backtester.domain.errors import JournalError

SNAPSHOT_TOPIC = "account.snapshot"


def last_rates(run: Path, manifest: Manifest) -> dict[str, Fraction]:
    """By symbol, at the last snapshot that can be read; nothing where the run has one asset.

    Amounts of fills and trades are in their assets; times this they are what metrics.json sums up.
    """
    record, last = manifest.currency, b""
    if record is None:
        return {}
    try:
        for line in read_journal(run / JOURNAL_NAME):
            last = line.raw if line.topic == SNAPSHOT_TOPIC else last
    except JournalError:
        pass  # what was read up to there is shown; who verifies the run says what is wrong
    prices = {one.asset: Fraction(one.price) for one in decode_snapshot(last).prices} if last else {}
    rates: dict[str, Fraction] = {}
    for asset, one in record.assets.items():
        price = prices.get(asset) or Fraction(1)
        rates.update(dict.fromkeys(one.settles, 1 / price if one.divides else price))
    return rates
