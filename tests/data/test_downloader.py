"""The script of three calls, word for word, against an archive on this machine that fails in every way a real one does."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from backtester.config.configs import DownloaderConfig, RunContext
from backtester.data.catalog import Catalog
from backtester.data.downloader import DownloaderFiles, ParsingSanitizing, WritingParquet
from backtester.data.series import series_of
from backtester.domain.errors import (
    ChecksumError,
    ConfigError,
    DataQualityError,
    DataUnavailableError,
    DownloadError,
    NetworkForbiddenError,
)
from tests.support.archive_server import ArchiveServer, Fault, zipped
from tests.support.binance_files import bars, csv_text, kline_answer, kline_path, ms, publish_bars, publish_options

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def server():
    with ArchiveServer() as running:
        yield running


@pytest.fixture
def cfg(server, tmp_path):
    return DownloaderConfig(
        base_dir=tmp_path / "data",
        log_dir=tmp_path / "logs",
        download_run_id="d1",
        base_url=server.url,
        rest_url=server.url,
    )


def context(*, allow_net=True):
    return RunContext(run_id="r1", seed=42, git_sha="HEAD", allow_net=allow_net)


def rows_of(cfg, start, end, **identity):
    series = series_of(exchange="binance", **{"market": "linear", "symbol": "BTCUSDT", "timeframe": "1h", **identity})
    tables = list(Catalog(cfg.base_dir).read_tables(series, ms(start), ms(end)))
    return [row for table in tables for row in table.to_pylist()]


def test_rows_are_read_again_and_not_held(server, cfg):
    for period in ("2024-01", "2024-02"):
        publish_bars(server, "BTCUSDT", period, timeframe="1m")
    dl = DownloaderFiles(run_ctx=context(), cfg=cfg)
    blobs = dl.download_files("BTCUSDT", "futures", "1m", "2024-01-01", "2024-03-01")
    before = pa.total_allocated_bytes()
    batches, report = ParsingSanitizing(audit=dl._audit).parse_archives(blobs)
    assert report.rows == 60 * 1440
    assert pa.total_allocated_bytes() - before < 100_000
    assert sum(batch.table.num_rows for batch in batches) == report.rows
    assert len(batches) == len(list(batches))
    assert batches[-1].table.equals(list(batches)[-1].table)
    assert [batch.origin for batch in batches[1:]] == [batch.origin for batch in batches][1:]
    with pytest.raises(IndexError):
        batches[len(batches)]


@pytest.mark.parametrize(
    ("symbol", "market", "tf", "start", "end", "stored"),
    [
        ("ETHUSDC", "spot", "1m", "2024-01-05", "2024-01-07", {"market": "spot", "symbol": "ETHUSDC", "timeframe": "1m"}),
        ("BTCUSDT", "futures", "1m", "2024-01-05", "2024-01-07", {"market": "linear", "symbol": "BTCUSDT", "timeframe": "1m"}),
        (
            "ETHUSDT",
            "option",
            None,
            "2023-08-01",
            "2023-08-03",
            {"market": "option", "symbol": "ETHUSDT", "timeframe": "1h", "kind": "option_summary"},
        ),
    ],
)
def test_the_script_downloads_parses_and_writes(server, cfg, symbol, market, tf, start, end, stored):
    if market == "option":
        publish_options(server, symbol, "2023-08-01")
        publish_options(server, symbol, "2023-08-02")
    else:
        publish_bars(server, symbol, "2024-01", market=stored["market"], timeframe="1m")
    run_ctx = RunContext(run_id="r1", seed=42, git_sha="HEAD", allow_net=True)
    cfg = DownloaderConfig(
        base_dir=cfg.base_dir, log_dir=cfg.log_dir, download_run_id="d1", base_url=server.url, rest_url=server.url
    )
    dl = DownloaderFiles(run_ctx=run_ctx, cfg=cfg)
    blobs = dl.download_files(symbol, market, tf, start, end)
    batches, report = ParsingSanitizing(audit=dl._audit).parse_archives(blobs)
    expected = 2 * 24 * 2 if market == "option" else 2 * 1440
    assert (report.rows, report.failures) == (expected, ())
    report = WritingParquet(cfg=cfg, audit=dl._audit).write_batches(batches, strict=False)
    assert (report.rows, report.rows_already_stored, report.failures) == (expected, 0, ())
    rows = rows_of(cfg, start, end, **stored)
    assert len(rows) == expected
    if market != "option":
        first = bars(ms(start), ms(end), 60_000)[0]
        assert [rows[0][name] for name in ("start_ms", "open", "high", "low", "close")] == [first[0], *map(float, first[1:5])]
    again = WritingParquet(cfg=cfg, audit=dl._audit).write_batches(batches, strict=False)
    assert (again.rows, again.rows_already_stored) == (0, expected)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2024-01-05", "2024-01-07"),
        (date(2024, 1, 5), date(2024, 1, 7)),
        (datetime(2024, 1, 5, tzinfo=UTC), datetime(2024, 1, 7, tzinfo=UTC)),
        ("2024-01-05T00:00:00+00:00", "2024-01-07T00:00"),
    ],
)
def test_times_may_be_dates_instants_or_text(server, cfg, start, end):
    publish_bars(server, "BTCUSDT", "2024-01")
    dl = DownloaderFiles(run_ctx=context(), cfg=cfg)
    (blob,) = dl.download_files("BTCUSDT", "futures", "1h", start, end)
    assert (blob.start_ms, blob.end_ms) == (ms("2024-01-05"), ms("2024-01-07"))
    assert "BTCUSDT-1h-2024-01.zip" in repr(blob)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("BTCUSDT", "futures", "1h", datetime(2024, 1, 5), "2024-01-07"), "start 2024-01-05T00:00:00 has no zone"),
        (("BTCUSDT", "futures", "1h", "2024-01-07", "2024-01-07"), "end is exclusive"),
        (("BTCUSDT", "futures", "1h", 3, "2024-01-07"), "start 3 is no date"),
        (("BTCUSDT", "futures", "1h", "someday", "2024-01-07"), "start 'someday' is not an ISO date"),
        (("BTCUSDT", "future", "1h", "2024-01-05", "2024-01-07"), "market 'future' is not known"),
        (("BTC/USDT", "futures", "1h", "2024-01-05", "2024-01-07"), "symbol 'BTC/USDT'"),
        (("BTCUSDT", "futures", "1q", "2024-01-05", "2024-01-07"), "timeframe '1q'"),
        (("BTCUSDT", "futures", None, "2024-01-05", "2024-01-07"), "have a timeframe"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_asked(server, cfg, arguments, message):
    with pytest.raises(ConfigError, match=message):
        DownloaderFiles(run_ctx=context(), cfg=cfg).download_files(*arguments)
    assert server.asked == []


def test_without_network_the_call_itself_refuses_unless_all_is_cached(server, cfg):
    publish_bars(server, "BTCUSDT", "2024-01")
    asked = ("BTCUSDT", "futures", "1h", "2024-01-01", "2024-02-01")
    offline = DownloaderFiles(run_ctx=context(allow_net=False), cfg=cfg)
    with pytest.raises(NetworkForbiddenError, match="is not cached"):
        offline.download_files(*asked)
    assert server.asked == []
    online = DownloaderFiles(run_ctx=context(), cfg=cfg).download_files(*asked)
    count = len(server.asked)
    assert [blob.sha256 for blob in offline.download_files(*asked)] == [blob.sha256 for blob in online]
    assert len(server.asked) == count


def test_the_interface_fills_what_no_file_covers(server, cfg):
    for day in ("2024-03-17", "2024-03-18"):
        publish_bars(server, "BTCUSDT", day)
    server.answers["/fapi/v1/klines"] = kline_answer(ms("2024-03-01"), ms("2024-03-20T12:00:00"))
    server.answers["/fapi/v1/time"] = lambda query: {"serverTime": ms("2024-03-20T11:30:00")}
    dl = DownloaderFiles(run_ctx=context(), cfg=cfg, now_ms=lambda: ms("2024-03-20T11:30:00"))
    blobs = dl.download_files("BTCUSDT", "linear", "1h", "2024-03-16", "2024-03-25")
    batches, _ = ParsingSanitizing(audit=dl._audit).parse_archives(blobs)
    WritingParquet(cfg=cfg, audit=dl._audit).write_batches(batches, strict=False)
    times = [row["start_ms"] for row in rows_of(cfg, "2024-03-01", "2024-04-01")]
    assert times == list(range(ms("2024-03-16"), ms("2024-03-20T11:00:00"), 3_600_000))


def test_nothing_at_all_is_an_error(server, cfg):
    server.answers["/fapi/v1/klines"] = lambda query: []
    with pytest.raises(DataUnavailableError, match="nothing of binance linear BTCUSDT candles 1h"):
        DownloaderFiles(run_ctx=context(), cfg=cfg).download_files("BTCUSDT", "futures", "1h", "2024-01-01", "2024-01-03")


def test_the_audit_says_what_was_asked_received_and_verified(server, cfg):
    path = publish_bars(server, "BTCUSDT", "2024-01")
    dl = DownloaderFiles(run_ctx=context(), cfg=cfg)
    blobs = dl.download_files("BTCUSDT", "futures", "1h", "2024-01-01", "2024-02-01")
    batches, _ = ParsingSanitizing(audit=dl._audit).parse_archives(blobs)
    WritingParquet(cfg=cfg, audit=dl._audit).write_batches(batches, strict=False)
    lines = [json.loads(line) for line in (cfg.log_dir / "d1/audit.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["requested", "received", "verified", "parsed", "stored"]
    assert lines[1]["url"] == server.url + path
    assert lines[1]["sha256"] == blobs[0].sha256


# -- what is wrong in the data -------------------------------------------------------------------------------------------------


def spoiled(server, *, close):
    rows = bars(ms("2024-01-01"), ms("2024-02-01"))
    rows[30][4] = close
    server.publish(kline_path("BTCUSDT", "2024-01"), csv_text(rows))


def test_a_file_with_an_impossible_row_is_reported_and_the_others_are_written(server, cfg):
    spoiled(server, close="-5")
    publish_bars(server, "BTCUSDT", "2024-02")
    dl = DownloaderFiles(run_ctx=context(), cfg=cfg)
    blobs = dl.download_files("BTCUSDT", "futures", "1h", "2024-01-01", "2024-03-01")
    batches, report = ParsingSanitizing(audit=dl._audit).parse_archives(blobs)
    assert len(report.failures) == 1
    assert "row 31" in report.failures[0]
    assert "failures=1" in repr(report)
    written = WritingParquet(cfg=cfg, audit=dl._audit).write_batches(batches, strict=False)
    assert written.rows == 29 * 24
    with pytest.raises(DataQualityError, match="strict"):
        WritingParquet(cfg=cfg, audit=dl._audit).write_batches(batches, strict=True)


def test_strict_writes_nothing_where_anything_was_found(server, cfg):
    rows = bars(ms("2024-01-01"), ms("2024-02-01"))
    server.publish(kline_path("BTCUSDT", "2024-01"), csv_text([*rows, rows[-1]]))
    dl = DownloaderFiles(run_ctx=context(), cfg=cfg)
    blobs = dl.download_files("BTCUSDT", "futures", "1h", "2024-01-01", "2024-02-01")
    batches, report = ParsingSanitizing(audit=dl._audit).parse_archives(blobs)
    assert [finding.rule.value for finding in report.findings] == ["duplicate"]
    with pytest.raises(DataQualityError, match="nothing was written; the first: .*duplicate"):
        WritingParquet(cfg=cfg, audit=dl._audit).write_batches(batches, strict=True)
    assert Catalog(cfg.base_dir).is_empty()
    assert WritingParquet(cfg=cfg, audit=dl._audit).write_batches(batches, strict=False).rows == 31 * 24


def test_a_batch_that_contradicts_what_is_stored_is_reported(server, cfg):
    publish_bars(server, "BTCUSDT", "2024-01")
    dl = DownloaderFiles(run_ctx=context(), cfg=cfg)

    def pipeline():
        blobs = dl.download_files("BTCUSDT", "futures", "1h", "2024-01-01", "2024-02-01")
        batches, _ = ParsingSanitizing(audit=dl._audit).parse_archives(blobs)
        return WritingParquet(cfg=cfg, audit=dl._audit).write_batches(batches, strict=False)

    assert pipeline().failures == ()
    before = rows_of(cfg, "2024-01-01", "2024-02-01")
    rows = bars(ms("2024-01-01"), ms("2024-02-01"))
    rows[30][4] = f"{float(rows[30][1]) + 1:.2f}"
    server.publish(kline_path("BTCUSDT", "2024-01"), csv_text(rows))
    (failure,) = pipeline().failures
    assert "2024-01-02 06:00:00" in failure
    assert rows_of(cfg, "2024-01-01", "2024-02-01") == before


# -- faults ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        ("wrong checksum", ChecksumError, "publisher's checksum"),
        ("wrong name", ChecksumError, "of another file"),
        ("truncated for good", DownloadError, "attempts"),
        ("server error for good", DownloadError, "HTTP 500"),
        ("not a zip", DownloadError, "no whole zip archive"),
    ],
)
def test_a_fault_that_stays_ends_in_its_error_and_leaves_no_rows(server, cfg, monkeypatch, spoil, error, message):
    monkeypatch.setattr("backtester.data.http_client._BACKOFF_S_MAX", 0.01)
    path = publish_bars(server, "BTCUSDT", "2024-01")
    if spoil == "wrong checksum":
        server.files[path] = zipped("BTCUSDT-1h-2024-01.csv", csv_text(bars(ms("2024-01-01"), ms("2024-01-02"))).encode())
    elif spoil == "wrong name":
        server.files[f"{path}.CHECKSUM"] = server.files[f"{path}.CHECKSUM"].replace(b"2024-01", b"2024-02")
    elif spoil == "truncated for good":
        server.validators = False
        server.faults[path] = [Fault(keep=100)] * 20
    elif spoil == "server error for good":
        server.faults[path] = [Fault(500)] * 20
    else:
        server.put(path, b"<html>sorry</html>", checksum=False)
        del server.files[f"{path}.CHECKSUM"]
    dl = DownloaderFiles(run_ctx=context(), cfg=cfg)
    with pytest.raises(error, match=message):
        dl.download_files("BTCUSDT", "futures", "1h", "2024-01-01", "2024-02-01")
    assert Catalog(cfg.base_dir).is_empty()
    server.faults.clear()
    publish_bars(server, "BTCUSDT", "2024-01")
    blobs = dl.download_files("BTCUSDT", "futures", "1h", "2024-01-01", "2024-02-01")
    batches, _ = ParsingSanitizing(audit=dl._audit).parse_archives(blobs)
    assert WritingParquet(cfg=cfg, audit=dl._audit).write_batches(batches, strict=True).rows == 31 * 24


# -- kills -----------------------------------------------------------------------------------------------------------------------

SCRIPT = """
import sys
from backtester.config.configs import DownloaderConfig, RunContext
from backtester.data.downloader import DownloaderFiles, ParsingSanitizing, WritingParquet
base, url = sys.argv[1:]
run_ctx = RunContext(run_id="r1", seed=42, git_sha="HEAD", allow_net=True)
cfg = DownloaderConfig(base_dir=base, log_dir=base + "/logs", download_run_id="d1", base_url=url, rest_url=url)
dl = DownloaderFiles(run_ctx=run_ctx, cfg=cfg)
print("begun", flush=True)
for start, end in (("2024-01-01", "2024-02-01"), ("2024-02-01", "2024-03-01")):
    blobs = dl.download_files("BTCUSDT", "futures", "1h", start, end)
    batches, report = ParsingSanitizing(audit=dl._audit).parse_archives(blobs)
    WritingParquet(cfg=cfg, audit=dl._audit).write_batches(batches, strict=True)
