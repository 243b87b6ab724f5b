from __future__ import annotations

import gzip
import io
import json
import zipfile

import pyarrow as pa
import pytest

from backtester.data.download_cache import DownloadCache
from backtester.data.http_client import HttpClient
from backtester.data.kinds import VolumeUnit
from backtester.data.series import series_of
from backtester.data.sources.bybit_archive import BybitArchive
from backtester.data.sources.source import DataRequest
from backtester.domain.errors import ConfigError, DataUnavailableError, DownloadError, NetworkForbiddenError
from backtester.domain.timeframe import DAY_MS, HOUR_MS, parse_time_ms
from tests.support.loopback import Asked, Reply, serving

DAY = parse_time_ms("2024-01-02")
HEADER = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional"


def trades_file(symbol: str, day_ms: int, count: int = 4) -> bytes:
    lines = [
        f"{(day_ms + hour * 6 * HOUR_MS) / 1000:.1f},{symbol},{('Buy', 'Sell')[hour % 2]},{hour + 1},{100 + hour}.5,PlusTick,id-{day_ms}-{hour},1,1,1"
        for hour in range(count)
    ]
    return gzip.compress("\n".join([HEADER, *reversed(lines)]).encode())


def spot_file(*times_ms: int) -> bytes:
    lines = [f"{index},{time_ms},{100 + index},0.5,buy" for index, time_ms in enumerate(times_ms, start=1)]
    return gzip.compress("\n".join(["id,timestamp,price,volume,side", *lines]).encode())


def book_file(symbol: str, day_ms: int, depth: int) -> bytes:
    snapshot = {
        "topic": f"orderbook.{depth}.{symbol}",
        "type": "snapshot",
        "ts": day_ms + 5,
        "data": {"s": symbol, "b": [["99", "2"]], "a": [["100", "1"]], "u": 10, "seq": 1},
        "cts": day_ms + 1,
    }
    delta = {
        **snapshot,
        "type": "delta",
        "ts": day_ms + 105,
        "data": {"s": symbol, "b": [["99", "0"]], "a": [], "u": 11, "seq": 2},
        "cts": day_ms + 101,
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"2024-01-02_{symbol}_ob{depth}.data", "\n".join(json.dumps(line) for line in (snapshot, delta)))
    return packed.getvalue()


