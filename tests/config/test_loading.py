from __future__ import annotations

from decimal import Decimal, localcontext
from pathlib import Path

import pytest

from backtester.config.files import PACKAGED
from backtester.config.loading import LoadedConfig, RunRequest, load_run_config
from backtester.config.run_config import RunConfig, SimSection, StrategySection
from backtester.config.writing import config_hash, dump_toml
from backtester.domain.errors import ConfigError

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "configs").mkdir()
    return tmp_path


def write(place: Path, name: str, text: str) -> Path:
    path = place / name
    path.write_text(text)
    return path


def load(place: Path, **request) -> LoadedConfig:
    request.setdefault("strategy", "file.py")
    return load_run_config(RunRequest(directory=place, **request))


def test_the_packaged_defaults_are_those_of_the_checkout_and_of_the_code(place):
    assert (PACKAGED / "backtest.toml").read_text() == (REPOSITORY / "configs/backtest.toml").read_text()
    here, outside = load(REPOSITORY).config, load(place).config
    assert here == outside == RunConfig(strategies=(StrategySection(name="file.py"),))


def test_every_layer_beats_the_one_below_it(place):
    write(
        place,
        "configs/backtest.toml",
        "[sim]\nslippage_bps = 1\nspread_bps = 1\nwork_bars = 1\norder_latency_ms = 1\ncancel_latency_ms = 1",
    )
    write(
        place,
        "configs/mine.toml",
        "[info]\nname='mine'\n[params]\na=2\nb=2\nc=2\nd=2\n[sim]\nspread_bps = 2\nslippage_bps = 2\nwork_bars = 2\norder_latency_ms = 2",
    )
    run = write(
        place,
        "run.toml",
        "[[strategies]]\nname='mine'\n[strategies.params]\nb=3\nc=3\nd=3\n[sim]\nwork_bars = 3\nspread_bps = 3\nslippage_bps = 3",
    )
    config = load(
        place,
        strategy=None,
        config_file=run,
        settings=("sim.slippage_bps=4", "sim.spread_bps=4", "params.c=4", "params.d=4"),
        flags=(("--slippage", "sim.slippage_bps", "5"),),
        params={"d": 5},
    ).config
    assert (config.sim.slippage_bps, config.sim.spread_bps, config.sim.work_bars) == (5, 4, 3)
    assert (config.sim.order_latency_ms, config.sim.cancel_latency_ms) == (2, 1)
    assert config.strategies == (StrategySection(name="mine", params={"a": 2, "b": 3, "c": 4, "d": 5}),)


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".toml", "[params]\nfast = 7\nwhen = 2025-05-05\nnone = 'x'\n[run]\nstart = 2025-05-05"),
        (".yaml", "params:\n  fast: 7\n  when: 2025-05-05\n  none: x\nrun:\n  start: 2025-05-05\n"),
        (".yml", "params: {fast: 7, when: 2025-05-05, none: x}\nrun: {start: 2025-05-05}\nrisk: {price_collar_bps: off}"),
        (".json", '{"params": {"fast": 7, "when": "2025-05-05", "none": "x", "gone": null}, "run": {"start": "2025-05-05"}}'),
    ],
)
def test_strategy_configurations_load_from_every_format(place, suffix, text):
    write(place, f"configs/mine{suffix}", text)
    config = load(place, strategy="mine").config
    assert config.strategies[0].params == {"fast": 7, "when": "2025-05-05", "none": "x"}
    assert config.run.start == "2025-05-05"
    assert config.risk.price_collar_bps == (None if suffix == ".yml" else 500)


def test_a_configuration_can_name_the_class_that_its_name_stands_for(place):
    write(place, "configs/mine.toml", "[info]\nstrategy = 'my.py:Cross'\n[params]\nfast = 3")
    (section,) = load(place, strategy="mine").config.strategies
    assert section == StrategySection(name="my.py:Cross", strategy_id="mine", params={"fast": 3})


