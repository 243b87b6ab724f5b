"""The configuration that ships with a strategy says what the strategy does without it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import backtester.config
from backtester.strategy.base import build_params
from backtester.strategy.registry import BUILTIN, load_strategy

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGED = Path(backtester.config.__file__).parent / "defaults"


@pytest.mark.parametrize("name", BUILTIN)
def test_the_packaged_configuration_equals_the_one_of_the_checkout(name):
    assert (PACKAGED / f"{name}.toml").read_bytes() == (REPOSITORY / "configs" / f"{name}.toml").read_bytes()


@pytest.mark.parametrize("name", BUILTIN)
def test_the_shipped_parameters_are_the_defaults_of_the_strategy(name):
    config = tomllib.loads((PACKAGED / f"{name}.toml").read_text())
    strategy = load_strategy(name).strategy
    assert config["info"]["name"] == name
    assert config["info"]["description"]
    assert build_params(strategy, config["params"]) == strategy.Params()
