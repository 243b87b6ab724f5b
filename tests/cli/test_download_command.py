"""`bt data download` end to end, in this process, against an archive and interface on this machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from backtester.app.download_sources import SourceSettings, sources_for
from backtester.app.downloading import series_to_download
from backtester.cli.main import main
from backtester.data.catalog import Catalog
from tests.support.archive_server import ArchiveServer, Fault, zipped
from tests.support.binance_files import DAY_MS, kline_answer, kline_path, ms, period_ms, publish_bars, publish_options

NOW_MS = ms("2024-03-20T12:30:00")
HOUR_MS = 3_600_000


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """In an empty directory, on a day in March 2024, and failing fast."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BT_DATA", raising=False)
    monkeypatch.setattr("backtester.cli.download_command._system_ms", lambda: NOW_MS)
    monkeypatch.setattr("backtester.data.http_client._BACKOFF_S_MAX", 0.01)


@pytest.fixture
def server():
    with ArchiveServer() as running:
        yield running


@pytest.fixture
def bt(capsys, server):
    def run(*words, **options):
        given = {
            "exchange": "binance",
            "market": "futures",
            "symbols": "BTCUSDT",
            "timeframe": "1h",
            "start": "2024-01-01",
            "end": "2024-03-01",
            "base-url": server.url,
            "rest-url": server.url,
            "data": "cat",
            **{name.replace("_", "-"): value for name, value in options.items()},
        }
        flat = [word for name, value in given.items() if value is not None for word in (f"--{name}", *value.split())]
        code = main(["data", "download", *flat, *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def stored(**identity):
    return {(one.symbol, one.kind, one.timeframe): one for one in Catalog(Path("cat")).all_series()}


def files_asked(server):
    return [path for path in server.paths() if path.endswith(".zip")]


def test_months_are_downloaded_and_told_in_a_table(server, bt):
    for symbol in ("BTCUSDT", "ETHUSDT"):
        for period in ("2024-01", "2024-02"):
            publish_bars(server, symbol, period)
    code, out, err = bt(symbols="BTCUSDT ETHUSDT")
    assert (code, err) == (0, "")
    assert out.count("1,440") == 2
    one = stored()["ETHUSDT", "candles", "1h"]
    assert (one.first_ms, one.last_ms, one.gaps) == (ms("2024-01-01"), ms("2024-03-01"), 0)


def test_what_is_stored_is_not_asked_for_again(server, bt):
    for period in ("2024-01", "2024-02"):
        publish_bars(server, "BTCUSDT", period)
    assert bt(end="2024-02-01")[0] == 0
    assert bt()[0] == 0
    assert files_asked(server) == [kline_path("BTCUSDT", "2024-01"), kline_path("BTCUSDT", "2024-02")]
    count = len(server.asked)
    code, out, _ = bt()
    assert (code, len(server.asked)) == (0, count)
    assert "all" in out


def test_the_archive_is_followed_by_the_interface_and_open_bars_are_left_out(server, bt):
    publish_bars(server, "BTCUSDT", "2024-02")
    for day in range(1, 19):
        publish_bars(server, "BTCUSDT", f"2024-03-{day:02d}")
    server.answers["/fapi/v1/klines"] = kline_answer(ms("2024-01-01"), ms("2024-04-01"))
    server.answers["/fapi/v1/time"] = lambda query: {"serverTime": NOW_MS}
    assert bt(start="2024-02-01", end="2024-04-01")[0] == 0
    one = stored()["BTCUSDT", "candles", "1h"]
    assert (one.last_ms, one.gaps) == (ms("2024-03-20T12:00:00"), 0)
    (asked,) = [one for one in server.asked if one.path == "/fapi/v1/klines"]
    assert int(asked.query["startTime"]) == ms("2024-03-19")
    count = len(server.asked)
    assert bt(start="2024-02-01", end="2024-04-01")[0] == 0
    assert len(server.asked) == count


def test_several_kinds_are_downloaded_at_once(server, bt):
    publish_bars(server, "BTCUSDT", "2024-01")
    text = "calc_time,funding_interval_hours,last_funding_rate\n" + "".join(
        f"{time + 2},8,0.0001\n" for time in range(*period_ms("2024-01"), 8 * HOUR_MS)
    )
    server.publish("/data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-01.zip", text)
    header = "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio\n"
    server.publish(
        "/data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-2024-01-01.zip",
        header + "2024-01-01 00:00:00,BTCUSDT,100.5,200.5,1.1,1.2,1.3,1.4\n",
    )
    code, out, err = bt(kind="candles,funding,metrics", end="2024-02-01")
    assert (code, err) == (0, "")
    found = stored()
    assert {key: one.rows for key, one in found.items()} == {
        ("BTCUSDT", "candles", "1h"): 744,
        ("BTCUSDT", "funding", "tick"): 93,
        ("BTCUSDT", "metrics", "5m"): 1,
    }
    assert "2024-01-02 00:00:00 to 2024-02-01 00:00:00" in out
    count = len(server.asked)
    assert bt(kind="funding", end="2024-02-01")[0] == 0
    assert len(server.asked) == count


def test_options_are_their_summaries_and_absent_days_are_told(server, bt):
    publish_options(server, "ETHUSDT", "2023-08-01")
    publish_options(server, "ETHUSDT", "2023-08-03")
    code, out, _ = bt(market="option", symbols="ETHUSDT", timeframe=None, start="2023-08-01", end="2023-08-04")
    assert code == 0
    assert "not there: 2023-08-02 00:00:00 to 2023-08-03 00:00:00" in out
    assert stored()["ETHUSDT", "option_summary", "1h"].rows == 96


def test_what_was_had_is_stored_and_what_was_not_ends_with_exit_code_3(server, bt):
    publish_bars(server, "BTCUSDT", "2024-01")
    path = publish_bars(server, "BTCUSDT", "2024-02")
    good = server.files[path]
    server.files[path] = zipped("BTCUSDT-1h-2024-02.csv", b"1\n")
    code, _, err = bt(via="archive")
    assert code == 3
    assert "publisher's checksum" in err
    assert "missing 2024-02-01 00:00:00 to 2024-03-01 00:00:00 UTC" in err
    assert stored()["BTCUSDT", "candles", "1h"].rows == 744
    server.files[path] = good
    assert bt(via="archive")[0] == 0
    assert stored()["BTCUSDT", "candles", "1h"].rows == 1440


def test_what_the_archive_fails_to_give_may_come_from_the_interface(server, bt):
    path = publish_bars(server, "BTCUSDT", "2024-01")
    server.faults[path] = [Fault(500)] * 20
    server.answers["/fapi/v1/klines"] = kline_answer(ms("2024-01-01"), ms("2024-04-01"))
    code, out, err = bt(end="2024-02-01")
    assert (code, err) == (0, "")
    assert "had from elsewhere after: " in out
    assert stored()["BTCUSDT", "candles", "1h"].rows == 744


def test_a_symbol_that_nobody_has_ends_with_exit_code_3_and_stores_nothing(server, bt):
    server.answers["/fapi/v1/klines"] = lambda query: (400, {"code": -1121, "msg": "Invalid symbol."})
    code, _, err = bt(symbols="NOSUCHUSDT", end="2024-02-01")
    assert code == 3
    assert "does not know the symbol NOSUCHUSDT" in err
    assert Catalog(Path("cat")).is_empty()


def test_values_that_contradict_stored_ones_are_refused_and_named(server, bt):
    publish_bars(server, "BTCUSDT", "2024-01")
    assert bt(end="2024-01-30T12:00")[0] == 0
    (file,) = Path("cat").rglob("*.parquet")
    before = file.read_bytes()
    text = "".join(f"{time},9,9,9,9,1,{time + HOUR_MS - 1},9,1,1,9,0\n" for time in range(*period_ms("2024-01"), HOUR_MS))
    server.publish(kline_path("BTCUSDT", "2024-01"), text)
    code, _, err = bt(end="2024-02-01", via="archive")
    assert code == 3
    assert "2024-01-30 00:00:00" in err
    assert "differ" in err
    assert file.read_bytes() == before


def test_files_of_a_mirror_without_checksums_are_told(server, bt):
    path = publish_bars(server, "BTCUSDT", "2024-01", checksum=False)
    code, out, _ = bt(end="2024-02-01")
    assert code == 0
    assert f"without a checksum: {server.url}{path}" in out


def test_a_long_download_shows_its_rate_on_a_terminal_and_nothing_elsewhere(server, bt, monkeypatch):
    monkeypatch.setattr("backtester.cli.download_command._SHOW_AFTER_S", 0.0)
    publish_bars(server, "BTCUSDT", "2024-01")
    assert bt(end="2024-02-01")[2] == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert "BTCUSDT candles" in bt(end="2024-02-01", data="other")[2]
    assert bt("--quiet", end="2024-02-01", data="third")[1:] == ("", "")


def test_offline_uses_what_is_cached_and_asks_nothing(server, bt):
    publish_bars(server, "BTCUSDT", "2024-01")
    assert bt(end="2024-02-01")[0] == 0
    count = len(server.asked)
    code, _, err = bt("--offline", end="2024-02-01", data="other")
    assert code == 3
    assert "is not cached" in err
    for path in Path("cat").rglob("*.parquet"):
        path.unlink()
    assert bt("--offline", end="2024-02-01")[0] == 0
    assert stored()["BTCUSDT", "candles", "1h"].rows == 744
    assert len(server.asked) == count


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exchange": "okx"}, "--via ccxt"),
        ({"market": "optoin"}, "did you mean"),
        ({"kind": "candle"}, "kind 'candle' is not known"),
        ({"timeframe": None}, "--timeframe 1m"),
        ({"start": "2024-05-01", "end": "2024-06-01"}, "is in the future"),
        ({"start": "2024-02-01", "end": "2024-02-01"}, "the end is exclusive"),
        ({"policy": "high_low=mend"}, "is not known"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_asked(server, bt, options, message):
    code, out, err = bt(**options)
    assert (code, out) == (2, "")
    assert message in err
    assert server.asked == []


def test_a_policy_decides_about_broken_rules(server, bt):
    rows = [[time, 9, 9, 9, 9, 1, time + HOUR_MS - 1, 9, 1, 1, 9, 0] for time in range(*period_ms("2024-01"), HOUR_MS)]
    rows[100][2] = 8
    server.publish(kline_path("BTCUSDT", "2024-01"), "".join(",".join(map(str, row)) + "\n" for row in rows))
    code, _, err = bt(end="2024-02-01", via="archive")
    assert code == 3
    assert "high_low" in err
    code, out, _ = bt(end="2024-02-01", via="archive", policy="high_low=fix")
    assert code == 0
    assert "row 101: high_low (1 row, fix)" in out


@pytest.mark.parametrize(
    ("exchange", "via", "network", "names"),
    [
        ("binance", None, "live", ["binance archive", "binance rest"]),
        ("binance", "archive", "live", ["binance archive"]),
        ("binance", "rest", "live", ["binance rest"]),
        ("binance", None, "testnet", ["binance rest"]),
        ("bybit", None, "live", ["bybit archive", "bybit v5"]),
        ("okx", "ccxt", "live", ["ccxt okx"]),
        ("binance", "ccxt", "live", ["ccxt binance"]),
    ],
)
def test_every_exchange_has_its_sources_in_order(tmp_path, exchange, via, network, names):
    settings = SourceSettings(base=tmp_path, now_ms=lambda: NOW_MS, network=network)
    assert [source.name for source in sources_for(exchange, "linear", "candles", via, settings)] == names


def test_symbols_as_ccxt_writes_them_say_their_market():
    found = series_to_download(
        exchange="okx", market="linear", symbols=["BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"], kinds=[], timeframe="1h"
    )
    assert [(one.market, one.symbol) for one in found] == [("spot", "BTCUSDT"), ("linear", "BTCUSDT"), ("inverse", "BTCUSD")]


def test_a_day_is_asked_for_until_all_its_bars_are_stored(server, bt):
    server.answers["/fapi/v1/klines"] = kline_answer(ms("2024-01-01"), ms("2024-03-19T12:00:00"))
    server.answers["/fapi/v1/time"] = lambda query: {"serverTime": NOW_MS}
    assert bt(start="2024-03-18", end="2024-03-21", via="rest")[0] == 0
    server.answers["/fapi/v1/klines"] = kline_answer(ms("2024-01-01"), ms("2024-04-01"))
    assert bt(start="2024-03-18", end="2024-03-21", via="rest")[0] == 0
    assert stored()["BTCUSDT", "candles", "1h"].last_ms == NOW_MS - NOW_MS % HOUR_MS


def test_a_day_of_which_a_part_was_asked_for_is_not_taken_for_whole(server, bt):
    text = "calc_time,funding_interval_hours,last_funding_rate\n" + "".join(
        f"{time + 2},8,0.0001\n" for time in range(*period_ms("2024-01"), 8 * HOUR_MS)
    )
    server.publish("/data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-01.zip", text)
    assert bt(kind="funding", start="2024-01-02T12:00", end="2024-01-05T12:00")[0] == 0
    assert stored()["BTCUSDT", "funding", "tick"].rows == 9
    assert bt(kind="funding", end="2024-02-01")[0] == 0
    assert stored()["BTCUSDT", "funding", "tick"].rows == 93


def test_json_notes_of_finished_days_are_only_a_hint(server, bt):
    publish_bars(server, "BTCUSDT", "2024-01")
    assert bt(end="2024-02-01")[0] == 0
    (note,) = Path("cat/.cache/finished").rglob("*.json")
    assert len(json.loads(note.read_text())) == 31
    for path in Path("cat").rglob("*.parquet"):
        path.unlink()
    assert bt(end="2024-02-01")[0] == 0
    assert stored()["BTCUSDT", "candles", "1h"].rows * HOUR_MS == 31 * DAY_MS
    note.write_text("{")
    assert bt(end="2024-02-01")[0] == 0
