"""A download in three calls: files from Binance, their rows cleaned, and these in the catalog.

dl = DownloaderFiles(run_ctx=run_ctx, cfg=cfg)
blobs = dl.download_files("BTCUSDT", "futures", "1m", "2024-01-01", "2024-02-01")
batches, report = ParsingSanitizing(audit=dl._audit).parse_archives(blobs)
report = WritingParquet(cfg=cfg, audit=dl._audit).write_batches(batches, strict=False)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime
from functools import partial
from typing import NamedTuple

from backtester.config.configs import DownloaderConfig, RunContext
from backtester.data.batch import Batch, RawBatch
from backtester.data.catalog import Catalog
from backtester.data.download_audit import DownloadAudit
from backtester.data.download_cache import DownloadCache
from backtester.data.findings import Finding, Policies
from backtester.data.http_client import HttpClient, RequestPace
from backtester.data.parsed_batches import ParsedBatches, ReadAgain
from backtester.data.series import Series, series_of
from backtester.data.sources.binance_archive import ArchivePiece, BinanceArchive, times_ms
from backtester.data.sources.binance_rest import WEIGHT_PER_MINUTE, BinanceRest
from backtester.data.sources.source import DataRequest
from backtester.domain.errors import BacktesterError, ConfigError, DataError, DataQualityError, DataUnavailableError
from backtester.domain.timeframe import iso_text, parse_time_ms

__all__ = ["Blob", "DownloaderFiles", "ParseReport", "ParsingSanitizing", "WriteReport", "WritingParquet"]


class Blob(NamedTuple):
    """What was received of `series` for [start_ms, end_ms), UTC epoch ms: a file in the cache, or rows of the interface."""

    series: Series
    start_ms: int
    end_ms: int
    name: str
    sha256: str
    piece: ArchivePiece | None = None
    rows: RawBatch | None = None

    def raw_batches(self) -> Iterator[RawBatch]:
        """The rows as they were given, in parts of bounded size. Raises DataError - the file is not what its name says."""
        if self.piece is not None:
            yield from self.piece.raw_batches()
        if self.rows is not None:
            yield self.rows

    def __repr__(self) -> str:
        return f"Blob({self.series}, {iso_text(self.start_ms)} to {iso_text(self.end_ms)}, {self.name})"


class ParseReport(NamedTuple):
    """What was read: how many files and rows, the rules that rows broke, and the files that could not be read, in words."""

    files: int
    rows: int
    findings: tuple[Finding, ...]
    failures: tuple[str, ...]

    def __repr__(self) -> str:
        counts = f"files={self.files}, rows={self.rows:,}, findings={len(self.findings)}, failures={len(self.failures)}"
        return f"ParseReport({counts})" + "".join(f"\n  {line}" for line in (*self.findings, *self.failures))


class WriteReport(NamedTuple):
    """What was stored: month files changed, new rows, rows that were there before, findings, and batches refused, in words."""

    files: int
    rows: int
    rows_already_stored: int
    findings: tuple[Finding, ...]
    failures: tuple[str, ...]

    def __repr__(self) -> str:
        counts = f"files={self.files}, rows={self.rows:,}, rows_already_stored={self.rows_already_stored:,}"
        more = f"findings={len(self.findings)}, failures={len(self.failures)}"
        return f"WriteReport({counts}, {more})" + "".join(f"\n  {line}" for line in (*self.findings, *self.failures))


class DownloaderFiles:
    """Downloads from Binance's archive, and from its interface what the archive does not have yet; all kept in the cache."""

    def __init__(self, *, run_ctx: RunContext, cfg: DownloaderConfig, now_ms: Callable[[], int] | None = None) -> None:
        self._cfg = cfg
        self._run_ctx = run_ctx
        self._now_ms = now_ms or _system_ms
        self._audit = DownloadAudit(cfg.log_dir / cfg.download_run_id, run_id=run_ctx.run_id, now_ms=self._now_ms)

    def download_files(
        self, symbol: str, market: str, tf: str | None, start: date | datetime | str, end: date | datetime | str
    ) -> list[Blob]:
        """All of the candles (of options: end-of-hour summaries) in [start, end) has been received when this returns.

        Args:   market - spot, futures (linear), inverse or option. tf - such as 1m; not used for options. start, end - a date, a
                datetime with a zone, or ISO text (no zone means UTC).
        Raises: ConfigError - a name or time that is none. NetworkForbiddenError - allow_net is False and something is not cached;
                nothing was asked then. DataUnavailableError - there is nothing. DownloadError - it could not be had; what was
                received stays in the cache, so that a repetition goes on from there.
        """
        market = {"futures": "linear"}.get(market, market)
        option = market == "option"
        kind, timeframe = ("option_summary", "1h") if option else ("candles", tf)
        series = series_of(exchange="binance", market=market, symbol=symbol, kind=kind, timeframe=timeframe)
        start_ms, end_ms = _instant_ms(start, "start"), _instant_ms(end, "end")
        if start_ms >= end_ms:
            raise ConfigError(f"start {iso_text(start_ms)} is not before end {iso_text(end_ms)}; end is exclusive")
        request = DataRequest(series, start_ms, min(end_ms, self._now_ms()))
        self._audit.tell("requested", series=str(series), start_ms=start_ms, end_ms=end_ms, source=self._cfg.base_url)
        http = self._http()
        try:
            archive = self._archive(http)
            blobs = [_blob_of(piece) for piece in archive.pieces(request)]
            if not option:
                blobs += self._tail(request, blobs)
        except BacktesterError as error:
            self._audit.failed(str(series), error)
            raise
        finally:
            http.close()
        if not blobs:
            raise DataUnavailableError(
                f"nothing of {series} from {iso_text(start_ms)} to {iso_text(end_ms)} at {self._cfg.base_url}; it is listed by the "
                "exchange under another name, or was not traded then"
            )
        return sorted(blobs, key=lambda blob: blob.start_ms)

    def _http(self, pace: RequestPace | None = None) -> HttpClient:
        def waiting(seconds: float, reason: str) -> None:
            self._audit.tell("waiting", seconds=round(seconds, 1), reason=reason)

        return HttpClient(allow_net=self._run_ctx.allow_net, on_wait=waiting, pace=pace, seed=self._run_ctx.seed)

    def _archive(self, http: HttpClient) -> BinanceArchive:
        cache = DownloadCache(self._cfg.base_dir)
        return BinanceArchive(http, cache, now_ms=self._now_ms, base_url=self._cfg.base_url, tell=self._audit.tell)

    def _tail(self, request: DataRequest, blobs: Sequence[Blob]) -> list[Blob]:
        """What the interface has of the stretches that no file covers."""
        found: list[Blob] = []
        stretches = _uncovered(request, blobs)
        if not stretches:
            return found
        http = self._http(RequestPace(WEIGHT_PER_MINUTE[request.series.market]))
        rest = BinanceRest(http, now_ms=self._now_ms, rest_url=self._cfg.rest_url)
        for start_ms, end_ms in stretches:
            self._audit.tell("requested", series=str(request.series), start_ms=start_ms, end_ms=end_ms, source=rest.name)
            try:
                for raw in rest.raw_batches(request._replace(start_ms=start_ms, end_ms=end_ms)):
                    times = times_ms(raw)
                    origin = raw.origin
                    first_ms, last_ms = int(times[0]), int(times[-1]) + raw.series.length_ms
                    self._audit.tell("received", url=origin.name, sha256=origin.sha256, rows=len(times))
                    found.append(Blob(raw.series, first_ms, last_ms, origin.name, origin.sha256, rows=raw))
            except DataUnavailableError as error:
                self._audit.tell("absent", series=str(request.series), start_ms=start_ms, end_ms=end_ms, reason=str(error))
        http.close()
        return found


