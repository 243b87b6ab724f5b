"""What can be typed after `bt`. The bare form runs a strategy; everything else is a command."""

from __future__ import annotations

import argparse
import difflib
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import NoReturn

from backtester import __version__
from backtester.domain.errors import ConfigError

COMMANDS = ("data", "verify", "strategies", "new")
_EVERYWHERE = ("--debug", "--quiet")
_WIDTH_MAX = 110

_EPILOG = """\
commands:
  bt data import FILE ...     candles of a parquet or csv file into the catalog
  bt data list                what is stored
  bt verify RUN               execute a run again and compare; names the first event that differs
  bt strategies               what can be named, with parameters, types and defaults
  bt new FILE.py              a commented strategy that runs as it is

examples:
  bt --strategy sma_extended --symbols BTCUSDT ETHUSDT
  bt --strategy my_strategy.py:Cross --symbols BTCUSDT --params '{"fast": 10}'
  bt --strategy my_strategy.py --symbols BTCUSDT --set sim.slippage_bps=0 --seed 7
  bt --config runs/<id>/config.toml

A flag beats --set, which beats --config, the strategy's configs/<name>.toml and
configs/backtest.toml, in this order. Ctrl-C finishes the tick and writes what there is.
Exit codes: 0 done, 1 a check found something, 2 your mistake, 3 data, 70 our fault,
130 interrupted.
"""


class Parser(argparse.ArgumentParser):
    """Answers mistakes with an error of ours, and a word that is not known with the nearest that is."""

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError in place of argparse's exit."""
        raise ConfigError(f"{message} (see `{self.prog} --help`)")

    def parse_strictly(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Everything typed is understood, or ConfigError names what is not."""
        options, rest = self.parse_known_args(arguments)
        if rest:
            unknown = rest[0]
            if unknown.startswith("-"):
                self.error(f"unknown option {unknown.partition('=')[0]}{_nearest(unknown.partition('=')[0], self.option_names())}")
            self.error(f"unexpected argument {unknown!r}")
        return options

    def option_names(self) -> list[str]:
        """Every option in its long form."""
        return [name for action in self._actions for name in action.option_strings if name.startswith("--")]


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options typed, with `command` saying what is to be done. Raises ConfigError; SystemExit after --help, --version."""
    leading = [word for word in arguments if word not in _EVERYWHERE][:1]
    command = leading[0] if leading else ""
    if not command.startswith("-") and command not in {"", *COMMANDS}:
        raise ConfigError(f"unknown command {command!r}{_nearest(command, COMMANDS)} (see `bt --help`)")
    if command not in COMMANDS:
        return _parse_bare(arguments)
    words = list(arguments)
    words.remove(command)
    if command == "data":
        return _parse_data(words)
    options = {"verify": _verify_parser, "strategies": _strategies_parser, "new": _new_parser}[command]().parse_strictly(words)
    options.command = command
    return options


def _parse_bare(arguments: Sequence[str]) -> argparse.Namespace:
    parser = run_parser()
    if not arguments:
        sys.stderr.write(parser.format_usage())
        parser.error("nothing to do: give --strategy and --symbols, --config, or a command")
    options = parser.parse_strictly(arguments)
    options.command = "run"
    return options


def _parse_data(words: list[str]) -> argparse.Namespace:
    actions = {"import": _import_parser, "list": _list_parser}
    action = next((word for word in words if word in actions), next((word for word in words if not word.startswith("-")), ""))
    if action not in actions:
        overview = _parser(
            "bt data", "Candles of the catalog: `bt data import FILE ...` stores some, `bt data list` shows what is stored."
        )
        if {"-h", "--help"} & set(words):
            overview.print_help()
            overview.exit()
        overview.error(
            f"data needs import or list, not {action!r}{_nearest(action, actions)}" if action else "data needs import or list"
        )
    words.remove(action)
    options = actions[action]().parse_strictly(words)
    options.command = f"data {action}"
    return options


def run_parser() -> Parser:
    """The bare form: run a strategy."""
    parser = _parser("bt", "Run a strategy on stored candles, or on a synthetic sample market while none are stored.", _EPILOG)
    what = parser.add_argument_group("what runs")
    what.add_argument("--strategy", metavar="NAME", help="a name of `bt strategies`, module:Class or file.py[:Class]")
    what.add_argument("--symbols", nargs="+", metavar="SYMBOL", help="BTCUSDT ETHUSDT, or qualified: binance.linear:BTCUSDT")
    what.add_argument("--params", metavar="JSON", help="parameters of the strategy; null means its own default")
    what.add_argument(
        "--timeframe", metavar="TF", help="of the signals, such as 1h (default: the strategy's, else the finest stored)"
    )
    what.add_argument("--config", metavar="FILE", help="run configuration; a run's own config.toml repeats the run")
    what.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="any value of the configuration; repeatable"
    )
    data = parser.add_argument_group("on which data")
    data.add_argument("--exchange", help="needed where several stored markets hold the symbols")
    data.add_argument("--market", help="spot, linear, inverse or option; futures is linear")
    data.add_argument("--start", metavar="TIME", help="ISO date or time, UTC (default: the first stored candle)")
    data.add_argument("--end", metavar="TIME", help="exclusive (default: the end of the last stored candle)")
    _add_data(data)
    money = parser.add_argument_group("money and costs")
    money.add_argument("--cash", metavar="AMOUNT", help="starting cash in the quote asset (default 10000)")
    money.add_argument("--leverage", metavar="X", help="of derivatives (default 1; more comes later)")
    money.add_argument("--fees", metavar="BPS", help="one fee rate for all fills (default: the venue's entry tier)")
    money.add_argument("--slippage", metavar="BPS", help="slippage of marketable orders")
    rest = parser.add_argument_group("the run")
    rest.add_argument("--seed", metavar="N", help="of all random streams (default 42)")
    rest.add_argument("--output", metavar="DIR", help="the run is written to DIR/<run id> (default runs)")
    rest.add_argument("--run-id", metavar="ID", help="name of the run (default: time, strategy and a few letters)")
    rest.add_argument(
        "--json",
        action="store_true",
        help="one JSON object on stdout and nothing else: the summary, or status, exit code and error",
    )
    rest.add_argument("--version", action="version", version=f"bt {__version__}", help="show the version")
    return parser


