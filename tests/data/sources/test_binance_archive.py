"""What is received from the archive is what was published, from whichever files it takes."""

from __future__ import annotations

import pytest

from backtester.data.download_cache import DownloadCache
from backtester.data.http_client import HttpClient
from backtester.data.parsing.binance_layouts import ARCHIVE_KINDS
from backtester.data.series import series_of
from backtester.data.sources.archive_files import KINDS, Month, archive_kind, file_name, months_over
from backtester.data.sources.binance_archive import BinanceArchive, times_ms
from backtester.data.sources.listing import S3Listing
from backtester.data.sources.source import DataRequest
from backtester.domain.errors import ChecksumError, DataUnavailableError, DownloadError, NetworkForbiddenError
from tests.support.archive_server import ArchiveServer, Fault, zipped
from tests.support.binance_files import DAY_MS, bars, csv_text, kline_path, ms, publish_bars, publish_options

NOW_MS = ms("2024-03-20T12:00:00")
HOUR_MS = 3_600_000


@pytest.fixture
def server():
    with ArchiveServer() as running:
        yield running


@pytest.fixture
def told():
    return []


@pytest.fixture
def archive(server, tmp_path, told):
    clients = []

    def make(**settings):
        http = HttpClient(allow_net=settings.pop("allow_net", True), retries=2, wait=lambda seconds: None, timeout_s=2)
        clients.append(http)
        return BinanceArchive(
            http,
            DownloadCache(tmp_path),
            now_ms=lambda: NOW_MS,
            base_url=server.url,
            tell=lambda event, **about: told.append((event, about)),
            **settings,
        )

    yield make
    for http in clients:
        http.close()


def request(start, end, **identity):
    names = {"exchange": "binance", "market": "linear", "symbol": "ETHUSDT", "timeframe": "1h", **identity}
    return DataRequest(series_of(**names), ms(start), ms(end))


def starts(archive, asked):
    """The times of all rows that the pieces hold, in the order in which they come."""
    return [time for piece in archive.pieces(asked) for raw in piece.raw_batches() for time in times_ms(raw).tolist()]


def hours(start, end):
    return list(range(ms(start), ms(end), HOUR_MS))


def test_whole_months_come_in_one_file_each(server, archive):
    publish_bars(server, "ETHUSDT", "2024-01")
    publish_bars(server, "ETHUSDT", "2024-02")
    assert starts(archive(), request("2024-01-01", "2024-03-01")) == hours("2024-01-01", "2024-03-01")
    assert sorted(path.rsplit("/", 1)[1] for path in server.paths()) == [
        "ETHUSDT-1h-2024-01.zip",
        "ETHUSDT-1h-2024-01.zip.CHECKSUM",
        "ETHUSDT-1h-2024-02.zip",
        "ETHUSDT-1h-2024-02.zip.CHECKSUM",
    ]


def test_only_rows_that_were_asked_for_are_taken(server, archive):
    publish_bars(server, "ETHUSDT", "2024-01")
    assert starts(archive(), request("2024-01-05T06:00:00", "2024-01-07T02:00:00")) == hours(
        "2024-01-05T06:00:00", "2024-01-07T02:00:00"
    )


def test_the_month_that_is_not_over_comes_in_files_of_days(server, archive):
    for day in ("2024-03-18", "2024-03-19"):
        publish_bars(server, "ETHUSDT", day)
    assert starts(archive(), request("2024-03-18", "2024-03-21")) == hours("2024-03-18", "2024-03-20")
    assert not any("2024-03.zip" in path or "2024-03-20" in path for path in server.paths())


def test_a_month_without_a_file_comes_in_files_of_days(server, archive):
    for day in range(1, 30):
        publish_bars(server, "ETHUSDT", f"2024-02-{day:02d}")
    assert starts(archive(), request("2024-02-01", "2024-03-01")) == hours("2024-02-01", "2024-03-01")