def test_either_way_of_stating_fees_replaces_the_other(place):
    write(place, "configs/backtest.toml", "[sim]\nmaker_bps = 1\ntaker_bps = 2")
    sim = load(place, flags=(("--fees", "sim.fee_bps", "7"),)).config.sim
    assert (sim.fee_bps, sim.maker_bps, sim.taker_bps) == (7, None, None)
    sim = load(place, settings=("sim.taker_bps=3",)).config.sim
    assert (sim.fee_bps, sim.maker_bps, sim.taker_bps) == (None, 1, 3)
    write(place, "configs/backtest.toml", "[sim]\nfee_bps = 1")
    sim = load(place, settings=("sim.taker_bps=3",)).config.sim
    assert (sim.fee_bps, sim.maker_bps, sim.taker_bps) == (None, None, 3)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("sim.slippage_bps=0", "sim.slippage_bps", Decimal(0)),
        ("sim.slippage_bps=0.1", "sim.slippage_bps", Decimal("0.1")),
        ("sim.slippage_bps='0.1'", "sim.slippage_bps", Decimal("0.1")),
        ("run.timeframe=4h", "run.timeframe", "4h"),
        ("run.start=2025-05-05", "run.start", "2025-05-05"),
        ("run.seed = 9", "run.seed", 9),
        ("run.symbols=['A', 'B']", "run.symbols", ("A", "B")),
        ("end.close=true", "end.close", True),
        ("risk.price_collar_bps=off", "risk.price_collar_bps", None),
        ("run.output=a = b", "run.output", "a = b"),
    ],
)
def test_settings_are_toml_values_or_text(place, text, key, value):
    section, name = key.split(".")
    assert getattr(getattr(load(place, settings=(text,)).config, section), name) == value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("run.toml", "[sim\n", r"run.toml: malformed TOML: .*line 1, column 5"),
        ("run.toml", "[sim]\nwork_bars = 1\nwork_bars = 2", "run.toml: malformed TOML: Cannot overwrite"),
        ("run.json", '{"sim": {"work_bars": }}', r"run.json: malformed JSON: .*line 1, column 23"),
        ("run.json", '{"sim": {"work_bars": 1, "work_bars": 2}}', "run.json: key 'work_bars' is written twice"),
        ("run.yaml", "sim:\n  a: [", r"run.yaml: malformed YAML: .*line 2, column \d"),
        ("run.yaml", "sim: {work_bars: 1, work_bars: 2}", "run.yaml: key 'work_bars' is written twice"),
        ("run.yaml", "- 1", "run.yaml: must hold tables"),
        ("run.ini", "[sim]", r"run.ini: a configuration ends in one of \.toml"),
        ("run.toml", "[smi]\nwork_bars = 1", r"run.toml: unknown section 'smi'; did you mean 'sim'\?"),
        ("run.toml", "sim = 3", r"run.toml: sim must be a table \[sim\], it is 3"),
        ("run.toml", "[sim]\nslipage_bps = 1", r"run.toml: \[sim\]: unknown key 'slipage_bps'; did you mean 'slippage_bps'\?"),
        ("run.toml", "[sim]\nwork_bars = '3'", r"run.toml: sim.work_bars: Expected `int`, got `str`"),
        ("run.toml", "[sim]\nslippage_bps = 'much'", r"run.toml: sim.slippage_bps: Invalid decimal"),
        ("run.toml", "[sim]\nlimit_fill = 'touches'", r"run.toml: sim.limit_fill: .*allowed: through, touch"),
        ("run.toml", "[sim]\nwork_bars = 0", r"run.toml: sim.work_bars must be at least 1; it is 0"),
        ("run.toml", "[sim]\nspread_bps = nan", r"run.toml: sim.spread_bps must be between 0 and 10000 basis points; it is NaN"),
        ("run.toml", "[sim]\norder_latency_ms = -1", r"run.toml: sim.order_latency_ms must not be negative"),
        ("run.toml", "[sim]\nfee_bps = 1\nmaker_bps = 1", r"run.toml: sim.fee_bps excludes"),
        ("run.toml", "[account]\nstarting_cash = 0", r"run.toml: account.starting_cash must be above 0"),
        ("run.toml", "[account]\nsnapshot_every = '7m'", r"run.toml: timeframe '7m' does not divide a day"),
        ("run.toml", "[risk]\ndaily_loss_limit = 2", r"run.toml: risk.daily_loss_limit is a fraction"),
        ("run.toml", "[run]\nsymbols = ['A', 'A']", r"run.toml: run.symbols names a symbol twice; it is A"),
        ("run.toml", "[run]\ntimeframe = '1x'", r"run.toml: timeframe '1x' is not known"),
        ("run.toml", "strategies = 3", r"run.toml: strategies must be a list of tables"),
        ("run.toml", "[[strategies]]\nnmae = 'x'", r"run.toml: \[\[strategies\]\]: unknown key 'nmae'; did you mean 'name'\?"),
        ("run.toml", "[[strategies]]\nname = 3", r"run.toml: strategies.name: Expected `str`, got `int`"),
        (
            "run.toml",
            "[params]\nx = 1\n[[strategies]]\nname = 'a'\n[[strategies]]\nname = 'b'",
            r"run.toml: \[params\]: the run has 2 strategies",
        ),
    ],
)
def test_a_faulty_file_is_named_with_its_key(place, name, text, message):
    path = write(place, name, text)
    strategy = None if "strategies" in text else "file.py"
    with pytest.raises(ConfigError, match=message):
        load(place, config_file=path, strategy=strategy)


