"""Requests end in whole answers or in one clear error; nothing here waits: clock and waits are the test's."""

from __future__ import annotations

import json

import pytest

from backtester.data.http_client import HttpClient, RequestPace
from backtester.domain.errors import DownloadError, NetworkForbiddenError, NotFoundError, StorageError
from tests.support.archive_server import ArchiveServer, Fault


class Clock:
    def __init__(self):
        self.now = 0.0
        self.waits = []

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds
        self.waits.append(seconds)


@pytest.fixture
def server():
    with ArchiveServer() as running:
        yield running


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def http(clock):
    client = HttpClient(allow_net=True, timeout_s=0.3, retries=3, wait=clock.wait, clock=clock, budget_s=100)
    yield client
    client.close()


def test_an_answer_is_its_whole_body(server, http):
    server.answers["/api"] = lambda query: {"echo": query}
    assert http.get_json(f"{server.url}/api", params={"symbol": "BTCUSDT", "limit": 5}) == {
        "echo": {"symbol": "BTCUSDT", "limit": "5"}
    }
    server.files["/x"] = b"abc"
    assert http.get(f"{server.url}/x") == b"abc"


def test_without_network_nothing_is_asked(server):
    server.files["/x"] = b"abc"
    client = HttpClient(allow_net=False)
    with pytest.raises(NetworkForbiddenError, match="/x is not cached"):
        client.get(f"{server.url}/x")
    assert server.asked == []


def test_what_does_not_exist_is_said_at_once(server, http, clock):
    with pytest.raises(NotFoundError, match="/gone does not exist"):
        http.get(f"{server.url}/gone")
    assert (len(server.asked), clock.waits) == (1, [])


def test_a_passing_failure_is_tried_again_with_growing_waits(server, http, clock):
    server.files["/x"] = b"abc"
    server.faults["/x"] = [Fault(500), Fault(503), Fault(502)]
    assert http.get(f"{server.url}/x") == b"abc"
    assert len(clock.waits) == 3
    for wait, least in zip(clock.waits, (1, 2, 4), strict=True):
        assert least <= wait <= least * 1.5


def test_a_failure_that_stays_ends_with_address_reason_and_attempts(server, http):
    server.faults["/x"] = [Fault(500)] * 9
    with pytest.raises(DownloadError, match=r"/x: HTTP 500 Internal Server Error \(4 attempts\)"):
        http.get(f"{server.url}/x")
    assert len(server.asked) == 4


def test_retry_after_is_honoured_in_seconds_and_as_a_date(server, http, clock):
    server.files["/x"] = b"abc"
    dates = {"Date": "Mon, 01 Jan 2024 00:00:00 GMT", "Retry-After": "Mon, 01 Jan 2024 00:00:09 GMT"}
    server.faults["/x"] = [Fault(429, {"Retry-After": "7"}), Fault(418, {"Retry-After": "30"})]
    assert http.get(f"{server.url}/x") == b"abc"
    assert clock.waits == [7, 30]
    server.faults["/x"] = [Fault(429, dates)]
    assert http.get(f"{server.url}/x") == b"abc"
    assert clock.waits[2] <= 9 * 1.5


def test_a_wait_longer_than_the_budget_is_not_begun(server, http, clock):
    server.faults["/x"] = [Fault(418, {"Retry-After": "259200"})]
    with pytest.raises(DownloadError, match="the next would be in 259200 s"):
        http.get(f"{server.url}/x")
    assert clock.waits == []


def test_waits_are_told_before_they_begin(server, clock):
    told = []
    client = HttpClient(
        allow_net=True, wait=clock.wait, clock=clock, on_wait=lambda seconds, reason: told.append((seconds, reason))
    )
    server.files["/x"] = b"abc"
    server.faults["/x"] = [Fault(429, {"Retry-After": "7"})]
    client.get(f"{server.url}/x")
    client.close()
    assert told == [(7.0, f"{server.url}/x: HTTP 429 Too Many Requests")]


@pytest.mark.parametrize("status", [403, 451])
def test_a_refusal_of_the_place_says_what_else_there_is(server, http, status):
    server.faults["/x"] = [Fault(status, body=b"restricted location")]
    with pytest.raises(DownloadError, match="--via archive.*It said: restricted location"):
        http.get(f"{server.url}/x")
    assert len(server.asked) == 1


def test_a_refusal_shows_what_the_venue_said(server, http):
    server.answers["/x"] = lambda query: (400, {"code": -1121, "msg": "Invalid symbol."})
    with pytest.raises(DownloadError, match=r"HTTP 400 Bad Request\): .*Invalid symbol"):
        http.get_json(f"{server.url}/x")


def test_a_page_in_place_of_json_is_named(server, http):
    server.files["/x"] = b"<html>please log in</html>"
    with pytest.raises(DownloadError, match="no JSON: <html>please log in"):
        http.get_json(f"{server.url}/x")


def test_a_slow_server_is_left_and_asked_again(server, http, clock):
    server.files["/x"] = b"abc"
    server.faults["/x"] = [Fault(delay_s=0.6)]
    assert http.get(f"{server.url}/x") == b"abc"
    assert len(clock.waits) == 1