class Archive:
    """Files by path; everything else does not exist."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def answer(self, asked: Asked) -> Reply:
        body = self.files.get(asked.path)
        return Reply(b"no such file", status=404) if body is None else Reply(body, headers={"ETag": f'"{len(body)}"'})


@pytest.fixture
def archive() -> Archive:
    return Archive()


@pytest.fixture
def served(archive):
    with serving(archive.answer) as server:
        yield server


@pytest.fixture
def source():
    """Sources whose connections are closed after the test."""
    clients: list[HttpClient] = []

    def make(served, tmp_path, *, allow_net: bool = True) -> BybitArchive:
        clients.append(HttpClient(allow_net=allow_net, wait=lambda seconds: None, retries=1))
        return BybitArchive(clients[-1], DownloadCache(tmp_path), served.url)

    yield make
    for client in clients:
        client.close()


def series(kind: str = "trades", market: str = "linear", symbol: str = "BTCUSDT", exchange: str = "bybit", network: str = "live"):
    return series_of(exchange=exchange, market=market, symbol=symbol, kind=kind, timeframe=None, network=network)


def rows(batches) -> pa.Table:
    return pa.concat_tables(batch.table for batch in batches)


def test_days_are_read_in_order_and_cut_to_the_range(archive, served, source, tmp_path) -> None:
    for day in range(3):
        date = f"2024-01-0{day + 2}"
        archive.files[f"/trading/BTCUSDT/BTCUSDT{date}.csv.gz"] = trades_file("BTCUSDT", DAY + day * DAY_MS)
    table = rows(source(served, tmp_path).fetch(DataRequest(series(), DAY + 6 * HOUR_MS, DAY + 2 * DAY_MS + 7 * HOUR_MS)))
    hours = [(time - DAY * 1000) // (HOUR_MS * 1000) for time in table["time_us"].to_pylist()]
    assert hours == [6, 12, 18, 24, 30, 36, 42, 48, 54]
    assert table["is_buyer_maker"].to_pylist()[:2] == [True, False]
    assert table["price"].to_pylist()[:2] == [101.5, 102.5]


def test_a_day_without_a_file_is_left_out(archive, served, source, tmp_path) -> None:
    archive.files["/trading/BTCUSD/BTCUSD2024-01-03.csv.gz"] = trades_file("BTCUSD", DAY + DAY_MS)
    (batch,) = source(served, tmp_path).fetch(DataRequest(series(market="inverse", symbol="BTCUSD"), DAY, DAY + 3 * DAY_MS))
    assert batch.table.num_rows == 4
    assert batch.volume_unit is VolumeUnit.QUOTE


def test_spot_days_are_patched_from_the_file_of_their_month(archive, served, source, tmp_path) -> None:
    archive.files["/spot/BTCUSDT/BTCUSDT-2024-01.csv.gz"] = spot_file(*range(DAY, DAY + 3 * DAY_MS, 12 * HOUR_MS))
    archive.files["/spot/BTCUSDT/BTCUSDT_2024-01-03.csv.gz"] = spot_file(DAY + DAY_MS + 1)
    table = rows(source(served, tmp_path).fetch(DataRequest(series(market="spot"), DAY, DAY + 3 * DAY_MS)))
    hours = [(time - DAY * 1000) / (HOUR_MS * 1000) for time in table["time_us"].to_pylist()]
    assert [round(hour) for hour in hours] == [0, 12, 24, 48, 60]
    assert served.paths().count("/spot/BTCUSDT/BTCUSDT-2024-01.csv.gz") == 1


@pytest.mark.parametrize(("date", "depth", "first"), [("2024-01-02", 500, 500), ("2025-08-21", 200, 200), ("2024-01-02", 200, 500)])
def test_books_are_found_whatever_their_depth(date, depth, first, archive, served, source, tmp_path) -> None:
    day = parse_time_ms(date)
    archive.files[f"/orderbook/linear/BTCUSDT/{date}_BTCUSDT_ob{depth}.data.zip"] = book_file("BTCUSDT", day, depth)
    table = rows(source(served, tmp_path).fetch(DataRequest(series("book"), day + HOUR_MS, day + 2 * HOUR_MS)))
    assert table["is_snapshot"].to_pylist() == [True, True, False]
    assert table["qty"].to_pylist() == [2.0, 1.0, 0.0]
    assert f"_ob{first}." in served.paths()[0]


def test_what_is_cached_is_not_fetched_again_and_needs_no_network(archive, served, source, tmp_path) -> None:
    archive.files["/trading/BTCUSDT/BTCUSDT2024-01-02.csv.gz"] = trades_file("BTCUSDT", DAY)
    request = DataRequest(series(), DAY, DAY + DAY_MS)
    first = rows(source(served, tmp_path).fetch(request))
    asked = len(served.asked)
    assert rows(source(served, tmp_path, allow_net=False).fetch(request)).equals(first)
    assert len(served.asked) == asked
    with pytest.raises(NetworkForbiddenError, match=r"BTCUSDT2024-01-03\.csv\.gz is not cached"):
        rows(source(served, tmp_path, allow_net=False).fetch(DataRequest(series(), DAY + DAY_MS, DAY + 2 * DAY_MS)))


@pytest.mark.parametrize("kind", ["trades", "book"])
def test_a_file_that_broke_off_is_never_taken_for_whole(kind, archive, served, source, tmp_path) -> None:
    """The server announces the short length, so that nothing but the content tells."""
    whole = trades_file("BTCUSDT", DAY, 4) if kind == "trades" else book_file("BTCUSDT", DAY, 500)
    path = (
        "/trading/BTCUSDT/BTCUSDT2024-01-02.csv.gz"
        if kind == "trades"
        else "/orderbook/linear/BTCUSDT/2024-01-02_BTCUSDT_ob500.data.zip"
    )
    archive.files[path] = whole[:-20]
    request = DataRequest(series(kind), DAY, DAY + DAY_MS)
    with pytest.raises(DownloadError, match=r"is not whole \(.*nothing of it was used"):
        rows(source(served, tmp_path).fetch(request))
    archive.files[path] = whole
    assert rows(source(served, tmp_path).fetch(request)).num_rows in {3, 4}


def test_a_range_without_any_file_is_told_with_the_address(served, source, tmp_path) -> None:
    with pytest.raises(
        DataUnavailableError,
        match=r"bybit archive has nothing of bybit linear BTCUSDT trades tick.*trading/BTCUSDT/BTCUSDT2024-01-02",
    ):
        rows(source(served, tmp_path).fetch(DataRequest(series(), DAY, DAY + 2 * DAY_MS)))


def test_what_is_not_archived_is_refused_before_any_request(served, source, tmp_path) -> None:
    one = source(served, tmp_path)
    span = (DAY, DAY + DAY_MS)
    with pytest.raises(DataUnavailableError, match="bybit archive has no funding of linear.*--via rest"):
        one.fetch(DataRequest(series("funding"), *span))
    with pytest.raises(DataUnavailableError, match="holds the live network only, not testnet"):
        one.fetch(DataRequest(series(network="testnet"), *span))
    with pytest.raises(ConfigError, match="bybit archive has no data of okx"):
        one.fetch(DataRequest(series(exchange="okx"), *span))
    assert served.asked == []
