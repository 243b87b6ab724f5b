"""`bt data import` and `bt data list`."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path

from backtester.app.market_choice import market_name
from backtester.cli.settings import catalog_directory
from backtester.data.catalog import Catalog
from backtester.data.importer import ImportReport, import_file
from backtester.domain.errors import EXIT_DONE
from backtester.domain.timeframe import iso_text
from backtester.report.terminal import print_table


def import_candles(options: Namespace) -> int:
    """The file's candles are in the catalog; what was read and what was new is told."""
    catalog = Catalog(catalog_directory(options))
    report = import_file(
        Path(options.file),
        catalog=catalog,
        exchange=options.exchange.lower(),
        market=market_name(options.market),
        symbol=options.symbol,
        timeframe=options.timeframe,
    )
    if not options.quiet:
        _print_report(report, catalog.base)
    return EXIT_DONE


def list_candles(options: Namespace) -> int:
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


def _print_report(report: ImportReport, base: Path) -> None:
    print(f"{report.path} -> {report.exchange} {report.market} {report.symbol} {report.timeframe} in {base}")
    print(f"  rows   {report.rows_read:,} read, {report.rows_written:,} new, {report.rows_already_stored:,} already stored")
    if report.rows_duplicated or report.rows_out_of_order:
        print(f"  tidied {report.rows_duplicated:,} identical repetitions left out, {report.rows_out_of_order:,} rows put in order")
    print(f"  range  {iso_text(report.first_ms)} to {iso_text(report.last_ms)} UTC, {report.gaps:,} gaps")
