from __future__ import annotations

import csv
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from backtester.config.files import PACKAGED
from backtester.config.instruments import instrument_rows, load_specs
from backtester.config.sample_symbols import base_and_quote, sample_symbol
from backtester.domain.errors import ConfigError
from backtester.domain.instruments import SymbolSpec
from backtester.domain.timeframe import parse_time_ms
from backtester.domain.vocabulary import Market
from tests.support.shared_data import SHARED, needs_shared

BASES = ("BTC", "ETH", "SOL", "BNB", "XRP", "LTC", "ADA", "DOGE", "LINK", "AVAX", "DOT", "NEAR")
MARKETS = (("binance", "spot"), ("binance", "linear"), ("bybit", "spot"), ("bybit", "linear"))
EXAMPLE = Path(__file__).resolve().parents[2] / "configs/instruments.toml"
SHIPPED = PACKAGED / "venue_instruments.toml"
ROW = """
[[instruments]]
symbol = "BTCUSDT"
exchange = "binance"
market = "linear"
base = "BTC"
quote = "USDT"
tick_size = 0.5
lot_size = "0.01"
min_qty = "0.01"
source = "mine"
"""


def shipped(exchange: str, market: str, base: str) -> SymbolSpec:
    name = f"{base}USDT"
    return load_specs([(name, exchange, market, name)], user_file=None).at(name, 0)


def user_file(directory: Path, text: str) -> Path:
    path = directory / "instruments.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(("exchange", "market"), MARKETS)
@pytest.mark.parametrize("base", BASES)
def test_every_promised_instrument_is_shipped_with_source_and_date(exchange: str, market: str, base: str) -> None:
    spec = shipped(exchange, market, base)
    assert (spec.base, spec.quote, spec.market) == (base, "USDT", Market(market))
    assert spec.valid_from_ms == parse_time_ms("2022-01-01")
    assert "read 2026-11-21" in spec.source
    assert spec.min_qty >= spec.lot_size


@pytest.mark.parametrize(
    ("exchange", "market", "base", "tick", "lot", "min_qty", "max_qty", "min_notional", "max_notional"),
    [
        ("binance", "spot", "BTC", "0.01", "0.00001", "0.00001", "9000", "5", "9000000"),
        ("binance", "spot", "ETH", "0.01", "0.0001", "0.0001", "9000", "5", "9000000"),
        ("binance", "linear", "BTC", "0.1", "0.001", "0.001", "1000", "100", None),
        ("binance", "linear", "ETH", "0.01", "0.001", "0.001", "10000", "20", None),
        ("binance", "linear", "SOL", "0.01", "0.01", "0.01", None, "5", None),
        ("bybit", "spot", "BTC", "0.1", "0.000001", "0.000011", "83", "5", "8000000"),
        ("bybit", "linear", "BTC", "0.1", "0.001", "0.001", "1190", "5", None),
        ("bybit", "linear", "ETH", "0.01", "0.01", "0.01", "7240", "5", None),
        ("bybit", "spot", "DOGE", "0.00001", "0.1", "3", None, "5", None),
    ],
)
def test_the_shipped_rules_are_those_of_the_venues(
    exchange: str,
    market: str,
    base: str,
    tick: str,
    lot: str,
    min_qty: str,
    max_qty: str | None,
    min_notional: str,
    max_notional: str | None,
) -> None:
    spec = shipped(exchange, market, base)
    assert (spec.tick_size, spec.lot_size, spec.min_qty, spec.min_notional) == tuple(
        map(Decimal, (tick, lot, min_qty, min_notional))
    )
    assert (spec.max_qty, spec.max_notional) == tuple(None if text is None else Decimal(text) for text in (max_qty, max_notional))


