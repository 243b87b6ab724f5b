"""A run on disk: one directory, one manifest replaced atomically, files that appear whole."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TextIO

import msgspec

from backtester.audit.journal import JOURNAL_NAME
from backtester.domain.conversion import Currency, Rate
from backtester.domain.errors import StorageError
from backtester.domain.money import PRICE_ONE, e8_from_decimal

MANIFEST_NAME = "manifest.json"
CONFIG_NAME = "config.toml"
METRICS_NAME = "metrics.json"
LOG_NAME = "run.log"
CHANGES_NAME = "changes.patch"
CHECK_NAME = "check.json"
REPORT_NAME = "report.html"
CHARTS_NAME = "charts"
DERIVED_NAMES = frozenset((REPORT_NAME, CHARTS_NAME, CHECK_NAME))
"""What is made from a run later and stands beside its files; no part of it."""
FORMAT_VERSION = 2
_OWN_HASH = re.compile(rb'"manifest_sha256": "([0-9a-f]*)"')

RunStatus = Literal["running", "complete", "failed", "interrupted"]


class Timings(msgspec.Struct, kw_only=True):
    """Wall time spent, in seconds; no result."""

    load_s: float = 0.0
    run_s: float = 0.0
    report_s: float = 0.0


class Counts(msgspec.Struct, kw_only=True):
    """How many of each; refusals are those of Risk and of the venue.

    `gaps` are stretches of missing candles, `outages` stretches of flat ones without volume, `filled` candles that were put in.
    """

    candles: int = 0
    events: int = 0
    orders: int = 0
    fills: int = 0
    refusals: int = 0
    gaps: int = 0
    outages: int = 0
    filled: int = 0


class StrategyRecord(msgspec.Struct, kw_only=True):
    """One strategy of the run, as configured."""

    name: str
    strategy_id: str = ""
    params: dict[str, Any] = {}
    source_path: str = ""
    source_sha256: str = ""
    imported: dict[str, str] = {}
    """sha256 of the files that a strategy file imported from its own directory."""


class Assumption(msgspec.Struct, kw_only=True, frozen=True):
    """Something that a reader of the result must know: `setting` is what changes it, as `--set` takes it, or empty."""

    what: str
    rule: str
    setting: str = ""


class AssetRecord(msgspec.Struct, kw_only=True):
    """A settlement asset of a run with a reporting currency: the symbols that settle in it, and the one whose price it is told at.

    No `symbol`: one for one. `divides`: amounts are divided by the price, which is that of the currency in the asset.
    """

    symbol: str = ""
    divides: bool = False
    settles: list[str] = []


class CurrencyRecord(msgspec.Struct, kw_only=True):
    """How the assets of a run are told in its reporting currency (the manifest's `quote`), and what it began with in that."""

    assets: dict[str, AssetRecord]
    start_equity: str


class Manifest(msgspec.Struct, kw_only=True):
    """What ran, on what, and how it ended. `end_reason` is `end_of_data`, `bankrupt`, or what stopped the run.

    Paths and times of day stand here only; every other file but `config.toml` and `run.log` is a function of configuration,
    data and seed. `error` is the message that ended a failed run. `handed_over` names what was given in Python and is not stored,
    without which the run cannot be executed again. `ambiguous_bars` are those whose order of events decided an outcome;
    `resolved_by_candles` and `resolved_by_trades` count those of them in which finer data told it, and `ambiguous_quote` is what
    hung on the others: the distance between the outcomes times the size, summed up. `finer_fingerprint` is over that finer data.
    `quoted_fills` counts taker fills by what their spread went by (a fresh quote, a stale one, none), where it goes by quotes.
    `quote` is the asset that the run's money is in, `bases` has the base asset of each spot symbol, `contracts` how much of its
    quote currency each inverse contract stands for. `coins_at_start` is what the coins that it began with were worth in quote.
    `currency` stands where it settles in several assets.
    """

    run_id: str
    status: RunStatus = "running"
    end_reason: str = ""
    error: str = ""
    digest: str = ""
    ledger_hash: str = ""
    seed: int = 0
    strategy: str = ""
    strategies: list[StrategyRecord] = []
    symbols: list[str] = []
    exchange: str = ""
    market: str = ""
    quote: str = ""
    bases: dict[str, str] = {}
    contracts: dict[str, str] = {}
    coins_at_start: str = "0"
    currency: CurrencyRecord | None = None
    start: str = ""
    end: str = ""
    timeframe: str = ""
    execution_timeframe: str = ""
    data_source: str = ""
    data_fingerprint: str = ""
    data_path: str = ""
    strategy_sha256: str = ""
    config_sha256: str = ""
    assumptions: list[Assumption] = []
    handed_over: list[str] = []
    git_sha: str | None = None
    git_dirty: bool | None = None
    versions: dict[str, str] = {}
    created: str = ""
    timings: Timings = msgspec.field(default_factory=Timings)
    counts: Counts = msgspec.field(default_factory=Counts)
    ambiguous_bars: int = 0
    ambiguous_quote: str = "0"
    resolved_by_candles: int = 0
    resolved_by_trades: int = 0
    finer_fingerprint: str = ""
    quoted_fills: dict[str, int] = {}
    quotes_fingerprint: str = ""
    files: dict[str, str] = {}
    manifest_sha256: str = ""
    """That of the manifest's own text with this left empty; empty while the run runs."""
    format_version: int = FORMAT_VERSION


def currency_of(manifest: Manifest) -> Currency | None:
    """The reporting currency of a run that settles in several assets."""
    record = manifest.currency
    if record is None:
        return None
    rates = {asset: Rate(one.symbol, one.divides) for asset, one in record.assets.items()}
    settles = {symbol: asset for asset, one in record.assets.items() for symbol in one.settles}
    return Currency(manifest.quote, rates, settles)


def faces_of(contracts: Mapping[str, str]) -> dict[str, int]:
    """By symbol the `face` of inverse contracts (`domain.contract_value`), from what a manifest says of them."""
    return {symbol: e8_from_decimal(Decimal(size)) * PRICE_ONE for symbol, size in contracts.items()}


class RunDir:
    """One run's directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def journal_path(self) -> Path:
        """Where the journal grows."""
        return self.path / JOURNAL_NAME

    @contextmanager
    def whole_file(self, name: str) -> Iterator[TextIO]:
        """A text file that appears as `name`, complete and flushed to disk, when the block ends; not at all when it raises.

        Raises StorageError when the disk takes no more.
        """
        try:
            with _appearing(self.path / name) as file:
                yield file
        except OSError as error:
            raise StorageError(
                f"cannot write {self.path / name}: {error.strerror}; make room or choose another --output"
            ) from error

    def write_text(self, name: str, text: str) -> None:
        """The file `name` holds `text`, or is not there. Raises StorageError when the disk takes no more."""
        with self.whole_file(name) as file:
            file.write(text)

    def write_bytes(self, name: str, data: bytes) -> None:
        """The file `name` holds `data`, or is not there. Raises StorageError when the disk takes no more."""
        with self.whole_file(name) as file:
            file.buffer.write(data)

    def write_manifest(self, manifest: Manifest) -> None:
        """The manifest on disk is `manifest` with the sha256 of every other file; a run that still runs lists none."""
        is_over = manifest.status != "running"
        if is_over:
            manifest.files = self.file_hashes()
        manifest.manifest_sha256 = ""
        text = msgspec.json.format(msgspec.json.encode(manifest), indent=2).decode() + "\n"
        if is_over:
            manifest.manifest_sha256 = sha256(text.encode()).hexdigest()
            text = text.replace('"manifest_sha256": ""', f'"manifest_sha256": "{manifest.manifest_sha256}"')
        self.write_text(MANIFEST_NAME, text)

    def file_hashes(self) -> dict[str, str]:
        """sha256 of every file of the run but the manifest, by name in order."""
        try:
            paths = sorted(path for path in self.path.iterdir() if path.is_file() and path.name != MANIFEST_NAME)
            return {
                path.name: _file_sha256(path) for path in paths if not path.name.startswith(".") and path.name not in DERIVED_NAMES
            }
        except OSError as error:
            raise StorageError(f"cannot read back {self.path}: {error.strerror}") from error

    def read_manifest(self) -> Manifest:
        """The manifest as last written. Raises StorageError when there is none or it is not one."""
        path = self.path / MANIFEST_NAME
        try:
            return msgspec.json.decode(path.read_bytes(), type=Manifest)
        except OSError as error:
            raise StorageError(f"{self.path} is no run: cannot read {MANIFEST_NAME} ({error.strerror})") from error
        except (msgspec.DecodeError, ValueError) as error:
            raise StorageError(f"{path} is not a manifest: {error}") from error

    def changed_files(self) -> list[str]:
        """One sentence for each file that is not as the manifest recorded it, the manifest included; empty when all are."""
        recorded = self.read_manifest().files
        present = self.file_hashes()
        lines = [] if self._is_manifest_whole() else [f"{MANIFEST_NAME} was changed after the run"]
        lines += [f"{name} is missing" for name in recorded if name not in present]
        lines += [f"{name} was changed after the run" for name in recorded if present.get(name, recorded[name]) != recorded[name]]
        known = {*recorded, MANIFEST_NAME, *DERIVED_NAMES}
        return lines + [f"{path.name} was added after the run" for path in sorted(self.path.iterdir()) if path.name not in known]

    def _is_manifest_whole(self) -> bool:
        """Whether the manifest's text is the one that its own hash was made of."""
        text = (self.path / MANIFEST_NAME).read_bytes()
        found = _OWN_HASH.search(text)
        if found is None:
            return False
        blank = text[: found.start(1)] + text[found.end(1) :]
        return sha256(blank).hexdigest().encode() == found.group(1)


def create(output: Path, run_id: str) -> RunDir:
    """A new, empty run directory `output/run_id`.

    Raises StorageError when the run id exists, is no plain directory name, or the place cannot be written.
    """
    if not run_id or run_id in {".", ".."} or run_id.startswith(".") or not run_id.isprintable() or Path(run_id).name != run_id:
        raise StorageError(f"run id {run_id!r} is no directory name; use letters, digits, - and _")
    path = output / run_id
    try:
        output.mkdir(parents=True, exist_ok=True)
        path.mkdir()
    except FileExistsError:
        if output.is_dir():
            raise StorageError(f"run id {run_id!r} exists in {output}; choose another --run-id or leave it out") from None
        raise StorageError(f"cannot write runs to {output}: it is not a directory; choose another --output") from None
    except OSError as error:
        raise StorageError(f"cannot write runs to {output}: {error.strerror}; choose another --output") from error
    return RunDir(path)


def default_run_id(strategy: str) -> str:
    """A new run id: time, strategy and a few random letters. The wall clock is allowed here: no result contains it."""
    name = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in strategy)[:24].strip("_") or "run"
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{name}-{secrets.token_hex(3)}"


@contextmanager
def _appearing(path: Path) -> Iterator[TextIO]:
    """A temporary file beside `path` that replaces it, flushed to disk, when the block ends without an error."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n", buffering=1 << 18) as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _file_sha256(path: Path) -> str:
    state = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()
