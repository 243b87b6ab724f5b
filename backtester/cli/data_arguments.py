"""What can be typed after `bt data`."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from backtester.cli.parser import Parser, add_data, nearest, new_parser


def parse_data(words: list[str]) -> argparse.Namespace:
    """The options of `bt data ...`, with `command` saying which. Raises ConfigError; SystemExit after --help."""
    action = next((word for word in words if word in _PARSERS), next((word for word in words if not word.startswith("-")), ""))
    if action not in _PARSERS:
        listed = "\n".join(f"  bt data {name}" for name in _PARSERS)
        overview = new_parser("bt data", "Market data in the catalog.", f"commands (each has --help):\n{listed}")
        if {"-h", "--help"} & set(words):
            overview.print_help()
            overview.exit()
        needs = f"data needs one of {', '.join(_PARSERS)}"
        overview.error(f"{needs}, not {action!r}{nearest(action, _PARSERS)}" if action else needs)
    words.remove(action)
    options = _PARSERS[action]().parse_strictly(words)
    options.command = f"data {action}"
    return options


def _download_parser() -> Parser:
    parser = new_parser(
        "bt data download",
        "Market data from an exchange into the catalog: from its archive where there is one, from its interface for the rest. "
        "What is stored already is not fetched again; an interrupted download goes on where it stopped.",
    )
    parser.add_argument("--exchange", required=True, help="such as binance, bybit, okx")
    parser.add_argument("--market", default="linear", help="spot, linear, inverse or option; futures is linear (default linear)")
    parser.add_argument("--symbols", nargs="+", required=True, metavar="SYMBOL", help="such as BTCUSDT ETHUSDT")
    parser.add_argument("--timeframe", metavar="TF", help="of candles and other bars, such as 1m")
    parser.add_argument(
        "--kind", default="", metavar="KINDS", help="such as candles,funding,mark (default candles; option: summaries)"
    )
    parser.add_argument("--start", required=True, metavar="TIME", help="ISO date or time, UTC")
    parser.add_argument("--end", required=True, metavar="TIME", help="exclusive")
    parser.add_argument("--via", choices=("archive", "rest", "ccxt"), help="only this way (default: archive, then rest)")
    parser.add_argument("--network", default="live", help="live, testnet or demo; never mixed (default live)")
    parser.add_argument("--offline", action="store_true", help="only what is cached; no request is made")
    parser.add_argument("--base-url", metavar="URL", help="a mirror of the archive")
    parser.add_argument("--rest-url", metavar="URL", help="another address of the interface")
    _add_policies(parser)
    add_data(parser)
    return parser


def _import_parser() -> Parser:
    parser = new_parser(
        "bt data import",
        "Files into the catalog: csv, csv.gz, zip, parquet, feather; archives as the exchanges publish them, or tables with "
        "columns such as open_time_ms, open, high, low, close, volume. What a file does not say is stated by options. "
        "Importing twice changes nothing; a value that contradicts a stored one is refused.",
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="files, or directories of files")
    parser.add_argument("--exchange", help="such as binance")
    parser.add_argument("--market", help="spot, linear, inverse or option; futures is linear")
    parser.add_argument("--symbol", help="such as BTCUSDT")
    parser.add_argument("--timeframe", metavar="TF", help="of the bars in the file, such as 1m")
    parser.add_argument("--kind", help="such as candles, funding, mark, trades (default: found out, else candles)")
    parser.add_argument("--network", default="live", help="live, testnet or demo (default live)")
    parser.add_argument("--stamp", choices=("open", "close"), help="what the time of a bar means (default open)")
    parser.add_argument("--volume-unit", choices=("base", "quote", "contracts"), help="what volumes count (default base)")
    _add_policies(parser)
    add_data(parser)
    return parser


def _list_parser() -> Parser:
    parser = new_parser("bt data list", "What the catalog holds, one line for each series.")
    _add_json(parser)
    add_data(parser)
    return parser


def _info_parser() -> Parser:
    parser = new_parser("bt data info", "All that is stored of a symbol: files, sources, findings, gaps, trading rules.")
    parser.add_argument("symbol", metavar="SYMBOL")
    _add_json(parser)
    add_data(parser)
    return parser


def _check_parser() -> Parser:
    parser = new_parser(
        "bt data check",
        "Reads all that is stored: content against its recorded hash, order, grid, schema; lists gaps and outages with times. "
        "Exit code 1: something was found; 3: something cannot be read.",
    )
    parser.add_argument("symbols", nargs="*", metavar="SYMBOL", help="only these (default: all)")
    parser.add_argument("--fix", action="store_true", help="mend what can be mended without inventing data: manifest, leftovers")
    _add_json(parser)
    add_data(parser)
    return parser


def _instruments_parser() -> Parser:
    parser = new_parser("bt data instruments", "Trading rules of an exchange into the catalog, with the time from which they hold.")
    parser.add_argument("--exchange", required=True, help="binance or bybit")
    parser.add_argument("--market", required=True, help="spot, linear, inverse or option; futures is linear")
    parser.add_argument("--symbols", nargs="+", metavar="SYMBOL", help="only these (default: all)")
    parser.add_argument("--file", metavar="FILE", help="a saved answer of the exchange in place of a request")
    parser.add_argument("--at", metavar="TIME", help="when the saved answer was given (default: as it says, else now)")
    parser.add_argument("--rest-url", metavar="URL", help="another address of the interface")
    parser.add_argument("--network", default="live", help="live, testnet or demo (default live)")
    _add_json(parser)
    add_data(parser)
    return parser


_PARSERS: dict[str, Callable[[], Parser]] = {
    "download": _download_parser,
    "import": _import_parser,
    "list": _list_parser,
    "info": _info_parser,
    "check": _check_parser,
    "instruments": _instruments_parser,
}


def _add_policies(parser: Parser) -> None:
    parser.add_argument(
        "--policy",
        action="append",
        default=[],
        metavar="RULE=POLICY",
        help="what to do where a rule is broken: fail, drop, fix or keep; repeatable",
    )


def _add_json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="as one JSON object")
