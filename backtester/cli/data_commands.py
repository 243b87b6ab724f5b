"""`bt data list` and `bt data info`."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from heapq import nlargest
from typing import Any

from backtester.cli.parser import nearest
from backtester.cli.settings import catalog_directory
from backtester.data.catalog import Catalog, StoredSeries
from backtester.data.findings import DEFAULT_POLICIES
from backtester.data.instrument_store import InstrumentStore
from backtester.data.kinds import TICK
from backtester.data.manifest import Partition
from backtester.data.storing import WITHOUT_VOLUME
from backtester.domain.errors import EXIT_DONE, DataUnavailableError
from backtester.domain.timeframe import iso_text
from backtester.report.terminal import Row, Section, print_sections, print_table

_SHOWN = 5
"""Sources, findings and gaps shown of a series; --json has all."""
_SHA_SHOWN = 12
_HEADER = ("exchange", "market", "symbol", "kind", "timeframe", "first (UTC)", "end (UTC)", "rows", "gaps")


def list_stored(options: Namespace) -> int:
    """What is stored is told, one line for each series."""
    catalog = Catalog(catalog_directory(options))
    series = catalog.all_series()
    _tell_notes(catalog)
    totals = {"series": len(series), "files": sum(one.files for one in series), "rows": sum(one.rows for one in series)}
    if options.json:
        listed = [one._asdict() for one in series]
        print(json.dumps({"data": str(catalog.base), "series": listed, "totals": totals}))
        return EXIT_DONE
    if not series:
        print(f"{catalog.base} holds no candles; runs use the synthetic sample market. Import some: bt data import --help")
        return EXIT_DONE
    print_table(_HEADER, [_line(one) for one in series], sys.stdout)
    if not options.quiet:
        print(f"{totals['series']:,} series, {totals['files']:,} files, {totals['rows']:,} rows in {catalog.base}")
    return EXIT_DONE


def show_symbol(options: Namespace) -> int:
    """All that is stored of a symbol is told. Raises DataUnavailableError where nothing is."""
    catalog = Catalog(catalog_directory(options))
    partitions: dict[Any, list[Partition]] = {}
    for one in catalog.partitions(options.symbol):
        partitions.setdefault(one.series, []).append(one)
    held = catalog.all_series(options.symbol)
    _tell_notes(catalog)
    if not held:
        names = dict.fromkeys(one.symbol for one in catalog.all_series())
        hint = nearest(options.symbol.upper(), names) or "; see `bt data list`"
        raise DataUnavailableError(f"nothing is stored of {options.symbol} in {catalog.base}{hint}")
    shown = [_facts(catalog, one, partitions[one.series]) for one in held]
    if options.json:
        print(json.dumps({"data": str(catalog.base), "symbol": options.symbol, "series": shown}))
    else:
        print_sections([_section(one, facts) for one, facts in zip(held, shown, strict=True)], sys.stdout)
    return EXIT_DONE


def _line(one: StoredSeries) -> tuple[str, ...]:
    first, end = _range(one)
    timeframe = "-" if one.timeframe == TICK else one.timeframe
    return (one.series.venue, one.market, one.symbol, one.kind, timeframe, first, end, f"{one.rows:,}", f"{one.gaps:,}")


def _range(one: StoredSeries) -> tuple[str, str]:
    """The first row's time and where the data ends: the end of the last bar, or the time of the last row without length."""
    end_ms = one.last_ms if one.timeframe != TICK else one.last_ms - 1
    return iso_text(one.first_ms), iso_text(end_ms)


