from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from backtester.app.resolve import ResolvedRun, resolve
from backtester.config.run_config import DataSection, RunConfig, RunSection, StrategySection
from backtester.config.writing import config_hash, dump_toml
from backtester.data.catalog import Catalog
from backtester.data.columns import CandleColumns
from backtester.domain.errors import BacktesterError, ConfigError, DataUnavailableError
from backtester.domain.timeframe import parse_time_ms, timeframe_ms

STRATEGY = """
from backtester import Strategy, StrategyParams

class Idle(Strategy):
    class Params(StrategyParams, frozen=True):
        symbols: tuple[str, ...] = ()
        timeframe: str | None = None
        width: int = 3
        ratio: float = 1
        cap: int | None = 5
"""


@pytest.fixture
def idle(tmp_path: Path) -> Path:
    path = tmp_path / "idle.py"
    path.write_text(STRATEGY)
    return path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "data"


def store(base: Path, place: str, symbol: str, timeframe: str, start: str, bars: int, *, skip: range = range(0)) -> None:
    exchange, market = place.split(".")
    index = np.array([i for i in range(bars) if i not in skip], dtype=np.int64)
    price = np.full(len(index), 100.0)
    columns = CandleColumns(parse_time_ms(start) + index * timeframe_ms(timeframe), price, price, price, price, price)
    Catalog(base).write(exchange, market, symbol, timeframe, columns)


def run(idle: Path, base: Path, *symbols: str, explicit: bool = True, params: dict | None = None, **run_keys) -> ResolvedRun:
    section = StrategySection(name=str(idle), params=params or {})
    config = RunConfig(run=RunSection(symbols=symbols, **run_keys), data=DataSection(data_path=str(base)), strategies=(section,))
    return resolve(config, data_explicit=explicit)


def test_everything_left_open_is_decided_and_written_down(idle, base):
    store(base, "binance.linear", "BTCUSDT", "1m", "2025-05-01", 120)
    store(base, "binance.linear", "ETHUSDT", "1m", "2025-05-02", 180)
    resolved = run(idle, base, "ETHUSDT", "BTCUSDT")
    config = resolved.config
    assert config.run.symbols == ("ETHUSDT", "BTCUSDT")
    assert (config.run.exchange, config.run.market) == ("binance", "linear")
    assert (config.run.start, config.run.end) == ("2025-05-01 00:00:00", "2025-05-02 03:00:00")
    assert (config.run.timeframe, config.run.execution_timeframe) == ("1m", "1m")
    assert config.data.source == "catalog"
    assert Path(config.data.data_path).is_absolute()
    assert [ref.key for ref in resolved.refs] == ["ETHUSDT", "BTCUSDT"]
    (section,) = config.strategies
    assert section.name == f"{idle}:Idle"
    assert section.strategy_id == "idle"
    assert section.params == {"symbols": [], "width": 3, "ratio": 1.0, "cap": 5}


def test_a_resolved_configuration_resolves_to_itself(idle, base):
    store(base, "binance.linear", "BTCUSDT", "1m", "2025-05-01", 120)
    first = run(idle, base, "BTCUSDT", timeframe="5m")
    again = resolve(first.config, data_explicit=False).config
    assert again == first.config
    assert config_hash(again) == config_hash(first.config), "1 and 1.0 are equal, but not to the event stream"
    assert dump_toml(again) == dump_toml(first.config)


def test_symbols_may_come_from_the_strategys_parameters(idle, base):
    store(base, "binance.linear", "BTCUSDT", "1m", "2025-05-01", 60)
    assert run(idle, base, params={"symbols": ["BTCUSDT"]}).config.run.symbols == ("BTCUSDT",)
    with pytest.raises(ConfigError, match="no symbols given"):
        run(idle, base)


def test_the_only_market_that_holds_all_symbols_is_used(idle, base):
    store(base, "binance.linear", "BTCUSDT", "1m", "2025-05-01", 60)
    store(base, "bybit.linear", "BTCUSDT", "1m", "2025-05-01", 60)
    store(base, "bybit.linear", "ETHUSDT", "1m", "2025-05-01", 60)
    assert run(idle, base, "BTCUSDT", "ETHUSDT").config.run.exchange == "bybit"


def test_several_markets_are_listed_with_how_to_choose(idle, base):
    store(base, "binance.linear", "BTCUSDT", "1m", "2025-05-01", 60)
    store(base, "binance.spot", "BTCUSDT", "1m", "2025-05-01", 60)
    with pytest.raises(ConfigError, match="--exchange binance --market linear; --exchange binance --market spot"):
        run(idle, base, "BTCUSDT")
    assert run(idle, base, "BTCUSDT", market="spot").config.run.market == "spot"
    assert run(idle, base, "BTCUSDT", market="futures").config.run.market == "linear"
    assert run(idle, base, "binance.spot:BTCUSDT").refs[0] == ("BTCUSDT", "binance", "spot", "BTCUSDT")