def test_days_that_a_month_lacks_are_taken_from_their_own_files(server, archive):
    publish_bars(server, "ETHUSDT", "2024-01", without=("2024-01-07", "2024-01-08", "2024-01-20"))
    for day in ("2024-01-07", "2024-01-08"):
        publish_bars(server, "ETHUSDT", day)
    expected = [time for time in hours("2024-01-01", "2024-02-01") if not ms("2024-01-20") <= time < ms("2024-01-21")]
    assert starts(archive(), request("2024-01-01", "2024-02-01")) == expected


def test_a_day_that_a_month_holds_in_part_is_taken_from_the_file_with_more(server, archive):
    rows = [row for row in bars(ms("2024-01-01"), ms("2024-02-01")) if row[0] not in {ms("2024-01-07T05:00:00"), ms("2024-01-09")}]
    rows[30][5] = "99.000"
    server.publish(kline_path("ETHUSDT", "2024-01"), csv_text(rows))
    publish_bars(server, "ETHUSDT", "2024-01-07")
    server.publish(kline_path("ETHUSDT", "2024-01-09"), csv_text(bars(ms("2024-01-09"), ms("2024-01-09T03:00:00"))))
    got = starts(archive(), request("2024-01-01", "2024-02-01"))
    assert got == [time for time in hours("2024-01-01", "2024-02-01") if time != ms("2024-01-09")]


def test_days_without_any_file_are_absent_and_said_to_be(server, archive, told):
    for day in ("2023-09-24", "2023-09-26"):
        publish_options(server, "ETHUSDT", day)
    asked = request("2023-09-24", "2023-09-27", market="option", kind="option_summary")
    days = sorted({time - time % DAY_MS for time in starts(archive(), asked)})
    assert days == [ms("2023-09-24"), ms("2023-09-26")]
    (absent,) = [about for event, about in told if event == "absent"]
    assert (absent["start_ms"], absent["end_ms"]) == (ms("2023-09-25"), ms("2023-09-26"))


def test_ticks_of_some_days_come_in_files_of_days_and_from_the_month_where_there_are_none(server, archive):
    line = "{},2000.5,1.5,{},{},{},true\n"
    for day in ("2024-01-05", "2024-01-06"):
        number = ms(day) // DAY_MS
        text = line.format(number, number, number, ms(day) + 5)
        server.publish(f"/data/futures/um/daily/aggTrades/ETHUSDT/ETHUSDT-aggTrades-{day}.zip", text)
    asked = request("2024-01-05", "2024-01-07", kind="agg_trades", timeframe=None)
    assert starts(archive(), asked) == [ms("2024-01-05") + 5, ms("2024-01-06") + 5]
    assert not any("monthly" in path for path in server.paths())
    text = "".join(line.format(day, day, day, ms("2024-02-01") + day * DAY_MS + 7) for day in range(29))
    server.publish("/data/futures/um/monthly/aggTrades/ETHUSDT/ETHUSDT-aggTrades-2024-02.zip", text)
    asked = request("2024-02-05", "2024-02-07", kind="agg_trades", timeframe=None)
    assert starts(archive(), asked) == [ms("2024-02-05") + 7, ms("2024-02-06") + 7]


def test_funding_has_files_of_months_only(server, archive):
    text = (
        "calc_time,funding_interval_hours,last_funding_rate\n"
        f"{ms('2024-01-01') + 3},8,0.0001\n{ms('2024-01-01T08:00:00')},8,-0.0002\n"
    )
    server.publish("/data/futures/um/monthly/fundingRate/ETHUSDT/ETHUSDT-fundingRate-2024-01.zip", text)
    asked = request("2024-01-01", "2024-01-02", kind="funding", timeframe=None)
    assert starts(archive(), asked) == [ms("2024-01-01") + 3, ms("2024-01-01T08:00:00")]
    assert not any("daily" in path for path in server.paths())