"""


def run_script(base, url):
    command = [sys.executable, "-c", SCRIPT, str(base), url]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def content(base):
    return rows_of(DownloaderConfig(base_dir=base, log_dir=base, download_run_id="x"), "2024-01-01", "2024-03-01")


@pytest.mark.parametrize("seed", range(50 if os.environ.get("BT_NIGHTLY") == "1" else 5))
def test_a_kill_at_any_moment_loses_nothing_and_a_rerun_completes(server, tmp_path, seed):
    publish_bars(server, "BTCUSDT", "2024-01", without=("2024-01-09", "2024-01-20"))
    for period in ("2024-01-09", "2024-01-20", "2024-02"):
        publish_bars(server, "BTCUSDT", period)
    server.chunk_bytes, server.chunk_delay_s = 2000, 0.01
    base = tmp_path / "data"
    child = run_script(base, server.url)
    assert child.stdout is not None
    assert child.stdout.readline() == "begun\n"
    threading.Event().wait(random.Random(seed).uniform(0.0, 0.8))
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    stored_at_kill = [] if Catalog(base).is_empty() else content(base)
    server.chunk_delay_s = 0.0
    rerun = run_script(base, server.url)
    rerun.communicate(timeout=60)
    assert rerun.returncode == 0
    rows = content(base)
    assert [row["start_ms"] for row in rows] == list(range(ms("2024-01-01"), ms("2024-03-01"), 3_600_000))
    assert rows[: len(stored_at_kill)] == stored_at_kill
    assert [path for path in base.rglob("*") if path.suffix in {".part", ".new"}] == []