@pytest.mark.parametrize(
    ("exchange", "market", "base", "most"),
    [
        ("binance", "spot", "BTC", "128.52621715"),
        ("binance", "spot", "ETH", "3277.54882761"),
        ("binance", "linear", "BTC", "120"),
        ("bybit", "spot", "BTC", "41.5"),
        ("bybit", "linear", "BTC", "500"),
        ("bybit", "linear", "ETH", "724"),
    ],
)
def test_the_greatest_market_orders_of_shipped_instruments(exchange: str, market: str, base: str, most: str) -> None:
    assert shipped(exchange, market, base).max_market_qty == Decimal(most)


@needs_shared
def test_the_shipped_steps_are_those_of_the_source() -> None:
    kinds = {"crypto": "spot", "cryptofuture": "linear"}
    names = {f"{base}USDT" for base in BASES}
    checked = 0
    with (SHARED / "data/raw/lean/symbol_properties_binance_bybit.csv").open() as file:
        for row in csv.DictReader(file):
            if row["market"] in {"binance", "bybit"} and row["type"] in kinds and row["symbol"] in names:
                spec = shipped(row["market"], kinds[row["type"]], row["symbol"].removesuffix("USDT"))
                assert spec.tick_size == Decimal(row["minimum_price_variation"]), row
                assert spec.lot_size == Decimal(row["lot_size"]), row
                if row["market"] == "bybit":
                    assert spec.min_qty == Decimal(row["minimum_order_size"]), row
                checked += 1
    assert checked == len(BASES) * len(MARKETS)


def test_a_run_names_its_symbols_as_it_likes_and_keeps_their_order() -> None:
    refs = [("bybit.spot:BTCUSDT", "bybit", "spot", "BTCUSDT"), ("ETHUSDT", "binance", "linear", "ETHUSDT")]
    specs = load_specs(refs, user_file=None)
    assert list(specs) == ["bybit.spot:BTCUSDT", "ETHUSDT"]
    assert specs.at("bybit.spot:BTCUSDT", 0).exchange == "bybit"


@pytest.mark.parametrize(("exchange", "market"), [("binance", "linear"), ("nowhere", "linear"), ("binance", "inverse")])
def test_a_symbol_without_a_spec_is_refused_and_told_how_to_give_one(exchange: str, market: str) -> None:
    with pytest.raises(ConfigError, match=rf"no instrument spec for {exchange}\.{market}:FOOUSDT.*configs/instruments\.toml"):
        load_specs([("FOOUSDT", exchange, market, "FOOUSDT")], user_file=None)


def test_a_misspelt_symbol_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean binance\.linear:BTCUSDT\?"):
        load_specs([("BTCUSTD", "binance", "linear", "BTCUSTD")], user_file=None)


def test_the_users_rules_win_over_the_packaged_ones(tmp_path: Path) -> None:
    refs = [("BTCUSDT", "binance", "linear", "BTCUSDT"), ("ETHUSDT", "binance", "linear", "ETHUSDT")]
    specs = load_specs(refs, user_file=user_file(tmp_path, ROW))
    mine = specs.at("BTCUSDT", 0)
    assert (mine.tick_size, mine.min_notional, mine.source) == (Decimal("0.5"), 0, "mine")
    assert specs.at("ETHUSDT", 0) == shipped("binance", "linear", "ETH")


