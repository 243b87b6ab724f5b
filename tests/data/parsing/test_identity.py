from __future__ import annotations

import pytest

from backtester.data.kinds import VolumeUnit
from backtester.data.parsing.hint import Hint
from backtester.data.parsing.identity import About, about_path, series_for, unit_for
from backtester.data.parsing.period import named_period_ms
from backtester.data.series import series_of
from backtester.domain.errors import ConfigError, SchemaMismatchError


@pytest.mark.parametrize(
    ("name", "about"),
    [
        ("candles/binance_um/BTCUSDT_1m.parquet", About("candles", "binance", "linear", "BTCUSDT", "1m")),
        ("x/mark/bybit_linear/ETHUSDT_1h.parquet", About("mark", "bybit", "linear", "ETHUSDT", "1h")),
        ("funding/binance_um/BTCUSDT_2026.parquet", About("funding", "binance", "linear", "BTCUSDT", None)),
        ("funding/binance_cm/BTCUSD_PERP.parquet", About("funding", "binance", "inverse", "BTCUSD_PERP", None)),
        ("quotes/bybit_spot/BTCUSDT_bbo1m_2022-12-13.parquet", About("quote_candles", "bybit", "spot", "BTCUSDT", "1m")),
        ("quotes/binance_um/BTCUSDT_bbo_2024-08-08.parquet", About("quotes", "binance", "linear", "BTCUSDT", None)),
        ("raw/bybit/orderbook/linear/XRPUSDT/a.zip", About(None, "bybit", "linear", None, None)),
        ("candles/nobodys_spot/BTCUSDT_1m.csv", About("candles", "nobodys", "spot", "BTCUSDT", "1m")),
        ("home/my_spot/c.csv", About()),
        ("binance_um.csv", About()),
        ("DATA.csv", About()),
        ("BTCUSDT_5m.csv", About(None, None, None, "BTCUSDT", "5m")),
        ("C:\\candles\\okx_spot\\BTCUSDT_1d_2020.csv", About("candles", "okx", "spot", "BTCUSDT", "1d")),
    ],
)
def test_a_path_says_what_its_folders_and_its_name_say_and_no_more(name, about):
    assert about_path(name) == about


def test_what_is_not_said_is_asked_for_by_the_name_of_its_option():
    about = About("candles", "binance", "linear", "BTCUSDT", "1m")
    for field, option in (
        ("kind", "--kind"),
        ("exchange", "--exchange"),
        ("market", "--market"),
        ("symbol", "--symbol"),
        ("timeframe", "--timeframe"),
    ):
        with pytest.raises(SchemaMismatchError, match=f"a.csv: nothing in its name or content says .*; state it with {option}"):
            series_for(about._replace(**{field: None}), Hint(), file="a.csv")


def test_what_is_stated_fills_and_never_contradicts():
    hint = Hint(exchange="nobody_1", market="spot", symbol="BTCUSDT", timeframe="60m", network="testnet")
    expected = series_of(exchange="nobody_1", market="spot", symbol="BTCUSDT", timeframe="1h", network="testnet")
    assert series_for(About("candles"), hint, file="a.csv") == expected
    assert series_for(About("candles", timeframe="1h"), hint, file="a.csv") == expected
    for found in (
        About("candles", exchange="binance"),
        About("candles", market="linear"),
        About("candles", symbol="ETHUSDT"),
        About("candles", timeframe="5m"),
    ):
        with pytest.raises(SchemaMismatchError, match="by its path or content, but --"):
            series_for(found, hint, file="a.csv")
    with pytest.raises(ConfigError, match="'A B' is not a name"):
        series_for(About("trades", "A B", "spot", "BTCUSDT"), Hint(), file="a.csv")


def test_a_volume_unit_is_the_formats_else_the_stated_else_base():
    assert unit_for(About(), Hint(), file="a") is VolumeUnit.BASE
    assert unit_for(About(), Hint(volume_unit="contracts"), file="a") is VolumeUnit.CONTRACTS
    assert unit_for(About(volume_unit=VolumeUnit.QUOTE), Hint(volume_unit="quote"), file="a") is VolumeUnit.QUOTE
    with pytest.raises(SchemaMismatchError, match="its sizes count quote, but --volume-unit says base"):
        unit_for(About(volume_unit=VolumeUnit.QUOTE), Hint(volume_unit="base"), file="a")


@pytest.mark.parametrize(
    ("name", "period"),
    [
        ("x/BTCUSDT-1m-2024-02.csv", (1_706_745_600_000, 1_709_251_200_000)),
        ("BTCUSDT_1m_2022-12-13.parquet", (1_670_889_600_000, 1_670_976_000_000)),
        ("20221213_trade.zip", (1_670_889_600_000, 1_670_976_000_000)),
        ("BTCUSDT_1d_2020.parquet", (1_577_836_800_000, 1_609_459_200_000)),
        ("BTCUSDT_2024-12.csv", (1_733_011_200_000, 1_735_689_600_000)),
        ("2024-01-01/BTCUSDT_1m.csv", None),
        ("a_2024-01-01_2024-01-31.csv", None),
        ("a_2023-02-30.csv", None),
        ("order_120240101.csv", None),
    ],
)
def test_a_name_says_the_period_of_its_file(name, period):
    assert named_period_ms(name) == period