def test_qualified_names_allow_two_markets_in_one_run(idle, base):
    store(base, "binance.linear", "BTCUSDT", "1m", "2025-05-01", 60)
    store(base, "binance.spot", "BTCUSDT", "1m", "2025-05-01", 60)
    resolved = run(idle, base, "binance.spot:BTCUSDT", "binance.linear:BTCUSDT")
    assert [ref.key for ref in resolved.refs] == ["binance.spot:BTCUSDT", "binance.linear:BTCUSDT"]
    assert (resolved.config.run.exchange, resolved.config.run.market) == ("binance", "")
    assert resolve(resolved.config, data_explicit=False).refs == resolved.refs


@pytest.mark.parametrize(
    ("symbols", "keys", "kind", "message"),
    [
        (
            ("BTCUSD",),
            {},
            DataUnavailableError,
            r"no candles of BTCUSD in .*Did you mean BTCUSDT\?.*Stored: .*BTCUSDT .binance linear 1m.*bt data import",
        ),
        (("btcusdt",), {}, DataUnavailableError, "Did you mean BTCUSDT"),
        (("BTCUSDT",), {"exchange": "bybit"}, DataUnavailableError, "on bybit.*stored on binance linear"),
        (("BTCUSDT", "XRPUSDT"), {}, DataUnavailableError, "no one market.*BTCUSDT on binance linear; XRPUSDT on bybit spot"),
        (("BTCUSDT",), {"market": "liner"}, ConfigError, "did you mean 'linear'"),
        (("binance:BTCUSDT",), {}, ConfigError, "EXCHANGE.MARKET:NAME"),
        (("binance.linear:BTCUSDT",), {"exchange": "bybit"}, ConfigError, "contradicts"),
        (("BTCUSDT", "binance.linear:BTCUSDT"), {}, ConfigError, "BTCUSDT twice"),
        (
            ("BTCUSDT",),
            {"start": "2025-05-02", "end": "2025-05-01"},
            ConfigError,
            "2025-05-02 00:00:00 is not before end 2025-05-01",
        ),
        (("BTCUSDT",), {"start": "2025-05-01", "end": "2025-05-01"}, ConfigError, "is not before"),
        (("BTCUSDT",), {"start": "soon"}, ConfigError, "start 'soon' is not an ISO date"),
        (
            ("BTCUSDT",),
            {"start": "2026-01-01"},
            DataUnavailableError,
            "no candles from 2026-01-01.*stored: BTCUSDT 1m 2025-05-01 00:00:00",
        ),
        (("BTCUSDT",), {"end": "2024-01-01"}, DataUnavailableError, "no candles from"),
        (("BTCUSDT",), {"start": "2025-05-01T00:10:10", "end": "2025-05-01T00:11:20"}, DataUnavailableError, "no candles from"),
        (("GAPUSDT",), {"start": "2025-05-01T00:20", "end": "2025-05-01T00:30"}, DataUnavailableError, "no candles from"),
        (("BTCUSDT",), {"timeframe": "90s"}, ConfigError, "90s is no multiple of the execution timeframe 1m; possible: 1m, 5m"),
        (("HOURUSDT",), {"execution_timeframe": "5m"}, ConfigError, "execution_timeframe 5m cannot be had.*use 1h"),
        (("THREEUSDT", "FIVEUSDT"), {}, DataUnavailableError, "no timeframe can be had of all symbols.*FIVEUSDT: 5m"),
    ],
)
def test_what_cannot_be_run_is_refused_in_words(idle, base, symbols, keys, kind, message):
    store(base, "binance.linear", "BTCUSDT", "1m", "2025-05-01", 60)
    store(base, "binance.linear", "HOURUSDT", "1h", "2025-05-01", 60)
    store(base, "binance.linear", "THREEUSDT", "3m", "2025-05-01", 60)
    store(base, "binance.linear", "FIVEUSDT", "5m", "2025-05-01", 60)
    store(base, "binance.linear", "GAPUSDT", "1m", "2025-05-01", 60, skip=range(10, 50))
    store(base, "binance.option", "BTC-OPT", "1m", "2025-05-01", 60)
    store(base, "bybit.spot", "XRPUSDT", "1m", "2025-05-01", 60)
    with pytest.raises(BacktesterError, match=message) as caught:
        run(idle, base, *symbols, **keys)
    assert type(caught.value) is kind