def test_the_users_rules_may_change_in_time_with_toml_or_text_dates(tmp_path: Path) -> None:
    text = ROW + "valid_to = 2024-03-01\n" + ROW.replace("0.5", "0.25") + 'valid_from = "2024-03-01"\n'
    specs = load_specs([("B", "binance", "linear", "BTCUSDT")], user_file=user_file(tmp_path, text))
    change_ms = parse_time_ms("2024-03-01")
    assert [specs.at("B", instant).tick_size for instant in (change_ms - 1, change_ms)] == [Decimal("0.5"), Decimal("0.25")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ROW + "tick = 1\n", "unknown field `tick`"),
        (ROW.replace('"linear"', '"futures"'), "Invalid enum value 'futures'"),
        (ROW.replace('source = "mine"', ""), "missing required field `source`"),
        (ROW.replace("0.5", "0"), "tick_size must be above 0"),
        (ROW.replace("0.5", "nan"), "tick_size must be above 0"),
        (ROW + 'valid_from = "soon"\n', "valid_from 'soon' is not an ISO date"),
        (ROW + ROW, "two specs are valid at 1970-01-01"),
        ("[instruments]\n", "array"),
        ("[[instrument]]\n", "unknown field `instrument`"),
        ("[[instruments]\n", "malformed TOML"),
    ],
)
def test_a_wrong_user_file_is_refused_with_its_name_and_reason(tmp_path: Path, text: str, message: str) -> None:
    path = user_file(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        instrument_rows(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_the_shipped_example_has_no_active_entry_and_is_valid_once_uncommented(tmp_path: Path) -> None:
    assert instrument_rows(EXAMPLE) == {}
    lines = EXAMPLE.read_text().splitlines()
    first = lines.index("# [[instruments]]")
    text = "\n".join(line.removeprefix("# ") for line in lines[first:])
    assert list(instrument_rows(user_file(tmp_path, text))) == [("binance", "spot", "PEPEUSDT")]


@pytest.mark.parametrize("market", ["spot", "linear"])
@pytest.mark.parametrize("name", ["BTCUSDT", "FOOUSDT", "WHATEVER"])
def test_the_sample_market_has_every_symbol(name: str, market: str) -> None:
    spec = load_specs([(name, "sample", market, name)], user_file=None).at(name, 0)
    assert spec.tick_size == sample_symbol(name).tick_size
    assert spec.source == "synthetic sample"
    assert (spec.base, spec.quote) == base_and_quote(name)


def test_the_sample_market_has_no_options() -> None:
    with pytest.raises(ConfigError, match="sample market has no option instruments"):
        load_specs([("BTCUSDT", "sample", "option", "BTCUSDT")], user_file=None)


def test_a_user_may_give_a_sample_symbol_its_rules(tmp_path: Path) -> None:
    path = user_file(tmp_path, ROW.replace('"binance"', '"sample"'))
    specs = load_specs([("BTCUSDT", "sample", "linear", "BTCUSDT")], user_file=path)
    assert specs.at("BTCUSDT", 0).tick_size == Decimal("0.5")


@pytest.mark.parametrize(
    ("name", "parts"),
    [("BTCUSDT", ("BTC", "USDT")), ("ETHBTC", ("ETH", "BTC")), ("USDT", ("USDT", "USDT")), ("GOLD", ("GOLD", "USDT"))],
)
def test_a_name_tells_its_assets(name: str, parts: tuple[str, str]) -> None:
    assert base_and_quote(name) == parts


def test_a_sample_symbol_without_a_row_is_a_plausible_function_of_its_name() -> None:
    for index in range(200):
        symbol = sample_symbol(f"COIN{index}USDT")
        assert 1_000 <= symbol.price * symbol.ticks_per_unit <= 100_000
        assert symbol.tick_size * symbol.ticks_per_unit == 1
        assert Decimal("0.01") <= Decimal(repr(symbol.price)) * symbol.lot_size <= 1
    assert sample_symbol("COIN0USDT").price != sample_symbol("COIN1USDT").price


def test_the_sample_trades_in_the_steps_of_the_usd_m_market() -> None:
    same = [base for base in BASES if sample_symbol(f"{base}USDT").tick_size == shipped("binance", "linear", base).tick_size]
    assert set(BASES) - set(same) == {"DOT"}


def test_the_packaged_tables_hold_numbers_as_text_so_that_they_stay_exact() -> None:
    rows = tomllib.loads(SHIPPED.read_text())["instruments"]
    assert all(isinstance(row[key], str) for row in rows for key in ("tick_size", "lot_size", "min_qty", "min_notional"))


def test_the_packaged_rules_which_a_run_believes_contradict_each_other_nowhere() -> None:
    rows = instrument_rows(SHIPPED)
    keys = [(f"{exchange}.{market}:{name}", exchange, market, name) for exchange, market, name in rows]
    assert set(load_specs(keys, user_file=None)) == {key for key, *_ in keys}