def test_files_that_cannot_be_read_are_named(place):
    with pytest.raises(ConfigError, match="gone.toml: no such configuration file"):
        load(place, config_file=place / "gone.toml")
    (place / "raw.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(ConfigError, match="raw.toml: is not UTF-8"):
        load(place, config_file=place / "raw.toml")
    (place / "dir.toml").mkdir()
    with pytest.raises(ConfigError, match="dir.toml: cannot be read"):
        load(place, config_file=place / "dir.toml")


@pytest.mark.parametrize(
    ("request_keys", "message"),
    [
        ({"settings": ("sim",)}, "is not section.key=value"),
        ({"settings": ("smi.work_bars=1",)}, r"--set smi.work_bars=1: unknown section 'smi'; did you mean 'sim'\?"),
        ({"settings": ("sim.workbars=1",)}, r"did you mean 'work_bars'\?"),
        ({"settings": ("sim.work_bars=many",)}, "--set sim.work_bars=many: sim.work_bars: Expected `int`"),
        ({"flags": (("--cash", "account.starting_cash", "lots"),)}, "--cash: account.starting_cash: Invalid decimal"),
        ({"flags": (("--cash", "account.starting_cash", "-5"),)}, "--cash: account.starting_cash must be above 0; it is -5"),
        ({"strategy": None}, "no strategy given"),
    ],
)
def test_a_faulty_option_is_named(place, request_keys, message):
    with pytest.raises(ConfigError, match=message):
        load(place, **request_keys)


def test_two_configurations_of_one_name_are_refused(place):
    write(place, "configs/mine.toml", "")
    write(place, "configs/mine.json", "{}")
    with pytest.raises(ConfigError, match=r"mine.toml and mine.json both configure mine"):
        load(place, strategy="mine")


def test_a_strategy_file_takes_no_configuration_that_happens_to_share_its_name(place):
    write(place, "configs/backtest.toml", "[sim]\nwork_bars = 9")
    assert load(place, strategy="backtest.py").config.strategies[0].params == {}
    assert load(place, strategy="backtest").config.sim.work_bars == 9


def test_the_data_directory_is_explicit_when_an_option_or_the_environment_names_it(place):
    assert not load(place).data_explicit
    assert load(place, data_dir="here") == load(place, flags=(("--data", "data.data_path", "here"),))
    assert load(place, data_dir="here").data_explicit
    assert load(place, settings=("data.data_path=here",)).data_explicit
    assert not load(place, config_file=write(place, "run.toml", "[data]\ndata_path = 'here'")).data_explicit


def test_a_resolved_configuration_takes_nothing_from_the_files_around_it(place):
    write(place, "configs/backtest.toml", "[sim]\nfee_bps = 9\nwork_bars = 9")
    write(place, "configs/mine.toml", "[params]\nslow = 9")
    text = "[data]\nsource = 'catalog'\ndata_path = '/d'\n[run]\ntimeframe = '1h'\n[[strategies]]\nname = 'mine'\ntimeframe = '1h'\n[strategies.params]\nfast = 1"
    run = write(place, "run.toml", text)
    loaded = load(place, config_file=run, strategy=None, data_dir="/elsewhere")
    config = loaded.config
    assert (config.sim.fee_bps, config.sim.work_bars, config.data.data_path) == (None, 60, "/d")
    assert config.strategies[0].params == {"fast": 1}
    assert not loaded.data_explicit
    again = load(place, config_file=run, strategy=None, params={"timeframe": "4h"}).config
    assert (again.run.timeframe, again.strategies[0].timeframe) == ("", ""), "a new parameter beats the old decision"
    again = load(place, config_file=run, strategy=None, flags=(("--timeframe", "run.timeframe", "4h"),)).config
    assert (again.run.timeframe, again.strategies[0].timeframe) == ("4h", "")


def test_a_dumped_configuration_loads_back_equal_and_has_the_same_hash(place):
    config = load(
        place,
        settings=(
            "risk.price_collar_bps=off",
            "sim.fee_bps=0.25",
            "account.starting_cash='1234567890123.12345678'",
            "data.source=sample",
        ),
        params={"fast": 3, "ratio": 0.1, "names": ["a"], "table": {"x": None, "y": 1}},
    ).config
    path = write(place, "dumped.toml", dump_toml(config))
    again = load(place, config_file=path, strategy=None).config
    assert again == load(place, config_file=write(place, "twice.toml", dump_toml(again)), strategy=None).config
    assert again.sim == config.sim
    assert again.risk == config.risk
    assert again.account == config.account
    assert again.strategies[0].params == {"fast": 3, "ratio": 0.1, "names": ["a"], "table": {"y": 1}}
    assert "daily_loss_limit" not in path.read_text()
    assert config_hash(again) == config_hash(load(place, config_file=path, strategy=None).config)


def test_equal_numbers_are_one_configuration_however_they_are_written():
    spellings = (Decimal(10), Decimal("10.0"), Decimal("1E+1"), 10, 10.0, "10")
    assert {str(SimSection(slippage_bps=spelling).slippage_bps) for spelling in spellings} == {"10"}
    with localcontext() as hostile:
        hostile.prec = 1
        assert str(SimSection(slippage_bps=Decimal("12.340")).slippage_bps) == "12.34"
    with pytest.raises(ConfigError, match="slippage_bps must be a number; it is 'ten'"):
        SimSection(slippage_bps="ten")


def test_the_hash_knows_what_decides_the_result_and_nothing_else(place):
    base = config_hash(load(place).config)
    for text in ("data.data_path=x", "run.output=x", "engine.routing=broadcast"):
        assert config_hash(load(place, settings=(text,)).config) == base
    for text in ("run.seed=1", "sim.slippage_bps=1.5", "params.x=1", "end.close=true", "risk.price_collar_bps=off"):
        assert config_hash(load(place, settings=(text,)).config) != base
    assert config_hash(load(place, settings=("sim.slippage_bps='1.0'",)).config) == base
    assert config_hash(load(place, strategy="elsewhere/file.py").config) == base
    assert config_hash(load(place, strategy="other.py").config) != base
