"""Data on its way from a source to the catalog: raw as parsed, then clean."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from backtester.data.findings import Finding
from backtester.data.kinds import VolumeUnit
from backtester.data.series import Series

if TYPE_CHECKING:
    import pyarrow as pa


class Origin(msgspec.Struct, frozen=True):
    """Where data came from: the file or address, and the sha256 of its bytes as received."""

    name: str
    sha256: str


class RawBatch(NamedTuple):
    """Rows of one series as a file has them, in the file's order, in the columns of the kind; values may be null or wrong.

    `extra` holds what only the checks need, by name (`end_ms`: stated close times, `row`: the number of each row in the
    file where they are not 1, 2, 3...). `findings` are those of the parser itself.
    """

    series: Series
    table: pa.Table
    origin: Origin
    volume_unit: VolumeUnit = VolumeUnit.BASE
    extra: pa.Table | None = None
    findings: tuple[Finding, ...] = ()


class Batch(NamedTuple):
    """Rows of one series that may be stored: in the kind's schema and order, no required value empty, keys unique.

    `findings` tell what was found and done; `policies` by which rules.
    """

    series: Series
    table: pa.Table
    origin: Origin
    volume_unit: VolumeUnit
    findings: tuple[Finding, ...]
    policies: dict[str, str]
