from __future__ import annotations

import subprocess
import sys

import pytest

from backtester.cli.arguments import parse, run_parser
from backtester.domain.errors import ConfigError

ISSUE_OPTIONS = (
    "--strategy --symbols --exchange --market --start --end --timeframe --cash --leverage --params --fees --slippage "
    "--seed --data --output --run-id --config --set --scenarios --json --quiet --debug --version"
)


def test_the_bare_form_has_exactly_its_options():
    assert sorted(run_parser().option_names()) == sorted([*ISSUE_OPTIONS.split(), "--help"])


def test_symbols_take_several_words_and_set_repeats():
    options = parse(["--symbols", "A", "B", "--set", "sim.work_bars=1", "--set", "run.seed=2", "--strategy", "x"])
    assert options.command == "run"
    assert (options.symbols, options.set) == (["A", "B"], ["sim.work_bars=1", "run.seed=2"])


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("verify runs/x --data d", "verify"),
        ("--debug verify runs/x", "verify"),
        ("--quiet --debug data list", "data list"),
        ("data --data here list", "data list"),
        ("data import f.csv --exchange e --market spot --symbol S --timeframe 1m", "data import"),
        ("strategies sma_extended --json", "strategies"),
        ("new x.py", "new"),
    ],
)
def test_commands_are_found_beside_options_that_stand_everywhere(words, command):
    assert parse(words.split()).command == command


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--strategi x", r"unknown option --strategi; did you mean --strategy\? \(see `bt --help`\)"),
        ("--slipage=3", r"did you mean --slippage\?"),
        ("--strat x", "unknown option --strat"),
        ("verfy x", r"unknown command 'verfy'; did you mean verify\?"),
        ("--strategy x y", "unexpected argument 'y'"),
        ("--symbols", "--symbols: expected at least one argument"),
        ("data imprt", r"not 'imprt'; did you mean import\? \(see `bt data --help`\)"),
        ("data", "data needs one of download, import"),
        ("data download --start 2024-01-01", "required: --exchange, --symbols, --end"),
        ("data list --dta x", r"did you mean --data\? \(see `bt data list --help`\)"),
        ("verify", "required: RUN"),
        ("", "nothing to do"),
    ],
)
def test_a_mistake_names_what_was_meant(words, message):
    with pytest.raises(ConfigError, match=message):
        parse(words.split())


@pytest.mark.parametrize("words", ["--help", "--version", "verify --help", "data --help", "data import --help", "new --help"])
def test_help_and_version_load_nothing_heavy(words):
    program = (
        "import sys\nfrom backtester.cli.main import main\n"
        f"code = main({words.split()!r})\n"
        "heavy = {'numpy', 'pyarrow', 'polars', 'rich', 'msgspec', 'structlog', 'yaml', 'asyncio'} & set(sys.modules)\n"
        "sys.exit(f'{code} {sorted(heavy)}' if code or heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(("usage: bt", "bt 0."))