class ParsingSanitizing:
    """From files to clean rows; what is found wrong is dealt with by `policies` and reported."""

    def __init__(self, *, audit: DownloadAudit, policies: Policies | None = None) -> None:
        self._audit = audit
        self._policies = policies or Policies()

    def parse_archives(self, blobs: Iterable[Blob]) -> tuple[ParsedBatches, ParseReport]:
        """The rows of all files that could be read; a file that could not is told in the report's `failures`.

        Every file is read here once for the report, and once more when the batches are walked over, which are not held.
        """
        files: list[ReadAgain] = []
        findings: list[Finding] = []
        failures: list[str] = []
        seen = all_rows = 0
        for blob in blobs:
            seen += 1
            count = rows = 0
            own: list[Finding] = []
            try:
                for batch in self._clean(blob):
                    count, rows = count + 1, rows + batch.table.num_rows
                    own += batch.findings
            except DataError as error:  # all of a file or nothing of it
                failures.append(self._audit.failed(blob.name, error))
                continue
            self._audit.tell("parsed", name=blob.name, sha256=blob.sha256, rows=rows)
            files.append(ReadAgain(partial(self._clean, blob), count))
            findings += own
            all_rows += rows
        self._audit.unread = tuple(failures)
        return ParsedBatches(files), ParseReport(seen, all_rows, tuple(findings), tuple(failures))

    def _clean(self, blob: Blob) -> Iterator[Batch]:
        from backtester.data.sanitize import sanitize

        return (sanitize(raw, self._policies) for raw in blob.raw_batches())


