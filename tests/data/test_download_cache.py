"""Files are fetched once, kept by their whole address, and never taken for whole when they are not."""

from __future__ import annotations

import threading

import pytest

from backtester.data.download_cache import DownloadCache
from backtester.data.http_client import HttpClient
from backtester.domain.errors import ChecksumError, ConfigError, DownloadError, NetworkForbiddenError, NotFoundError
from tests.support.archive_server import ArchiveServer, Fault


@pytest.fixture
def server():
    with ArchiveServer() as running:
        yield running


@pytest.fixture
def http():
    client = HttpClient(allow_net=True, retries=2, wait=lambda seconds: None)
    yield client
    client.close()


@pytest.fixture
def cache(tmp_path):
    return DownloadCache(tmp_path)


def test_a_file_lies_under_its_host_and_whole_path(cache, tmp_path):
    base = tmp_path / ".cache"
    assert cache.path_of("https://data.binance.vision/data/spot/a.zip") == base / "data.binance.vision/data/spot/a.zip"
    assert cache.path_of("http://127.0.0.1:8080/data/spot/a.zip") == base / "127.0.0.1_8080/data/spot/a.zip"
    assert cache.path_of("https://h/币安-1m.zip") == cache.path_of("https://h/%E5%B8%81%E5%AE%89-1m.zip")
    assert cache.path_of("https://h/a?x=1/2").name == "a@x=1%2F2"


@pytest.mark.parametrize("url", ["https://h/../x", "https://h/%2e%2e/x", "https://h", "https://h/", "x.zip", "https://h/a%00b"])
def test_an_address_never_leads_out_of_the_cache(cache, url):
    with pytest.raises(ConfigError, match="not the address of a file"):
        cache.path_of(url)


def test_a_slash_hidden_in_a_name_stays_a_name(cache, tmp_path):
    assert cache.path_of("https://h/a%2F..%2F..%2Fx").parent == tmp_path / ".cache/h"


def test_nothing_is_fetched_twice(server, http, cache):
    digest = server.put("/f.zip", b"content")
    first = cache.fetch(http, f"{server.url}/f.zip", sha256=digest)
    again = cache.fetch(http, f"{server.url}/f.zip", sha256=digest)
    assert (first.fetched, again.fetched) == (True, False)
    assert again.path.read_bytes() == b"content"
    assert server.paths() == ["/f.zip"]
    assert sorted(path.name for path in again.path.parent.iterdir()) == ["f.zip", "f.zip.json"]


def test_a_replaced_file_is_a_new_revision(server, http, cache):
    digest = server.put("/f.zip", b"content")
    cache.fetch(http, f"{server.url}/f.zip", sha256=digest)
    digest = server.put("/f.zip", b"replaced")
    assert cache.fetch(http, f"{server.url}/f.zip", sha256=digest).path.read_bytes() == b"replaced"
    held = cache.held(f"{server.url}/f.zip")
    assert held is not None
    assert held.sha256 == digest


def test_without_a_checksum_a_replaced_file_is_known_by_its_etag(server, http, cache):
    server.put("/f.zip", b"content")
    assert cache.fetch(http, f"{server.url}/f.zip").fetched
    assert not cache.fetch(http, f"{server.url}/f.zip").fetched
    assert "If-None-Match" in server.asked[-1].headers
    server.put("/f.zip", b"replaced")
    assert cache.fetch(http, f"{server.url}/f.zip").fetched


def test_other_bytes_than_signed_for_are_refused_and_the_old_ones_stay(server, http, cache):
    digest = server.put("/f.zip", b"content")
    cache.fetch(http, f"{server.url}/f.zip", sha256=digest)
    server.put("/f.zip", b"tampered")
    with pytest.raises(ChecksumError, match="nothing of it was used"):
        cache.fetch(http, f"{server.url}/f.zip", sha256="0" * 64)
    held = cache.held(f"{server.url}/f.zip")
    assert held is not None
    assert held.sha256 == digest


def test_a_part_of_an_old_revision_that_spoils_a_file_is_thrown_away(server, http, cache):
    server.validators = False
    digest = server.put("/f.zip", b"content" * 100)
    path = cache.path_of(f"{server.url}/f.zip")
    path.parent.mkdir(parents=True)
    (path.parent / "f.zip.new.part").write_bytes(b"garbage" * 10)
    assert cache.fetch(http, f"{server.url}/f.zip", sha256=digest).sha256 == digest


@pytest.mark.parametrize("spoil", ["truncate", "flip", "no note", "damaged note", "no file"])
def test_what_is_not_whole_is_not_held(server, http, cache, spoil):
    digest = server.put("/f.zip", b"content" * 100)
    path = cache.fetch(http, f"{server.url}/f.zip", sha256=digest).path
    note = path.with_name("f.zip.json")
    if spoil == "truncate":
        path.write_bytes(path.read_bytes()[:300])
    elif spoil == "flip":
        path.write_bytes(b"C" + path.read_bytes()[1:])
    elif spoil == "no note":
        note.unlink()
    elif spoil == "damaged note":
        note.write_bytes(note.read_bytes()[:20])
    else:
        path.unlink()
    assert cache.held(f"{server.url}/f.zip") is None
    assert cache.fetch(http, f"{server.url}/f.zip", sha256=digest).fetched


def test_a_failed_download_leaves_nothing_that_could_be_taken_for_the_file(server, http, cache):
    server.put("/f.zip", b"content" * 100)
    server.faults["/f.zip"] = [Fault(keep=200)] * 3
    with pytest.raises(DownloadError):
        cache.fetch(http, f"{server.url}/f.zip")
    assert cache.held(f"{server.url}/f.zip") is None
    assert not cache.path_of(f"{server.url}/f.zip").exists()


def test_without_network_what_is_held_is_used_and_the_rest_named(server, http, cache):
    server.put("/f.zip", b"content")
    cache.fetch(http, f"{server.url}/f.zip")
    offline = HttpClient(allow_net=False)
    assert cache.fetch(offline, f"{server.url}/f.zip", sha256="0" * 64).size == 7
    with pytest.raises(NetworkForbiddenError, match="g.zip is not cached"):
        cache.fetch(offline, f"{server.url}/g.zip")


def test_an_absence_is_remembered_until_the_file_is_there(server, http, cache):
    url = f"{server.url}/f.zip"
    with pytest.raises(NotFoundError):
        cache.fetch(http, url)
    assert not cache.known_absent(url)
    cache.note_absent(url)
    assert cache.known_absent(url)
    server.put("/f.zip", b"content")
    cache.fetch(http, url)
    assert not cache.known_absent(url)


def test_a_discarded_file_is_asked_for_again(server, http, cache):
    server.put("/f.zip", b"content")
    url = f"{server.url}/f.zip"
    cache.fetch(http, url)
    cache.discard(url)
    assert cache.held(url) is None
    assert cache.fetch(http, url).fetched


def test_threads_that_want_one_file_fetch_it_once(server, http, cache):
    digest = server.put("/f.zip", b"content" * 1000)
    server.chunk_bytes, server.chunk_delay_s = 2000, 0.01
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(cache.fetch(http, f"{server.url}/f.zip", sha256=digest))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.sha256 for one in found] == [digest] * 6
    assert server.paths() == ["/f.zip"]
