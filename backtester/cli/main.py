"""`bt`: finds the command, runs it, and turns whatever happens into a message and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from backtester.cli.arguments import parse
from backtester.domain.errors import EXIT_BUG, EXIT_DONE, EXIT_INTERRUPTED, BacktesterError, StorageError

_HANDLERS = {
    "run": "backtester.cli.run_command:run",
    "scenarios": "backtester.cli.scenario_command:run_band",
    "check": "backtester.cli.trust_command:check_strategy",
    "verify": "backtester.cli.verify_command:verify_run",
    "stress": "backtester.cli.stress_command:stress_run",
    "runs": "backtester.cli.runs_command:list_runs",
    "runs prune": "backtester.cli.runs_command:prune_runs",
    "runs pin": "backtester.cli.runs_command:pin_runs",
    "runs unpin": "backtester.cli.runs_command:unpin_runs",
    "explain": "backtester.cli.explain_command:explain_run",
    "report": "backtester.cli.report_command:report_run",
    "trades": "backtester.cli.trades_command:list_trades",
    "costs": "backtester.cli.costs_command:list_costs",
    "compare": "backtester.cli.compare_command:compare",
    "export": "backtester.cli.export_command:export",
    "why": "backtester.cli.why_command:why_order",
    "at": "backtester.cli.why_command:at_time",
    "data download": "backtester.cli.download_command:download",
    "data import": "backtester.cli.import_command:import_files",
    "data list": "backtester.cli.data_commands:list_stored",
    "data info": "backtester.cli.data_commands:show_symbol",
    "data check": "backtester.cli.check_command:check_stored",
    "data instruments": "backtester.cli.instruments_command:store_instruments",
    "strategies": "backtester.cli.strategy_commands:list_strategies",
    "new": "backtester.cli.strategy_commands:new_strategy",
}
"""Where each command lives; imported when it is called, so that `bt --help` stays quick."""


_STORAGE_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})
"""What the operating system answers when a disk takes no more; ours only where nothing closer to it has said so in words."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `bt` with `argv` (default: the process's) and return its exit code; every failure ends in a message on stderr."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
    except SystemExit as request:  # argparse has answered --help or --version
        return request.code if isinstance(request.code, int) else EXIT_DONE
    except KeyboardInterrupt as stop:
        sys.stderr.write(f"bt: interrupted{_notes(stop)}\n")
        _tell_json(arguments, "interrupted", EXIT_INTERRUPTED, "")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return EXIT_DONE
    except OSError as error:
        if error.errno not in _STORAGE_FAULTS:
            return _failed(error, arguments)
        _silence_stdout()
        return _failed(StorageError(f"{error.strerror}: {error.filename or 'standard output'}"), arguments)
    except Exception as error:  # noqa: BLE001 - the last line of defence: a message in place of a traceback
        return _failed(error, arguments)
    return code


def _dispatch(arguments: list[str]) -> int:
    options = parse(arguments)
    module_name, _, function_name = _HANDLERS[options.command].partition(":")
    code: int = getattr(import_module(module_name), function_name)(options)
    return code


def _failed(error: Exception, arguments: Sequence[str]) -> int:
    """The error is told on stderr, and to a script that asked for JSON on stdout; its exit code."""
    debug = "--debug" in arguments
    if debug:
        import traceback

        sys.stderr.write("".join(traceback.format_exception(error)))
    code = error.exit_code if isinstance(error, BacktesterError) else EXIT_BUG
    what = str(error) if isinstance(error, BacktesterError) else f"{type(error).__name__}: {error}"
    sys.stderr.write(f"bt: error: {what}{_notes(error)}\n")
    if code == EXIT_BUG:
        again = "" if debug else " Run it again with --debug to see where it happened."
        sys.stderr.write(
            f"bt: this is a fault of the program, not yours.{again} Please report the command, the last lines of the run's "
            "run.log, and what `bt --version` says.\n"
        )
    _tell_json(arguments, "failed", code, what)
    return code


def _notes(error: BaseException) -> str:
    """What was added to an error on its way, such as where its run is."""
    return "".join(f"; {note}" for note in getattr(error, "__notes__", ()))


def _tell_json(arguments: Sequence[str], status: str, code: int, message: str) -> None:
    """With --json, one object stands on stdout however the command ends."""
    if "--json" not in arguments:
        return
    import json

    try:
        print(json.dumps({"status": status, "exit_code": code, "error": message}), flush=True)
    except BrokenPipeError:
        _silence_stdout()


def _silence_stdout() -> None:
    """The reader has gone, as with `bt ... | head`: what is still buffered goes nowhere, also at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
