"""`bt data import`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from backtester.app.market_choice import market_name
from backtester.cli.settings import catalog_directory
from backtester.data.catalog import Catalog
from backtester.data.importer import ImportReport, import_file
from backtester.domain.errors import EXIT_DONE
from backtester.domain.timeframe import iso_text


def import_files(options: Namespace) -> int:
    """The file's candles are in the catalog; what was read and what was new is told."""
    catalog = Catalog(catalog_directory(options))
    report = import_file(
        Path(options.paths[0]),
        catalog=catalog,
        exchange=options.exchange.lower(),
        market=market_name(options.market),
        symbol=options.symbol,
        timeframe=options.timeframe,
    )
    if not options.quiet:
        _print_report(report, catalog.base)
    return EXIT_DONE


def _print_report(report: ImportReport, base: Path) -> None:
    print(f"{report.path} -> {report.exchange} {report.market} {report.symbol} {report.timeframe} in {base}")
    print(f"  rows   {report.rows_read:,} read, {report.rows_written:,} new, {report.rows_already_stored:,} already stored")
    if report.rows_duplicated or report.rows_out_of_order:
        print(f"  tidied {report.rows_duplicated:,} identical repetitions left out, {report.rows_out_of_order:,} rows put in order")
    print(f"  range  {iso_text(report.first_ms)} to {iso_text(report.last_ms)} UTC, {report.gaps:,} gaps")
