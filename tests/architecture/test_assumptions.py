"""What a run assumes stands in one table of docs/simulation.md and in the manifest, key by key, and nowhere is one missing."""

from __future__ import annotations

import re

import msgspec

from backtester.app.assumptions import ASSUMED, FEE_KEYS, MEANINGS, assumptions_in_force
from backtester.config.run_config import RunConfig
from tests.architecture.source_tree import ROOT

NO_ASSUMPTION = {
    "account.starting_cash": "what the user has",
    "account.snapshot_every": "how often is told what is",
    "data.data_path": "where candles are",
    "data.sample_seed": "which synthetic market",
    "data.sample_days": "how much of it",
    "data.source": "resolved; told by the manifest's data_source",
}
"""Settings that do not change how orders meet the market."""
HEADER = "| Situation | Rule | Change it | Modelled on |"
HINT = (
    "a setting that changes results needs a row in docs/simulation.md (column 'Change it') and one in ASSUMED (app/assumptions.py)"
)


def table_rows() -> list[list[str]]:
    """The cells of the table of assumptions."""
    text = (ROOT / "docs/simulation.md").read_text(encoding="utf-8")
    _, _, after = text.partition(HEADER + "\n")
    lines = after.split("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] if line.endswith("|") else [line] for line in lines]


def configured_keys() -> set[str]:
    config = RunConfig()
    sections = ("data", "sim", "account", "risk", "end")
    return {f"{name}.{field.name}" for name in sections for field in msgspec.structs.fields(getattr(config, name))}


def test_there_is_one_table_of_situations_and_every_row_has_its_four_cells() -> None:
    text = (ROOT / "docs/simulation.md").read_text(encoding="utf-8")
    assert text.count("| Situation |") == text.count(HEADER) == 1
    assert [row for row in table_rows() if len(row) != 4] == []


def test_every_setting_that_changes_results_stands_in_the_table_and_in_the_manifest() -> None:
    documented = {key for row in table_rows() for key in re.findall(r"\b(?:data|sim|account|risk|end)\.[a-z_]+", row[2])}
    in_force = {*ASSUMED, *FEE_KEYS}
    configured = configured_keys() - NO_ASSUMPTION.keys()
    assert configured - in_force == set(), HINT
    assert configured - documented == set(), HINT
    assert (in_force | documented) - configured == set(), "no such setting"


def test_a_manifest_says_what_each_setting_means_in_words() -> None:
    config = msgspec.convert(
        {
            "sim": {"limit_fill": "touch", "maker_bps": "-1", "taker_bps": "5"},
            "risk": {"daily_loss_limit": "0.02"},
            "end": {"close": True},
        },
        RunConfig,
        strict=False,
    )
    found = assumptions_in_force(config, ("BTCUSDT: fees maker -1 bps, taker 5 bps (configured)", "funding not charged"))
    by_setting = {one.setting: one.rule for one in found}
    assert by_setting["sim.limit_fill=touch"] == "fills when a bar reaches it"
    assert by_setting["end.close=true"] == "closed at the last closes with a taker's costs"
    assert by_setting["risk.max_open_orders=off"] == "no limit"
    assert by_setting["risk.daily_loss_limit=0.02"].startswith("a fraction of 0.02 of equity")
    assert by_setting["sim.maker_bps=-1, sim.taker_bps=5"].startswith("BTCUSDT: fees maker")
    assert by_setting[""] == "funding not charged"
    assert [one.setting.partition("=")[0] for one in found][: len(ASSUMED)] == list(ASSUMED)


def test_meanings_are_of_words_that_their_settings_can_have() -> None:
    for key, word in MEANINGS:
        if not word:
            continue
        section, _, name = key.partition(".")
        value = word == "true" if word in {"true", "false"} else word
        made = msgspec.convert({section: {name: value}}, RunConfig)
        assert getattr(getattr(made, section), name) == value