def test_the_index_of_a_coin_margined_contract_lies_under_its_pair():
    series = series_of(exchange="binance", market="inverse", symbol="BTCUSD_PERP", kind="index", timeframe="1h")
    name = file_name(series, archive_kind(series), ms("2024-01-01"), monthly=True)
    assert name == "data/futures/cm/monthly/indexPriceKlines/BTCUSD/1h/BTCUSD-1h-2024-01.zip"
    name = file_name(
        series._replace(kind="candles"), archive_kind(series._replace(kind="candles")), ms("2024-01-05"), monthly=False
    )
    assert name == "data/futures/cm/daily/klines/BTCUSD_PERP/1h/BTCUSD_PERP-1h-2024-01-05.zip"


def test_every_kind_is_looked_for_where_the_parser_finds_it():
    assert {name: kind.folder for name, kind in KINDS.items()} == {kind.kind: folder for folder, kind in ARCHIVE_KINDS.items()}


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        ({"market": "spot", "kind": "funding", "timeframe": None}, "no funding of the spot market; it has candles, agg_trades"),
        ({"timeframe": "10m"}, "no candles of 10m; it has 1s, 1m"),
        ({"market": "option"}, "no candles of the option market; it has option_summary, volatility_index"),
        ({"network": "testnet"}, "live network only"),
    ],
)
def test_what_the_archive_cannot_have_is_not_asked_for(server, archive, identity, message):
    with pytest.raises(DataUnavailableError, match=message):
        list(archive().fetch(request("2024-01-01", "2024-01-02", **identity)))
    assert server.asked == []


def test_nothing_at_all_is_an_error_that_names_what_was_asked(archive):
    with pytest.raises(DataUnavailableError, match="nothing of binance linear ETHUSDT candles 1h from 2024-03-01"):
        list(archive().fetch(request("2024-03-01", "2024-03-03")))


# -- trust ---------------------------------------------------------------------------------------------------------------


def test_other_bytes_than_the_checksum_says_are_refused(server, archive):
    path = publish_bars(server, "ETHUSDT", "2024-01")
    server.files[path] = zipped("ETHUSDT-1h-2024-01.csv", b"1,2,3\n")
    with pytest.raises(ChecksumError, match="publisher's checksum"):
        list(archive().pieces(request("2024-01-01", "2024-02-01")))


@pytest.mark.parametrize("text", ["no checksum", "0" * 64, "{digest}  ETHUSDT-1h-2024-02.zip\n", "<html>"])
def test_a_checksum_file_of_something_else_is_refused(server, archive, text):
    path = publish_bars(server, "ETHUSDT", "2024-01")
    digest = server.files[f"{path}.CHECKSUM"][:64].decode()
    server.files[f"{path}.CHECKSUM"] = text.format(digest=digest).encode()
    with pytest.raises(ChecksumError, match="CHECKSUM is"):
        list(archive().pieces(request("2024-01-01", "2024-02-01")))


def test_a_mirror_may_have_no_checksums_which_is_told(server, archive, told):
    publish_bars(server, "ETHUSDT", "2024-01", checksum=False)
    assert len(starts(archive(), request("2024-01-01", "2024-02-01"))) == 31 * 24
    assert [event for event, _ in told] == ["received", "unverified"]


def test_a_mirror_may_have_neither_checksums_nor_days(server, archive):
    publish_bars(server, "ETHUSDT", "2024-01", checksum=False, without=("2024-01-31",))
    assert len(starts(archive(), request("2024-01-01", "2024-02-01"))) == 30 * 24


