"""OKX's archive, tardis.dev, T_DEPTH, Lean and freqtrade: small files of each, as they are published."""

from __future__ import annotations

import io
import zipfile

import pyarrow as pa
import pyarrow.feather
import pytest

from backtester.data.kinds import VolumeUnit
from backtester.data.parsing import csv_rows, tardis
from backtester.domain.errors import SchemaMismatchError
from tests.data.parsing.files import parse, rows_of


def zipped(member: str, text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, text)
    return buffer.getvalue()


def test_okx_trades_of_a_swap_count_contracts_and_those_of_spot_coins(tmp_path):
    text = "instrument_name,trade_id,side,price,size,created_time\nBTC-USDT-SWAP,7,sell,100.5,3,1704067200001\n"
    (batch,) = parse(tmp_path, "BTC-USDT-SWAP-trades-2024-01-01.zip", zipped("BTC-USDT-SWAP-trades-2024-01-01.csv", text))
    assert (str(batch.series), batch.volume_unit) == ("okx linear BTC-USDT-SWAP trades tick", VolumeUnit.CONTRACTS)
    assert rows_of([batch]) == [(1_704_067_200_001_000, 100.5, 3.0, True, "7")]
    (batch,) = parse(tmp_path, "t.csv", text.replace("-SWAP", "").replace(",3,", ",1.5E-5,"))
    assert (batch.series.market, batch.volume_unit, rows_of([batch])[0][2]) == ("spot", VolumeUnit.BASE, 1.5e-5)


def test_okx_funding_rates_are_read_by_name(tmp_path):
    text = "instrument_name,contract_type,funding_rate,funding_time\nBTC-USD-SWAP,x,0.0001,1704067200000\n"
    (batch,) = parse(tmp_path, "t.csv", text)
    assert (str(batch.series), rows_of([batch])) == (
        "okx inverse BTC-USD-SWAP funding tick",
        [(1_704_067_200_000, 0.0001, None, None)],
    )


def test_tardis_trades_and_quotes(tmp_path):
    first = "exchange,symbol,timestamp,local_timestamp"
    text = f"{first},id,side,price,amount\nbinance-delivery,btcusd_perp,1585699200245000,1585699200355684,9,sell,6421.5,18\n"
    (batch,) = parse(tmp_path, "a.csv", text)
    assert (str(batch.series), batch.volume_unit) == ("binance inverse BTCUSD_PERP trades tick", VolumeUnit.CONTRACTS)
    assert rows_of([batch]) == [(1_585_699_200_245_000, 6421.5, 18.0, True, "9")]
    text = f"{first},ask_amount,ask_price,bid_price,bid_amount\nbybit-spot,BTCUSDT,1585699200245000,1585699200355684,1,101,100,2\n"
    (batch,) = parse(tmp_path, "a.csv", text)
    assert (str(batch.series), rows_of([batch])) == (
        "bybit spot BTCUSDT quotes tick",
        [(1_585_699_200_245_000, 100.0, 2.0, 101.0, 1.0, None)],
    )
    with pytest.raises(SchemaMismatchError, match="a table of tardis that is not stored .funding_timestamp"):
        parse(tmp_path, "a.csv", f"{first},funding_timestamp,funding_rate\nbybit,BTCUSD,1,1,1,1\n")
    with pytest.raises(SchemaMismatchError, match="state it with --market"):
        parse(tmp_path, "a.csv", f"{first},id,side,price,amount\nkraken-thing,X,1585699200245000,1,9,sell,1,1\n")


@pytest.mark.parametrize(
    ("exchange", "symbol", "market"),
    [
        ("bybit", "BTCUSD", ("bybit", "inverse")),
        ("bybit", "BTCUSDT", ("bybit", "linear")),
        ("okex-swap", "BTC-USD-SWAP", ("okx", "inverse")),
        ("okex-futures", "BTC-USDT-240628", ("okx", "linear")),
        ("deribit", "BTC-PERPETUAL", ("deribit", "inverse")),
        ("deribit", "ETH_USDC-PERPETUAL", ("deribit", "linear")),
        ("deribit", "BTC-27JUN25-60000-C", ("deribit", "option")),
        ("huobi-dm", "BTC", ("huobi_dm", None)),
    ],
)
def test_exchanges_of_tardis_are_ours_with_their_market(exchange, symbol, market):
    assert tardis.market_of(exchange, symbol) == market


