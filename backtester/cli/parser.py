"""The parser of all commands: errors are sentences that name the nearest right word."""

from __future__ import annotations

import argparse
import difflib
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from typing import NoReturn

from backtester.domain.errors import ConfigError

_WIDTH_MAX = 110


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
                self.error(f"unknown option {unknown.partition('=')[0]}{nearest(unknown.partition('=')[0], self.option_names())}")
            self.error(f"unexpected argument {unknown!r}")
        return options

    def option_names(self) -> list[str]:
        """Every option in its long form."""
        return [name for action in self._actions for name in action.option_strings if name.startswith("--")]


def new_parser(prog: str, description: str, epilog: str | None = None) -> Parser:
    """A parser with the options that every command has."""
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


def add_data(parser: argparse._ActionsContainer, *, default: str = "BT_DATA, else data_path of configs/backtest.toml") -> None:
    """--data, as every command that touches the catalog has it."""
    parser.add_argument("--data", metavar="DIR", help=f"the candle catalog (default: {default})")


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` where something known is near; empty otherwise."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""