def test_a_part_of_a_file_without_a_checksum_is_not_taken_for_the_file(server, archive, tmp_path):
    path = publish_bars(server, "ETHUSDT", "2024-01", checksum=False)
    whole = server.files[path]
    server.files[path] = whole[: len(whole) // 2]
    with pytest.raises(DownloadError, match="no whole zip archive"):
        list(archive().pieces(request("2024-01-01", "2024-02-01")))
    server.files[path] = whole
    assert len(starts(archive(), request("2024-01-01", "2024-02-01"))) == 31 * 24


def test_the_archive_itself_has_a_checksum_for_every_file(server, archive, monkeypatch):
    publish_bars(server, "ETHUSDT", "2024-01", checksum=False)
    monkeypatch.setattr("backtester.data.sources.binance_archive.ARCHIVE_URL", server.url)
    with pytest.raises(ChecksumError, match="has no checksum"):
        list(archive(listing_url=f"{server.url}/").pieces(request("2024-01-01", "2024-02-01")))


def test_a_replaced_file_is_received_again(server, archive):
    publish_bars(server, "ETHUSDT", "2024-01", without=("2024-01-07",))
    assert len(starts(archive(), request("2024-01-01", "2024-02-01"))) == 30 * 24
    path = publish_bars(server, "ETHUSDT", "2024-01")
    assert len(starts(archive(), request("2024-01-01", "2024-02-01"))) == 31 * 24
    assert len(starts(archive(), request("2024-01-01", "2024-02-01"))) == 31 * 24
    assert server.paths().count(path) == 2


def test_failures_that_pass_do_not_show_in_what_is_received(server, archive):
    path = publish_bars(server, "ETHUSDT", "2024-01")
    server.faults[path] = [Fault(503), Fault(keep=500)]
    server.faults[f"{path}.CHECKSUM"] = [Fault(429, {"Retry-After": "1"}), Fault(keep=10)]
    assert starts(archive(), request("2024-01-01", "2024-02-01")) == hours("2024-01-01", "2024-02-01")


# -- without network ---------------------------------------------------------------------------------------------------------


def test_what_was_received_once_needs_no_network(server, archive):
    publish_bars(server, "ETHUSDT", "2024-01", without=("2024-01-20", "2024-01-21"))
    publish_bars(server, "ETHUSDT", "2024-01-21")
    for day in range(1, 30):
        publish_bars(server, "ETHUSDT", f"2024-02-{day:02d}")
    asked = request("2024-01-01", "2024-03-01")
    first = starts(archive(), asked)
    count = len(server.asked)
    assert starts(archive(allow_net=False), asked) == first
    assert len(server.asked) == count


def test_what_is_not_cached_is_named_before_anything_is_asked(server, archive):
    with pytest.raises(NetworkForbiddenError, match="ETHUSDT-1h-2024-01-01.zip is not cached"):
        list(archive(allow_net=False).pieces(request("2024-01-01", "2024-02-01")))
    assert server.asked == []


# -- listing -------------------------------------------------------------------------------------------------------------


def test_a_listing_saves_asking_for_days_that_are_not_there(server, archive):
    server.lists_files = True
    for day in ("2023-09-05", "2023-09-19", "2023-09-20"):
        publish_options(server, "ETHUSDT", day)
    asked = request("2023-09-01", "2023-10-01", market="option", kind="option_summary")
    days = {time - time % DAY_MS for time in starts(archive(listing_url=f"{server.url}/"), asked)}
    assert days == {ms("2023-09-05"), ms("2023-09-19"), ms("2023-09-20")}
    assert sum(path.endswith(".zip") for path in server.paths()) == 3


@pytest.mark.parametrize("body", [b"", b"<html>", b"<Error/>", b"<!DOCTYPE x><ListBucketResult/>"])
def test_what_is_no_listing_says_nothing(server, body):
    server.files["/list"] = body
    http = HttpClient(allow_net=True, retries=0)
    assert S3Listing(http, f"{server.url}/list").names("data/") is None
    http.close()


# -- the calendar --------------------------------------------------------------------------------------------------------------


def test_only_days_that_are_over_are_asked_for_by_month():
    months = months_over(ms("2023-12-31T05:00:00"), ms("2024-02-03T01:00:00"), ms("2024-02-02T00:00:00"))
    assert [len(month.days) for month in months] == [1, 31, 1]
    assert [month.whole for month in months] == [False, True, False]
    assert months[1] == Month(ms("2024-01-01"), ms("2024-02-01"), tuple(range(ms("2024-01-01"), ms("2024-02-01"), DAY_MS)))
    assert months_over(ms("2024-01-01"), ms("2024-01-02"), ms("2024-01-01T23:00:00")) == []
