"""From what was typed to a run's directory."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

from backtester.audit.journal import JOURNAL_NAME
from backtester.audit.run_index import nearest_run
from backtester.audit.run_store import MANIFEST_NAME, RunDir
from backtester.cli.settings import DATA_VARIABLE
from backtester.domain.errors import ConfigError


def runs_directory(options: Namespace) -> Path:
    """--output, else `run.output` of configs/backtest.toml."""
    return Path(options.output) if options.output is not None else default_runs_directory()


def default_runs_directory() -> Path:
    """`run.output` of configs/backtest.toml."""
    from backtester.config.loading import defaults_layer
    from backtester.config.run_config import RunSection

    return Path(defaults_layer(Path()).sections.get("run", {}).get("output", RunSection().output))


def run_directory(word: str, runs: Path) -> Path:
    """The directory of a run that is named by its path, or by its id in `runs`. Raises ConfigError with the nearest id."""
    for path in (Path(word), runs / word):
        if (path / MANIFEST_NAME).is_file() or (path / JOURNAL_NAME).is_file():
            return path
    parent, name = (Path(word).parent, Path(word).name) if "/" in word else (runs, word)
    near = nearest_run(parent, name)
    hint = f"; did you mean {parent / near if '/' in word else near}?" if near else "; `bt runs` lists what there is"
    raise ConfigError(f"{word} is no run: neither a run's directory nor an id in {runs}{hint}")


def chosen_data(options: Namespace, run: Path) -> Path | None:
    """--data; else the catalog that the run names (None); BT_DATA only where that one is gone."""
    if options.data is not None:
        return Path(options.data)
    elsewhere = os.environ.get(DATA_VARIABLE)
    stored = RunDir(run).read_manifest().data_path
    gone = bool(stored) and not stored.startswith("s3:") and not Path(stored).is_dir()
    return Path(elsewhere) if elsewhere and gone else None


def whole_number(text: str | None, option: str, *, least: int) -> int | None:
    """The number that was given to an option, None where none was. Raises ConfigError when it is none, or below `least`."""
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise ConfigError(f"{option} {text!r} is not a whole number of at least {least}")
    return int(text)
