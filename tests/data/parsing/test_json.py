"""Bodies, stream messages and recordings of Binance, Bybit and OKX."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.data.findings import Policies, Rule
from backtester.data.kinds import VolumeUnit
from backtester.data.parsing import pieces
from backtester.data.sanitize import sanitize
from backtester.domain.errors import BacktesterError, DataError, SchemaMismatchError
from tests.data.parsing.files import parse, rows_of

KLINE = [
    1607444700000,
    "18879.99",
    "18900.00",
    "18878.98",
    "18896.13",
    "492.363",
    1607444759999,
    "9302145.66080",
    1874,
    "385.983",
    "7292402.33267",
    "0",
]
PAIR = {"market": "linear", "symbol": "BTCUSDT"}


def test_binance_klines_say_their_interval_by_open_and_close_time_and_their_kind_by_the_call(tmp_path):
    (batch,) = parse(tmp_path, "binance/klines.json", json.dumps([KLINE]), **PAIR)
    assert str(batch.series) == "binance linear BTCUSDT candles 1m"
    assert rows_of([batch]) == [
        (1607444700000, 18879.99, 18900.0, 18878.98, 18896.13, 492.363, 9302145.6608, 1874.0, 385.983, 7292402.33267)
    ]
    assert batch.extra.column("end_ms").to_pylist() == [1607444759999]
    sampled = [*KLINE[:5], "0", KLINE[6], "0", 60, "0", "0", "0"]
    for name, kind in (
        ("markPriceKlines.json", "mark"),
        ("index_price_klines.json", "index"),
        ("premiumIndexKlines.json", "premium"),
    ):
        assert parse(tmp_path, name, json.dumps([sampled]), **PAIR)[0].series.kind == kind
    with pytest.raises(SchemaMismatchError, match="state it with --kind"):
        parse(tmp_path, "klines.json", json.dumps([sampled]), **PAIR)
    with pytest.raises(SchemaMismatchError, match="the timeframe is 1m by its path or content, but --timeframe says 1h"):
        parse(tmp_path, "klines.json", json.dumps([KLINE]), timeframe="1h", **PAIR)


def test_volumes_of_coin_margined_contracts_count_contracts_and_coin_is_no_quote_volume(tmp_path):
    (batch,) = parse(tmp_path, "klines.json", json.dumps([KLINE]), market="inverse", symbol="BTCUSD_PERP")
    assert batch.volume_unit is VolumeUnit.CONTRACTS
    assert rows_of([batch])[0][5:] == (492.363, None, 1874.0, 385.983, None)


def depth(first, last, before, *, moment=1723161255208, symbol="BTCUSDT"):
    data = {"e": "depthUpdate", "E": moment, "s": symbol, "U": first, "u": last, "b": [["100.5", "2"]], "a": []}
    return json.dumps({"stream": f"{symbol.lower()}@depth", "data": data | ({} if before is None else {"pu": before})})


SNAPSHOT = '{"lastUpdateId":12,"bids":[["100","1"]],"asks":[["101","3"]]}'
QUOTE = '{"stream":"btcusdt@bookTicker","data":{"u":9,"s":"BTCUSDT","b":"1","B":"2","a":"3","A":"4"}}'


def test_a_recording_gives_each_message_its_own_time_or_that_of_its_receipt(tmp_path):
    lines = f"1723161254206652067 {SNAPSHOT}\n1723161254306652067 {depth(10, 13, None)}\n1723161254406652999 {QUOTE}\n1723161254506652067 {SNAPSHOT}\n"
    batches = parse(tmp_path, "binance/spot/ws/btcusdt.gz", gzip.compress(lines.encode()))
    book, quotes = batches
    assert str(book.series) == "binance spot BTCUSDT book tick"
    moment = 1_723_161_255_208_000
    assert rows_of([book]) == [
        (moment, 1, True, True, 100.0, 1.0, None, 12, None),
        (moment, 1, True, False, 101.0, 3.0, None, 12, None),
        (moment, 2, False, True, 100.5, 2.0, 10, 13, None),
        (moment, 4, True, True, 100.0, 1.0, None, 12, None),
        (moment, 4, True, False, 101.0, 3.0, None, 12, None),
    ]
    assert rows_of([quotes]) == [(1_723_161_254_406_652, 1.0, 2.0, 3.0, 4.0, 9)]
    assert quotes.extra.column("row").to_pylist() == [3]


def test_a_snapshot_asked_for_by_address_is_of_the_symbol_in_it(tmp_path):
    body = SNAPSHOT.replace('{"last', '{"E":1626992741264,"T":1626992741261,"last')
    line = f"https://fapi.binance.com/fapi/v1/depth?symbol=SUSHIUSDT&limit=1000 -> 1626992741.301402: {body}\n"
    (batch,) = parse(tmp_path, "x.http.0", line + 'configuration: {"a":[]}\n')
    assert str(batch.series) == "binance linear SUSHIUSDT book tick"
    assert rows_of([batch])[0][:3] == (1_626_992_741_261_000, 1, True)


def test_only_closed_bars_of_a_stream_count(tmp_path):
    def bar(closed):
        k = {
            "t": 60000,
            "T": 119999,
            "s": "BTCUSDT",
            "i": "1m",
            "o": "1",
            "c": "2",
            "h": "3",
            "l": "1",
            "v": "5",
            "n": 1,
            "x": closed,
            "q": "9",
            "V": "2",
            "Q": "4",
        }
        return json.dumps({"e": "kline", "E": 1, "s": "BTCUSDT", "k": k})

    (batch,) = parse(tmp_path, "binance/um/ws", bar(False) + "\n" + bar(False) + "\n" + bar(True) + "\n")
    assert [row[0] for row in rows_of([batch])] == [60000]
    with pytest.raises(SchemaMismatchError, match="holds a bar that has not closed"):
        parse(tmp_path, "binance/um/ws", bar(False))


def test_entries_of_the_trade_stream_that_no_market_order_made_are_left_out(tmp_path):
    def trade(made_by):
        return json.dumps({"e": "trade", "s": "BTCUSDT", "t": 5, "p": "1", "q": "2", "T": 1700000000000, "m": True, "X": made_by})

    text = f"{trade('MARKET')}\n{trade('INSURANCE_FUND')}\n"
    assert rows_of(parse(tmp_path, "binance/um/ws", text)) == [(1_700_000_000_000_000, 1.0, 2.0, True, "5")]


def test_bybit_bars_come_newest_first_and_the_youngest_may_be_open(tmp_path):
    rows = [
        ["1670608800000", "17071", "17073", "17027", "17055.5", "268611", "15.74"],
        ["1670605200000", "17071", "17072", "17061", "17071", "4177", "0.24"],
    ]
    body = {"retCode": 0, "result": {"symbol": "BTCUSD", "category": "inverse", "list": rows}, "time": 1670609000000}
    (batch,) = parse(tmp_path, "market_kline.json", json.dumps(body), timeframe="1h")
    assert (str(batch.series), batch.volume_unit) == ("bybit inverse BTCUSD candles 1h", VolumeUnit.QUOTE)
    assert rows_of([batch])[0][5:7] == (268611.0, None)
    clean = sanitize(batch, Policies())
    assert clean.table.column("start_ms").to_pylist() == [1670605200000]
    assert {finding.rule for finding in clean.findings} == {Rule.STILL_OPEN, Rule.OUT_OF_ORDER} or clean.findings[
        0
    ].rule is Rule.STILL_OPEN
    body["result"] |= {"category": "linear", "symbol": "BTCUSDT", "list": [row[:5] for row in rows]}
    assert parse(tmp_path, "market_mark-kline_1.json", json.dumps(body), timeframe="1h")[0].series.kind == "mark"
    with pytest.raises(SchemaMismatchError, match="state it with --kind"):
        parse(tmp_path, "bars.json", json.dumps(body), timeframe="1h")


def book_line(kind, update, *, spot=False):
    times = f'"ts":{1733011200691 + update},"type":"{kind}"' if spot else f'"type":"{kind}","ts":{1733011200691 + update}'
    data = f'{{"s":"XRPUSDT","b":[["1.95","{update}"]],"a":[["1.96","0"]],"u":{update},"seq":7}}'
    return f'{{"topic":"orderbook.500.XRPUSDT",{times},"data":{data},"cts":{1733011200000 + update}}}\n'


def test_a_bybit_book_archive_is_streamed_in_batches_at_the_engines_time(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "BATCH_ROWS", 10)
    text = (
        book_line("snapshot", 5) + "".join(book_line("delta", update, spot=True) for update in range(6, 20)) + book_line("delta", 1)
    )
    batches = parse(tmp_path, "bybit/orderbook/linear/XRPUSDT/2024-12-01_XRPUSDT_ob500.data", text)
    assert len(batches) == 4
    rows = rows_of(batches)
    assert len(rows) == 32
    assert rows[0] == (1_733_011_200_005_000, 1, True, True, 1.95, 5.0, None, 5, None)
    assert rows[3] == (1_733_011_200_006_000, 2, False, False, 1.96, 0.0, None, 6, None)
    assert rows[-1][2] is True  # update 1: the service began anew


def test_okx_volumes_are_in_coin_for_every_market_and_open_bars_are_judged(tmp_path):
    rows = [
        ["1747094040000", "102806.1", "102820.4", "102806.1", "102820.4", "1040.37", "10.4037", "1069603.3", "0"],
        ["1747093980000", "102806", "102820.5", "102783.1", "102806.1", "7164.04", "71.6404", "7364701.5", "1"],
    ]
    body = json.dumps({"code": "0", "msg": "", "data": rows})
    (batch,) = parse(tmp_path, "okx/c.json", body, market="linear", symbol="BTC-USDT-SWAP", timeframe="1m")
    assert (batch.volume_unit, rows_of([batch])[1][5:7]) == (VolumeUnit.BASE, (71.6404, 7364701.5))
    assert rows_of(parse(tmp_path, "okx/c.json", body, market="spot", symbol="BTC-USDT", timeframe="1m"))[1][5] == 7164.04
    clean = sanitize(batch, Policies())
    assert clean.table.num_rows == 1
    assert [(finding.rule, finding.count, finding.row) for finding in clean.findings if finding.rule is Rule.STILL_OPEN] == [
        (Rule.STILL_OPEN, 1, 1)
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[{"a":1,"p":"x","q":"1","f":1,"l":1,"T":1700000000000,"m":true}]', "line 1: a message is not as it is published"),
        ('[{"a":1,"p":"1","q":"1","f":1,"l":1,"T":1700000000000,"m":"yes"}]', "stands where true or false should"),
        ('[{"a":99999999999999999999,"p":"1","q":"1","f":1,"l":1,"T":1700000000000,"m":true}]', "is too large"),
        ('{"e":"depthUpdate","s":"BTCUSDT","E":1}', "no field 'U'"),
        ('{"stream":"x","data":{"e":"trade","s":"BTCUSDT"}', "no JSON"),
        ("[" * 5000, "no JSON"),
        ('{"code":"0","data":[["1","2"]]}', "holds rows of 2 values, which are no bars"),
        ('{"topic":"publicTrade.BTCUSDT","data":[{"s":"BTCUSDT","T":1,"p":"1","v":"1","S":"Hold","i":"1"}]}', "'Hold' is no side"),
    ],
)
def test_a_message_that_is_not_as_it_should_be_is_named_with_file_and_line(tmp_path, text, words):
    with pytest.raises(DataError, match="a.json") as caught:
        parse(tmp_path, "a.json", text, market="linear", symbol="BTCUSDT")
    assert words in str(caught.value)


DOCUMENTS = (
    json.dumps([KLINE]),
    depth(1, 2, 0),
    QUOTE,
    book_line("delta", 3),
    '{"retCode":0,"result":{"category":"linear","list":[{"symbol":"BTCUSDT","fundingRate":"0.0001","fundingRateTimestamp":"1709884800000"}]}}',
    '{"code":"0","data":[{"instId":"BTC-USDT","side":"sell","sz":"0.1","px":"2","tradeId":"7","ts":"1747087163557"}]}',
)


@given(document=st.sampled_from(DOCUMENTS), data=st.data())
def test_damaged_json_ends_in_our_errors_or_in_rows(tmp_path_factory, document, data):
    at = data.draw(st.integers(0, len(document)))
    text = document[:at] + data.draw(st.text(max_size=4)) + document[data.draw(st.integers(at, len(document))) :]
    folder = tmp_path_factory.mktemp("json")
    try:
        batches = parse(folder, "a.json", text)
    except BacktesterError:
        return
    assert all(batch.table.num_rows for batch in batches)


def test_bars_without_volume_may_be_stated_to_be_candles_but_nothing_else_may(tmp_path):
    sampled = [*KLINE[:5], "0", KLINE[6], "0", 60, "0", "0", "0"]
    (batch,) = parse(tmp_path, "klines.json", json.dumps([sampled]), kind="candles", **PAIR)
    assert (batch.series.kind, rows_of([batch])[0][5]) == ("candles", 0.0)
    with pytest.raises(SchemaMismatchError, match="what it holds is no open_interest; state --kind as it is"):
        parse(tmp_path, "klines.json", json.dumps([sampled]), kind="open_interest", **PAIR)


def test_a_row_of_another_length_is_named(tmp_path):
    rows = [["1652486400000", "1", "2", "1", "1"], ["1652400000000", "1", "2", "1"]]
    body = {"retCode": 0, "result": {"symbol": "BTCUSDT", "category": "linear", "list": rows}}
    with pytest.raises(DataError, match="row 2 has another number of values"):
        parse(tmp_path, "market_mark-kline_1.json", json.dumps(body), timeframe="1d")
