"""What can be typed after `bt`. The bare form runs a strategy; everything else is a command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from backtester import __version__
from backtester.cli.parser import Parser, add_data, nearest, new_parser
from backtester.cli.result_arguments import RESULT_COMMANDS, parse_result
from backtester.domain.errors import ConfigError

COMMANDS = ("data", "check", "verify", "strategies", "new", *RESULT_COMMANDS)
_EVERYWHERE = ("--debug", "--quiet")

_EPILOG = """\
commands:
  bt data download ...        market data from an exchange into the catalog
  bt data import PATH ...     files into the catalog: archives as published, or tidy columns
  bt data list | info SYMBOL  what is stored
  bt data check               whether all that is stored is whole; gaps and outages with times
  bt data instruments ...     trading rules from an exchange into the catalog
  bt check STRATEGY | RUN     look-ahead, determinism, warm-up, plausibility
  bt verify RUN               execute a run again and compare; names the first event that differs
  bt runs [prune | pin ID]    all runs, one line each: sort, filter, prune
  bt stress RUN               costs x 2, latency x 4, one bar later, best trades removed: a verdict
  bt explain RUN              where every balance came from: postings, causes, totals
  bt costs RUN                what trading cost: delay, spread, slippage, fee; what was missed
  bt report RUN               what happened: one page that works offline, and in short here
  bt trades RUN               its trades: reason, duration, MAE and MFE, what they paid
  bt compare RUN RUN ...      what differs: settings, figures, first trade; equity on a page
  bt export RUN --format F    its results as csv, json or parquet
  bt why RUN ORDER            the way of an order, and by which rule
  bt at RUN TIME              what was held, seen and done then
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


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options typed, with `command` saying what is to be done. Raises ConfigError; SystemExit after --help, --version."""
    leading = [word for word in arguments if word not in _EVERYWHERE][:1]
    command = leading[0] if leading else ""
    if not command.startswith("-") and command not in {"", *COMMANDS}:
        raise ConfigError(f"unknown command {command!r}{nearest(command, COMMANDS)} (see `bt --help`)")
    if command not in COMMANDS:
        return _parse_bare(arguments)
    words = list(arguments)
    words.remove(command)
    if command == "data":
        from backtester.cli.data_arguments import parse_data

        return parse_data(words)
    if command in RESULT_COMMANDS:
        return parse_result(command, words)
    parsers = {"check": _check_parser, "verify": _verify_parser, "strategies": _strategies_parser, "new": _new_parser}
    options = parsers[command]().parse_strictly(words)
    options.command = command
    return options


def _parse_bare(arguments: Sequence[str]) -> argparse.Namespace:
    parser = run_parser()
    if not arguments:
        sys.stderr.write(parser.format_usage())
        parser.error("nothing to do: give --strategy and --symbols, --config, or a command")
    options = parser.parse_strictly(arguments)
    options.command = "scenarios" if options.scenarios else "run"
    return options


def run_parser() -> Parser:
    """The bare form: run a strategy."""
    parser = new_parser("bt", "Run a strategy on stored candles, or on a synthetic sample market while none are stored.", _EPILOG)
    _add_run_options(parser)
    return parser


def _check_parser() -> Parser:
    parser = new_parser(
        "bt check",
        "Whether a result can be believed: runs a strategy again and again on changed data and in fresh processes, watches what it "
        "does, and looks at what it earns. Takes the options of a run; writes nothing. Exit code 1: a finding is an error.",
    )
    parser.add_argument("target", nargs="?", metavar="STRATEGY | RUN", help="as for --strategy, or a run's directory")
    _add_run_options(parser)
    return parser


def _add_run_options(parser: Parser) -> None:
    """What the bare form and `bt check` share."""
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
    add_data(data)
    money = parser.add_argument_group("money and costs")
    money.add_argument("--cash", metavar="AMOUNT", help="starting cash in the quote asset (default 10000)")
    money.add_argument("--leverage", metavar="X", help="of derivatives, and of spot that borrows (default 1)")
    money.add_argument("--fees", metavar="BPS", help="one fee rate for all fills (default: the venue's entry tier)")
    money.add_argument("--slippage", metavar="BPS", help="slippage of marketable orders")
    rest = parser.add_argument_group("the run")
    rest.add_argument("--seed", metavar="N", help="of all random streams (default 42)")
    rest.add_argument("--output", metavar="DIR", help="the run is written to DIR/<run id> (default runs)")
    rest.add_argument(
        "--scenarios",
        action="store_true",
        help="run it three times, harsh, as configured and lenient, each into <run id>-<name>, and compare",
    )
    rest.add_argument("--run-id", metavar="ID", help="name of the run (default: time, strategy and a few letters)")
    rest.add_argument(
        "--json",
        action="store_true",
        help="one JSON object on stdout and nothing else: the summary, or status, exit code and error",
    )
    rest.add_argument("--version", action="version", version=f"bt {__version__}", help="show the version")


def _verify_parser() -> Parser:
    parser = new_parser(
        "bt verify", "Execute a run again and compare its events. Writes nothing into the run. Exit code 1: they differ."
    )
    parser.add_argument("run", metavar="RUN", help="a run's directory, also a copied or renamed one")
    add_data(parser, default="the catalog that the run used; BT_DATA where that is gone")
    return parser


def _strategies_parser() -> Parser:
    parser = new_parser("bt strategies", "Strategies with their parameters, types and defaults.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these; module:Class and file.py[:Class] too")
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    return parser


def _new_parser() -> Parser:
    parser = new_parser("bt new", "Write a commented strategy that runs as it is.")
    parser.add_argument("file", metavar="FILE.py")
    return parser