def test_a_body_shorter_than_announced_is_never_an_answer(server, http, tmp_path):
    server.files["/x"] = b"a" * 5000
    server.faults["/x"] = [Fault(keep=1000)] * 9
    with pytest.raises(DownloadError, match="/x: .*4 attempts"):
        http.get(f"{server.url}/x")
    server.validators = False
    server.faults["/x"] = [Fault(keep=1000)] * 4
    with pytest.raises(DownloadError, match="/x: .*4 attempts"):
        http.download(f"{server.url}/x", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_server_that_is_not_there_is_named(clock, tmp_path):
    client = HttpClient(allow_net=True, retries=1, wait=clock.wait, clock=clock)
    with ArchiveServer() as server:
        address = server.url
    with pytest.raises(DownloadError, match=f"{address}/x: .*2 attempts"):
        client.get(f"{address}/x")
    client.close()


def test_redirects_are_followed_but_not_for_ever(server, http):
    server.files["/new"] = b"abc"
    server.faults["/old"] = [Fault(302, {"Location": "/new"})]
    assert http.get(f"{server.url}/old") == b"abc"
    server.faults["/loop"] = [Fault(302, {"Location": "/loop"})] * 20
    with pytest.raises(DownloadError, match="cannot be asked"):
        http.get(f"{server.url}/loop")


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_file_arrives_whole_with_its_digest(server, http, tmp_path):
    digest = server.put("/f.zip", b"content" * 1000)
    received = http.download(f"{server.url}/f.zip", tmp_path / "deep/f.zip")
    assert (received.sha256, received.size) == (digest, 7000)
    assert received.validators.etag == f'"{digest[:16]}"'
    assert (tmp_path / "deep/f.zip").read_bytes() == b"content" * 1000
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["f.zip"]


def test_a_broken_off_download_goes_on_where_it_stopped(server, http, tmp_path):
    digest = server.put("/f.zip", bytes(range(256)) * 1000)
    server.faults["/f.zip"] = [Fault(keep=100_000), Fault(status=503)]
    assert http.download(f"{server.url}/f.zip", tmp_path / "f.zip").sha256 == digest
    assert server.asked[-1].headers["Range"] == "bytes=100000-"


def test_a_part_of_another_revision_is_not_gone_on_with(server, http, tmp_path):
    server.put("/f.zip", b"old" * 1000)
    server.faults["/f.zip"] = [Fault(keep=1000), *[Fault(404)]]
    with pytest.raises(NotFoundError):
        http.download(f"{server.url}/f.zip", tmp_path / "f.zip")
    digest = server.put("/f.zip", b"new" * 1000)
    assert http.download(f"{server.url}/f.zip", tmp_path / "f.zip").sha256 == digest
    assert server.asked[-1].headers["Range"] == "bytes=1000-"


def test_without_a_named_revision_a_download_begins_anew(server, http, tmp_path):
    server.validators = False
    digest = server.put("/f.zip", b"content" * 1000)
    server.faults["/f.zip"] = [Fault(keep=1000)]
    assert http.download(f"{server.url}/f.zip", tmp_path / "f.zip").sha256 == digest
    assert "Range" not in server.asked[-1].headers


def test_a_part_that_is_already_whole_or_too_long_is_begun_anew(server, http, tmp_path):
    digest = server.put("/f.zip", b"content" * 1000)
    (tmp_path / "f.zip.part").write_bytes(b"content" * 1000 + b"more")
    (tmp_path / "f.zip.part.json").write_text(json.dumps([f'"{digest[:16]}"', ""]))
    assert http.download(f"{server.url}/f.zip", tmp_path / "f.zip").sha256 == digest
    assert (tmp_path / "f.zip").stat().st_size == 7000


def test_an_unchanged_file_is_not_sent_again(server, http, tmp_path):
    server.put("/f.zip", b"content")
    first = http.download(f"{server.url}/f.zip", tmp_path / "f.zip")
    assert http.download(f"{server.url}/f.zip", tmp_path / "f.zip", known=first) is first
    server.put("/f.zip", b"replaced")
    assert http.download(f"{server.url}/f.zip", tmp_path / "f.zip", known=first).size == 8


def test_a_place_that_cannot_be_written_is_named(server, http, tmp_path):
    server.put("/f.zip", b"content")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot write .*file/f.zip"):
        http.download(f"{server.url}/f.zip", tmp_path / "file/f.zip")


def test_a_stopped_client_ends_what_others_have_begun(server, http):
    http.close()
    with pytest.raises(DownloadError, match="stopped"):
        http.get(f"{server.url}/x")


# -- pace --------------------------------------------------------------------------------------------------------------


def test_requests_of_a_minute_stay_within_the_weight_a_venue_allows(server, clock):
    server.files["/x"] = b"abc"
    pace = RequestPace(10, clock=clock)
    client = HttpClient(allow_net=True, wait=clock.wait, clock=clock, pace=pace)
    for _ in range(5):
        client.get(f"{server.url}/x", weight=4)
    client.close()
    assert clock.waits == [60, 60]


def test_what_others_spent_counts_too(clock):
    pace = RequestPace(10, clock=clock)
    assert pace.delay_s(1) == 0
    pace.reported(9)
    assert pace.delay_s(2) == 60
    clock.now = 60
    assert pace.delay_s(2) == 0