def test_messages_of_a_book_keep_their_numbers_across_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_rows, "BLOCK_BYTES", 200)
    monkeypatch.setattr(csv_rows.read_blocks, "__kwdefaults__", {**csv_rows.read_blocks.__kwdefaults__, "block_bytes": 200})
    rows = [(1 + index // 7, index) for index in range(50)]
    text = "symbol,timestamp,first_update_id,last_update_id,side,update_type,price,qty,pu\n"
    text += "".join(f"BTCUSDT,{1667346579000 + message},{message},{message},b,set,{100 + index},1,-1\n" for message, index in rows)
    batches = parse(tmp_path, "binance/um/T_DEPTH/BTCUSDT.csv", text)
    assert len(batches) > 3
    assert [row[1] for row in rows_of(batches)] == [message for message, _ in rows]
    assert rows_of(batches)[0] == (1_667_346_579_001_000, 1, False, True, 100.0, 1.0, 1, 1, None)
    assert [number for batch in batches for number in batch.extra.column("row").to_pylist()] == list(range(1, 51))


def test_a_thin_tardis_snapshot_has_only_the_levels_it_has(tmp_path):
    header = "exchange,symbol,timestamp,local_timestamp,asks[0].price,asks[0].amount,bids[0].price,bids[0].amount,asks[1].price,asks[1].amount,bids[1].price,bids[1].amount"
    text = f"{header}\nbinance,BTCUSDT,1598918403696000,1598918403810979,101,1,100,2,102,3,,\n"
    (batch,) = parse(tmp_path, "a.csv", text)
    assert [row[1:6] for row in rows_of([batch])] == [
        (1, True, True, 100.0, 2.0),
        (1, True, False, 101.0, 1.0),
        (1, True, False, 102.0, 3.0),
    ]


def test_lean_days_are_milliseconds_since_midnight(tmp_path):
    name = "Data/cryptofuture/bybit/minute/btcusdt/20221213_trade.zip"
    (batch,) = parse(
        tmp_path, name, zipped("20221213_btcusdt_minute_trade.csv", "0,17194,17199.5,17193.5,17199,78.677\n60000,1,2,1,1,5\n")
    )
    assert str(batch.series) == "bybit linear BTCUSDT candles 1m"
    assert rows_of([batch])[0][:6] == (1_670_889_600_000, 17194.0, 17199.5, 17193.5, 17199.0, 78.677)
    name = "Data/crypto/bybit/minute/btcusdt/20221213_quote.zip"
    (batch,) = parse(tmp_path, name, zipped("20221213_btcusdt_minute_quote.csv", "60000,1,2,3,4,5,6,7,8,9,10\n"))
    assert str(batch.series) == "bybit spot BTCUSDT quote_candles 1m"
    assert rows_of([batch]) == [(1_670_889_660_000, 1.0, 2.0, 3.0, 4.0, 6.0, 7.0, 8.0, 9.0, 5.0, 10.0)]
    (batch,) = parse(tmp_path, "Data/crypto/binance/hour/ethusdt_trade.csv", "20221213 01:00,1,2,1,1,5\n")
    assert (str(batch.series), rows_of([batch])[0][0]) == ("binance spot ETHUSDT candles 1h", 1_670_893_200_000)


def test_lean_rates_without_a_telling_name_ask_whose_they_are(tmp_path):
    with pytest.raises(SchemaMismatchError, match="state it with --exchange"):
        parse(tmp_path, "btcusdt.csv", "20221213 08:00:00,-0.00022398\n")
    (batch,) = parse(tmp_path, "Data/cryptofuture/bybit/margin_interest/btcusdt.csv", "20221213 08:00:00,-0.00022398\n")
    assert (str(batch.series), rows_of([batch])) == (
        "bybit linear BTCUSDT funding tick",
        [(1_670_918_400_000, -0.00022398, None, None)],
    )


def freqtrade_table(**columns) -> bytes:
    buffer = io.BytesIO()
    dates = pa.array([1_704_067_200_000, 1_704_096_000_000], pa.timestamp("ms", "UTC"))
    pa.feather.write_feather(pa.table({"date": dates, **{name: pa.array(values) for name, values in columns.items()}}), buffer)
    return buffer.getvalue()


def test_freqtrade_keeps_funding_rates_in_open_and_their_interval_is_not_taken(tmp_path):
    content = freqtrade_table(open=[0.0001, -0.0002], high=[0.0, 0.0], low=[0.0, 0.0], close=[0.0, 0.0], volume=[0.0, 0.0])
    (batch,) = parse(tmp_path, "user_data/data/binance/futures/BTC_USDT_USDT-8h-funding_rate.feather", content)
    assert str(batch.series) == "binance linear BTCUSDT funding tick"
    assert rows_of([batch]) == [(1_704_067_200_000, 0.0001, None, None), (1_704_096_000_000, -0.0002, None, None)]


def test_freqtrade_bars_are_of_the_market_that_the_name_says(tmp_path):
    content = freqtrade_table(open=[1.0, 2.0], high=[1.0, 2.0], low=[1.0, 2.0], close=[1.0, 2.0], volume=[5.0, 6.0])
    for name, series in (
        ("data/bybit/futures/ETH_USDT_USDT-8h-futures.feather", "bybit linear ETHUSDT candles 8h"),
        ("data/bybit/futures/ETH_USDT_USDT-8h-mark.feather", "bybit linear ETHUSDT mark 8h"),
        ("data/bybit/futures/BTC_USD_BTC-8h-futures.feather", "bybit inverse BTCUSD candles 8h"),
        ("data/binance/ETH_BTC-8h.feather", "binance spot ETHBTC candles 8h"),
    ):
        (batch,) = parse(tmp_path, name, content)
        assert str(batch.series) == series
        assert rows_of([batch])[0][:5] == (1_704_067_200_000, 1.0, 1.0, 1.0, 1.0)
    with pytest.raises(SchemaMismatchError, match="state it with --exchange"):
        parse(tmp_path, "ETH_BTC-8h.feather", content)