def _verify_parser() -> Parser:
    parser = _parser(
        "bt verify", "Execute a run again and compare its events. Writes nothing into the run. Exit code 1: they differ."
    )
    parser.add_argument("run", metavar="RUN", help="a run's directory, also a copied or renamed one")
    _add_data(parser, default="the catalog that the run used; BT_DATA where that is gone")
    return parser


def _strategies_parser() -> Parser:
    parser = _parser("bt strategies", "Strategies with their parameters, types and defaults.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these; module:Class and file.py[:Class] too")
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    return parser


def _new_parser() -> Parser:
    parser = _parser("bt new", "Write a commented strategy that runs as it is.")
    parser.add_argument("file", metavar="FILE.py")
    return parser


def _import_parser() -> Parser:
    parser = _parser(
        "bt data import",
        "Candles of one file into the catalog. Columns: open_time_ms (or start_ms), open, high, low, close, volume. "
        "Importing twice changes nothing; a value that contradicts a stored one is refused.",
    )
    parser.add_argument("file", metavar="FILE", help="parquet or csv")
    parser.add_argument("--exchange", required=True, help="such as binance")
    parser.add_argument("--market", required=True, help="spot, linear, inverse or option; futures is linear")
    parser.add_argument("--symbol", required=True, help="such as BTCUSDT")
    parser.add_argument("--timeframe", required=True, metavar="TF", help="of the candles in the file, such as 1m")
    _add_data(parser)
    return parser


def _list_parser() -> Parser:
    parser = _parser("bt data list", "What the catalog holds.")
    _add_data(parser)
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    return parser


def _parser(prog: str, description: str, epilog: str | None = None) -> Parser:
    width = min(shutil.get_terminal_size().columns - 2, _WIDTH_MAX)
    parser = Parser(
        prog=prog,
        description=textwrap.fill(description, width),
        epilog=epilog,
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=width, max_help_position=34),
    )
    parser.add_argument("--quiet", action="store_true", help="say nothing but errors")
    parser.add_argument("--debug", action="store_true", help="show where an error happened")
    return parser


def _add_data(parser: argparse._ActionsContainer, *, default: str = "BT_DATA, else data_path of configs/backtest.toml") -> None:
    parser.add_argument("--data", metavar="DIR", help=f"the candle catalog (default: {default})")


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""