class WritingParquet:
    """From clean rows to the catalog at `cfg.base_dir`."""

    def __init__(self, *, cfg: DownloaderConfig, audit: DownloadAudit) -> None:
        self._catalog = Catalog(cfg.base_dir)
        self._audit = audit

    def write_batches(self, batches: Iterable[Batch], *, strict: bool = False) -> WriteReport:
        """All batches are stored but those that contradict what is stored, which are told in the report's `failures`.

        Raises: DataQualityError - with `strict`, where anything at all was found wrong, before anything is written; and at the
                first batch that cannot be stored. StorageError - the disk refuses.
        """
        if strict:
            batches = batches if isinstance(batches, Sequence) else list(batches)
            self._require_spotless(batches)
        files = rows = already = 0
        failures: list[str] = []
        findings: list[Finding] = []
        for batch in batches:
            findings += batch.findings
            try:
                stored = self._catalog.store(batch)
            except DataError as error:
                failures.append(self._audit.failed(f"{batch.series} from {batch.origin.name}", error))
                if strict:
                    raise
                continue
            files, rows, already = files + stored.files, rows + stored.rows_written, already + stored.rows_already_stored
            self._audit.tell("stored", series=str(batch.series), rows=stored.rows_written, origin=batch.origin.name)
        return WriteReport(files, rows, already, tuple(findings), tuple(failures))

    def _require_spotless(self, batches: Sequence[Batch]) -> None:
        found = [str(finding) for batch in batches for finding in batch.findings] + [*self._audit.unread]
        if found:
            raise DataQualityError(f"strict: {len(found)} things were found wrong, nothing was written; the first: {found[0]}")


def _blob_of(piece: ArchivePiece) -> Blob:
    return Blob(piece.series, piece.start_ms, piece.end_ms, piece.name, piece.file.sha256, piece=piece)


def _uncovered(request: DataRequest, blobs: Sequence[Blob]) -> list[tuple[int, int]]:
    """The stretches of the request that no blob covers, in order."""
    stretches: list[tuple[int, int]] = []
    reached_ms = request.start_ms
    for blob in sorted(blobs, key=lambda one: one.start_ms):
        if blob.start_ms > reached_ms:
            stretches.append((reached_ms, blob.start_ms))
        reached_ms = max(reached_ms, blob.end_ms)
    if reached_ms < request.end_ms:
        stretches.append((reached_ms, request.end_ms))
    return stretches


def _instant_ms(value: date | datetime | str, what: str) -> int:
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ConfigError(
            f"{what} {value.isoformat()} has no zone; write datetime(..., tzinfo=UTC), a date, or ISO text, which is UTC"
        )
    if not isinstance(value, (date, str)):
        raise ConfigError(f"{what} {value!r} is no date, datetime or ISO text")
    return parse_time_ms(value, what=what)


def _system_ms() -> int:
    return time.time_ns() // 1_000_000  # noqa: TID251 - says which days are over; no stored row depends on it
