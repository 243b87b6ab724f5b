"""`bt data list` and `bt data info`."""

from __future__ import annotations

import json
import sys
from argparse import Namespace

from backtester.cli.settings import catalog_directory
from backtester.data.catalog import Catalog
from backtester.domain.errors import EXIT_DONE
from backtester.domain.timeframe import iso_text
from backtester.report.terminal import print_table


def list_stored(options: Namespace) -> int:
    """What is stored is told, one line for each series."""
    catalog = Catalog(catalog_directory(options))
    series = catalog.series()
    if options.json:
        print(json.dumps({"data": str(catalog.base), "series": [one._asdict() for one in series]}))
        return EXIT_DONE
    if not series:
        print(f"{catalog.base} holds no candles; runs use the synthetic sample market. Import some: bt data import --help")
        return EXIT_DONE
    rows = [
        (
            one.exchange,
            one.market,
            one.symbol,
            one.timeframe,
            iso_text(one.first_ms),
            iso_text(one.last_ms),
            f"{one.rows:,}",
            f"{one.gaps:,}",
        )
        for one in series
    ]
    print_table(("exchange", "market", "symbol", "timeframe", "first (UTC)", "end (UTC)", "candles", "gaps"), rows, sys.stdout)
    if not options.quiet:
        print(f"{len(series)} series in {catalog.base}")
    return EXIT_DONE
