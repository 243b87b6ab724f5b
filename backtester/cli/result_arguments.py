"""What can be typed after `bt runs` and the commands that look into one run."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from backtester.cli.parser import Parser, add_data, new_parser


def parse_result(command: str, words: list[str]) -> argparse.Namespace:
    """The options of `bt COMMAND words`, with `command` saying which. Raises ConfigError; SystemExit after --help."""
    if command == "runs" and words and words[0] in _RUNS_PARSERS:
        options = _RUNS_PARSERS[words[0]]().parse_strictly(words[1:])
        options.command = f"runs {words[0]}"
        return options
    options = _PARSERS[command]().parse_strictly(words)
    options.command = command
    return options


def _runs_parser() -> Parser:
    parser = new_parser(
        "bt runs",
        "All runs, one line each, the newest first. `trials` counts the runs on the same data, pruned ones included.",
        "more:\n"
        "  bt runs prune --keep-last N --older-than 30d [--dry-run]\n"
        "  bt runs pin ID ... | unpin ID ...   what is pinned is never pruned\n\n"
        "examples:\n"
        "  bt runs --sort sharpe --limit 10\n"
        "  bt runs --filter strategy=sma_extended 'sharpe>1' status=complete\n"
        "  bt runs --filter 'return>5%' symbols=BTCUSDT 'created>=2025-05-01' synthetic=false\n",
    )
    parser.add_argument("--sort", metavar="FIELD", help="largest or newest first; words from A (default: created)")
    parser.add_argument("--reverse", action="store_true", help="the other way round")
    parser.add_argument(
        "--filter",
        nargs="+",
        action="extend",
        default=[],
        metavar="COND",
        help="FIELD and one of = != > >= < <= ~ (contains) and a value; all must hold",
    )
    parser.add_argument("--limit", metavar="N", help="only the first N")
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    _add_output(parser)
    return parser


def _prune_parser() -> Parser:
    parser = new_parser(
        "bt runs prune",
        "Removes the directories of old runs and says which and how large. With both rules a run must be out by both. What is "
        "pinned, damaged or at work stays. A removed run still counts as a trial on its data.",
    )
    parser.add_argument("--keep-last", metavar="N", help="the newest N runs stay")
    parser.add_argument("--older-than", metavar="AGE", help="only runs older than this, such as 30d, 12h or 8w")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    _add_output(parser)
    return parser


def _pin_parser() -> Parser:
    return _with_ids(new_parser("bt runs pin", "These runs are never pruned."))


def _unpin_parser() -> Parser:
    return _with_ids(new_parser("bt runs unpin", "These runs may be pruned again."))


def _trades_parser() -> Parser:
    parser = new_parser(
        "bt trades",
        "The trades of a run: reason, duration, what they paid, and how far they went against and for the position (MAE, MFE, in "
        "basis points of the entry; from the run's candles, where they are still stored).",
    )
    _add_run(parser)
    parser.add_argument("--symbol", metavar="SYMBOL", help="only trades of this one")
    parser.add_argument("--limit", metavar="N", help="only the first N")
    parser.add_argument("--json", action="store_true", help="as one JSON object, with every field")
    _add_output(parser)
    add_data(parser, default=_CATALOG)
    return parser


def _costs_parser() -> Parser:
    parser = new_parser(
        "bt costs",
        "What trading cost, told apart (transaction-cost analysis): delay between decision and arrival, spread, slippage, fee, by "
        "symbol, side and kind of order, in basis points of the value traded; and what unfilled orders missed.",
    )
    _add_run(parser)
    parser.add_argument(
        "--fills", action="store_true", help="each fill as well, also against the bar's typical price and the next open"
    )
    parser.add_argument("--limit", metavar="N", help="only the first N fills")
    parser.add_argument("--json", action="store_true", help="as one JSON object, with every fill")
    _add_output(parser)
    add_data(parser, default=_CATALOG)
    return parser


def _compare_parser() -> Parser:
    parser = new_parser(
        "bt compare",
        "Runs beside the first of them: settings that differ, figures, the first trade and the first order, fill or payment that "
        "differ, and the equity of all on one chart, as a page that opens offline.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="directories of runs, or their ids; two or more")
    parser.add_argument("--html", metavar="FILE", help="where the page is written (default compare.html; none with --json)")
    parser.add_argument("--json", action="store_true", help="as one JSON object, with every figure")
    _add_output(parser)
    return parser


def _export_parser() -> Parser:
    parser = new_parser("bt export", "Fills, trades, equity and figures of a run for other programs; exact in every format.")
    _add_run(parser)
    parser.add_argument("--format", required=True, choices=("csv", "json", "parquet"), help="csv, json or parquet")
    parser.add_argument("--per-symbol", action="store_true", help="fills and trades in a directory for each symbol")
    parser.add_argument("--output", metavar="DIR", help="where the files are written (default exports/<run id>)")
    parser.add_argument("--json", action="store_true", help="what was written, as one JSON object")
    return parser


def _why_parser() -> Parser:
    parser = new_parser(
        "bt why",
        "The way of an order: the bar that was seen, what was decided, passed, refused, acknowledged, filled, and by which rule of "
        "docs/simulation.md, followed by the causes that the journal records.",
    )
    _add_run(parser)
    parser.add_argument("order", metavar="ORDER", help="an order id, as in fills.csv")
    return _with_story(parser)


def _at_parser() -> Parser:
    parser = new_parser("bt at", "What was held, seen and done in the execution bar that contains an instant.")
    _add_run(parser)
    parser.add_argument("time", metavar="TIME", help="ISO date or time, UTC, or epoch milliseconds")
    parser.add_argument("--span", metavar="LENGTH", help="so long from TIME on, such as 1h")
    return _with_story(parser)


def _with_story(parser: Parser) -> Parser:
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    _add_output(parser)
    add_data(parser, default=_CATALOG)
    return parser


def _add_run(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's directory, or its id")


def _with_ids(parser: Parser) -> Parser:
    parser.add_argument("runs", nargs="+", metavar="ID", help="a run's id, or its directory")
    _add_output(parser)
    return parser


def _explain_parser() -> Parser:
    parser = new_parser(
        "bt explain",
        "Where every balance of a run came from: the postings of its ledger with their causes, rebuilt from the journal, and "
        "whether they add up to the equity that the run recorded. Exit code 1: they do not.",
    )
    parser.add_argument("run", metavar="RUN", help="a run's directory, also a copied one, or its id; it need not have ended")
    parser.add_argument("--asset", metavar="ASSET", help="whose balances (default: the asset that the run's money is in)")
    parser.add_argument("--at", metavar="TIME", help="up to this time, UTC, included (default: the end)")
    parser.add_argument("--from", dest="start", metavar="TIME", help="list postings from this time on; totals are of all")
    parser.add_argument("--last", default="20", metavar="N", help="how many postings are listed (default 20)")
    parser.add_argument("--all", action="store_true", help="list every posting")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout and nothing else")
    _add_output(parser)
    return parser


def _stress_parser() -> Parser:
    parser = new_parser(
        "bt stress",
        "Execute a run again under worse assumptions: costs x 2, latency x 4, orders one candle later; and look at it without its "
        "five best trades. Says what one side of a trade may cost before nothing is left, and a verdict. Writes nothing.",
    )
    parser.add_argument("run", metavar="RUN", help="a complete run's directory, also a copied one, or its id")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout and nothing else")
    add_data(parser, default="the catalog that the run used; BT_DATA where that is gone")
    _add_output(parser)
    return parser


def _report_parser() -> Parser:
    parser = new_parser("bt report", "Write report.html into a run (one file that works offline) and show it in short.")
    parser.add_argument("run", metavar="RUN", help="a run's directory or its id, complete or not")
    parser.add_argument("--open", action="store_true", help="open it in the browser")
    parser.add_argument(
        "--png", action="store_true", help="pictures of the main charts beside it (needs matplotlib: the extra png)"
    )
    parser.add_argument("--output", metavar="FILE", help="where the page goes (default: RUN/report.html)")
    add_data(parser, default="the catalog that the run used")
    return parser


def _add_output(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--output", metavar="DIR", help="where the runs are (default: run.output of configs/backtest.toml)")


_CATALOG = "the catalog that the run used; BT_DATA where that is gone"
_RUNS_PARSERS: dict[str, Callable[[], Parser]] = {"prune": _prune_parser, "pin": _pin_parser, "unpin": _unpin_parser}
_PARSERS: dict[str, Callable[[], Parser]] = {
    "runs": _runs_parser,
    "trades": _trades_parser,
    "costs": _costs_parser,
    "compare": _compare_parser,
    "export": _export_parser,
    "why": _why_parser,
    "at": _at_parser,
    "explain": _explain_parser,
    "report": _report_parser,
    "stress": _stress_parser,
}
RESULT_COMMANDS = tuple(_PARSERS)
"""The commands that `parse_result` knows."""