def test_execution_is_the_finest_common_timeframe_unless_another_stored_one_is_asked(idle, base):
    for symbol in ("BTCUSDT", "ETHUSDT"):
        store(base, "binance.linear", symbol, "5m", "2025-05-01", 60)
        store(base, "binance.linear", symbol, "1h", "2025-05-01", 60)
    store(base, "binance.linear", "BTCUSDT", "1m", "2025-05-01", 60)
    assert run(idle, base, "BTCUSDT", "ETHUSDT").config.run.execution_timeframe == "5m"
    coarse = run(idle, base, "BTCUSDT", "ETHUSDT", execution_timeframe="1h").config.run
    assert (coarse.execution_timeframe, coarse.timeframe) == ("1h", "1h")


def test_signals_follow_the_flag_then_the_parameter_then_the_finest(idle, base):
    store(base, "binance.linear", "BTCUSDT", "1m", "2025-05-01", 60)
    assert run(idle, base, "BTCUSDT").config.run.timeframe == "1m"
    own = run(idle, base, "BTCUSDT", params={"timeframe": "15m"}).config
    assert (own.run.timeframe, own.strategies[0].timeframe) == ("15m", "15m")
    asked = run(idle, base, "BTCUSDT", params={"timeframe": "15m"}, timeframe="4h").config
    assert asked.run.timeframe == "4h"
    assert asked.strategies[0].params["timeframe"] == "4h", "a strategy that reads its own parameter must see the flag"


def test_two_strategies_keep_their_own_timeframes_and_need_their_own_ids(idle, base):
    store(base, "binance.linear", "BTCUSDT", "1m", "2025-05-01", 60)
    pair = [StrategySection(name=str(idle), strategy_id=name, params={"timeframe": tf}) for name, tf in (("a", "1h"), ("b", "5m"))]
    config = RunConfig(run=RunSection(symbols=("BTCUSDT",)), data=DataSection(data_path=str(base)), strategies=tuple(pair))
    resolved = resolve(config, data_explicit=True).config
    assert [section.timeframe for section in resolved.strategies] == ["1h", "5m"]
    assert resolved.run.timeframe == "5m"
    assert resolve(resolved, data_explicit=True).config == resolved
    twins = msgspec.structs.replace(config, strategies=tuple(msgspec.structs.replace(one, strategy_id="") for one in pair))
    with pytest.raises(ConfigError, match="2 strategies have the id 'idle'"):
        resolve(twins, data_explicit=True)


def test_a_null_that_is_not_the_default_is_refused(idle, base):
    store(base, "binance.linear", "BTCUSDT", "1m", "2025-05-01", 60)
    with pytest.raises(ConfigError, match="'cap' cannot be null, its default is 5"):
        run(idle, base, "BTCUSDT", params={"cap": None})


def test_the_sample_stands_in_only_for_an_empty_catalog_that_nobody_named(idle, base):
    config = run(idle, base, "BTCUSDT", "ANYUSDT", explicit=False).config
    assert (config.data.source, config.run.exchange, config.run.market) == ("sample", "sample", "linear")
    assert (config.run.start, config.run.end) == ("2025-01-01 00:00:00", "2025-04-02 00:00:00")
    assert run(idle, base, "BTCUSDT", explicit=False, market="spot").config.run.market == "spot"
    with pytest.raises(DataUnavailableError, match="no candles of BTCUSDT in .* Stored: nothing.*bt data import"):
        run(idle, base, "BTCUSDT", explicit=True)
    with pytest.raises(DataUnavailableError, match="no candles of BTCUSDT on binance: the catalog .* is empty"):
        run(idle, base, "BTCUSDT", explicit=False, exchange="binance")
    store(base, "binance.linear", "ETHUSDT", "1m", "2025-05-01", 60)
    with pytest.raises(DataUnavailableError, match="no candles of BTCUSDT"):
        run(idle, base, "BTCUSDT", explicit=False)


def test_a_sample_run_stays_one_when_its_configuration_is_repeated_beside_real_candles(idle, base):
    config = run(idle, base, "BTCUSDT", explicit=False, start="2025-02-01", end="2025-02-03").config
    assert (config.run.start, config.run.end) == ("2025-02-01 00:00:00", "2025-02-03 00:00:00")
    store(base, "binance.linear", "BTCUSDT", "1m", "2025-02-01", 60)
    assert resolve(config, data_explicit=False).config == config
    named = resolve(config, data_explicit=True).config
    assert (named.data.source, named.run.exchange) == ("catalog", "binance")


def test_candles_that_were_only_in_memory_cannot_be_repeated(idle, base):
    config = RunConfig(
        data=DataSection(source="memory"), run=RunSection(symbols=("BTCUSDT",)), strategies=(StrategySection(name=str(idle)),)
    )
    with pytest.raises(ConfigError, match="handed over in Python"):
        resolve(config, data_explicit=False)