def _facts(catalog: Catalog, one: StoredSeries, months: Sequence[Partition]) -> dict[str, Any]:
    """All that is known of a series, as JSON has it."""
    files = [month.file for month in months]
    manifest = catalog.manifest
    gaps = list(catalog.missing(one.series)) if one.gaps else []
    specs = InstrumentStore(catalog.base).specs(one.exchange, one.market, one.symbol, one.network)
    return {
        **one._asdict(),
        "bytes": sum(month.size for month in months),
        "volume_unit": months[0].volume_unit,
        "fingerprint": catalog.fingerprint(one.series, one.first_ms, one.last_ms),
        "gap_times_ms": gaps,
        "sources": [{"name": origin.name, "sha256": origin.sha256} for origin in manifest.sources(files)],
        "findings": [
            {
                "rule": finding.rule.value,
                "policy": finding.policy.value,
                "file": finding.file,
                "row": finding.row,
                "count": finding.count,
                "detail": finding.detail,
                "text": str(finding),
            }
            for finding in manifest.findings(files)
        ],
        "policies": manifest.policies(files),
        "trading_rules": [
            {
                "valid_from_ms": spec.valid_from_ms,
                "valid_to_ms": spec.valid_to_ms,
                "tick_size": str(spec.tick_size),
                "lot_size": str(spec.lot_size),
                "source": spec.source,
            }
            for spec in specs
        ],
        "month_files": [{"file": month.file, "rows": month.rows, "sha256": month.content_sha256} for month in months],
    }


def _section(one: StoredSeries, facts: dict[str, Any]) -> Section:
    first, end = _range(one)
    longest = nlargest(_SHOWN, facts["gap_times_ms"], key=lambda gap: gap[1] - gap[0])
    gaps = [f"{iso_text(from_ms)} to {iso_text(to_ms)} UTC" for from_ms, to_ms in sorted(longest)]
    sources = [f"{source['name']} (sha256 {source['sha256'][:_SHA_SHOWN]})" for source in facts["sources"]]
    rows = [
        Row("rows", f"{one.rows:,} in {one.files:,} files, {_size(facts['bytes'])}"),
        Row("range", f"{first} to {end} UTC"),
        *([] if one.kind in WITHOUT_VOLUME else [Row("volumes", f"in {facts['volume_unit']}")]),
        Row("fingerprint", facts["fingerprint"][:_SHA_SHOWN]),
        Row("gaps", f"{one.gaps:,}" + (", the longest:" if one.gaps > len(gaps) else "")),
        *(Row("", gap, "warn") for gap in gaps),
        *_rows_of("sources", sources, "not recorded"),
        *_rows_of("findings", [finding["text"] for finding in facts["findings"]], "none"),
        Row("policies", _policies_text(facts["policies"])),
        Row("trading rules", _rules_text(facts["trading_rules"])),
    ]
    return Section(str(one.series), tuple(rows))


def _rows_of(label: str, texts: Sequence[str], nothing: str) -> list[Row]:
    """The first few texts under a label, and how many more there are."""
    shown = list(texts[:_SHOWN]) or [nothing]
    if len(texts) > _SHOWN:
        shown.append(f"and {len(texts) - _SHOWN:,} more (--json shows all)")
    return [Row(label if index == 0 else "", text) for index, text in enumerate(shown)]


def _policies_text(policies: dict[str, tuple[str, ...]]) -> str:
    defaults = {rule.value: policy.value for rule, policy in DEFAULT_POLICIES.items()}
    changed = [f"{rule}={'/'.join(used)}" for rule, used in policies.items() if used != (defaults.get(rule),)]
    return ", ".join(changed) + ", otherwise the default" if changed else "the default" if policies else "not recorded"


def _rules_text(rules: Sequence[dict[str, Any]]) -> str:
    if not rules:
        return "not stored; `bt data instruments` stores them"
    last = rules[-1]
    since = f", the last since {iso_text(last['valid_from_ms'])} UTC" if len(rules) > 1 else ""
    return f"tick {last['tick_size']}, lot {last['lot_size']} ({len(rules):,} stored{since})"


def _size(count: int) -> str:
    return f"{count / 1_000_000:,.1f} MB" if count >= 100_000 else f"{count / 1_000:,.1f} kB"


def _tell_notes(catalog: Catalog) -> None:
    for note in catalog.manifest.notes:
        sys.stderr.write(f"bt: note: {note}\n")
