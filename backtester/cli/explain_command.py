"""`bt explain RUN`: where every balance of a run came from, posting by posting, and whether it adds up."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from itertools import chain

from backtester.account.replay import BookedPosting
from backtester.app.explain import EquityProof, Explanation, Line, RunLedger, explain
from backtester.cli.run_argument import run_directory, runs_directory, whole_number
from backtester.domain.borrowing import InterestCharged
from backtester.domain.delivery import Delivery
from backtester.domain.deposits import CoinsDeposited
from backtester.domain.errors import EXIT_DONE, EXIT_FOUND, ConfigError
from backtester.domain.money import format_money
from backtester.domain.orders import Fill
from backtester.domain.settlement import FundingPaid
from backtester.domain.timeframe import iso_text, parse_time_ms
from backtester.report.terminal import print_table

TOTALS_SHOWN = 40
"""Rows of the table of totals; a strategy may give every order a reason of its own. `--json` has them all."""
_HEADER = ("time (UTC)", "event", "cause", "why", "debit", "credit", "amount", "wallet", "what happened")


def explain_run(options: Namespace) -> int:
    """0 when everything adds up, 1 when something does not; the explanation is on stdout."""
    run_dir = run_directory(options.run, runs_directory(options))
    from_ms = parse_time_ms(options.start, what="--from") if options.start is not None else None
    at_ms = parse_time_ms(options.at, what="--at") if options.at is not None else None
    if from_ms is not None and at_ms is not None and from_ms > at_ms:
        raise ConfigError("--from is later than --at: nothing lies between them")
    last = whole_number(options.last, "--last", least=0) or 0
    found = explain(run_dir, asset=options.asset, from_ms=from_ms, at_ms=at_ms, last=0 if options.all else last)
    lines: Iterator[Line] = iter(found.lines)
    if options.all:  # read a second time: a large run's postings are never held together
        story = RunLedger(run_dir, at_ms=at_ms, asset=options.asset).lines()
        lines = (line for line in story if from_ms is None or line.posting.time_ms >= from_ms)
    if options.json:
        _print_json(found, lines)
    elif not options.quiet:
        _print_text(found, lines, is_all=options.all, ranged=from_ms is not None)
    return EXIT_FOUND if found.problems else EXIT_DONE


def _print_text(found: Explanation, lines: Iterator[Line], *, is_all: bool, ranged: bool) -> None:
    manifest, out = found.manifest, sys.stdout
    if not found.balances:
        print(f"run {manifest.run_id} has no postings up to {iso_text(found.until_ms)} UTC")
    else:
        print(f"run {manifest.run_id}: where its {found.asset} came from, up to {iso_text(found.until_ms)} UTC\n")
        _print_totals(found)
        balances = [(account, _money(amount, 22)) for account, amount in sorted(found.balances.items())]
        print("\nbalances of the accounts, which sum to zero")
        print_table(("account", f"{found.asset:>22}"), balances, out)
        if found.proof is not None:
            _print_proof(found.proof, found.manifest.quote)
        of_those = " in this range" if ranged else ""
        shown = "all" if is_all else f"the last {len(found.lines):,} of"
        print(f"\n{shown} {found.posting_count:,} postings{of_those}" + ("" if is_all else " (--all shows every one)"))
        _print_lines(lines)
    for note in found.notes:
        print(f"\nnote: {note}")
    if found.problems:
        print("\nit does not add up:")
        for problem in found.problems:
            print(f"  {problem}")
    elif found.balances:
        print(f"\nit adds up: every event sums to zero, {found.snapshot_count:,} snapshots are what the postings say")


def _print_totals(found: Explanation) -> None:
    rows = [
        (total.account, total.symbol, total.why, f"{total.postings:>8,}", _money(total.amount, 22))
        for total in found.totals[:TOTALS_SHOWN]
    ]
    if len(found.totals) > TOTALS_SHOWN:
        rest = found.totals[TOTALS_SHOWN:]
        count, amount = sum(total.postings for total in rest), sum(total.amount for total in rest)
        rows.append((f"{len(rest):,} more", "", "", f"{count:>8,}", _money(amount, 22)))
    wallet = sum(total.amount for total in found.totals)
    rows.append(("= wallet", "", "", f"{sum(total.postings for total in found.totals):>8,}", _money(wallet, 22)))
    print_table(("account", "symbol", "why", "postings", f"{'into the wallet':>22}"), rows, sys.stdout)


def _print_proof(proof: EquityProof, asset: str) -> None:
    snapshot = proof.snapshot
    print(f"\nequity in the snapshot at {iso_text(snapshot.time_ms)} UTC (event {proof.event})")
    rows = [("sum of postings (wallet and inventory)", _money(proof.booked, 22), "")]
    prices = {one.asset: one.price for one in snapshot.prices}
    if prices:
        rows += [
            ("  of which", f"{format(held.amount, 'f'):>22}", f"{held.asset} at {format(prices[held.asset], 'f')}")
            for held in snapshot.balances
        ]
        rows.append(("+ unrealised, all assets", _money(proof.unrealised, 22), ""))
    for view in snapshot.positions if not prices else ():
        what = f"{view.leg} {format(view.qty, 'f')}, entry {format(view.avg_entry, 'f')}, mark {format(view.mark, 'f')}"
        rows.append(("+ unrealised", f"{format(view.unrealised_pnl, 'f'):>22}", what))
    if not snapshot.positions and not prices:
        rows.append(("+ unrealised", _money(0, 22), "no position is open"))
    rows.append(("= equity", _money(proof.booked + proof.unrealised, 22), f"{asset}; the snapshot says {snapshot.equity:f}"))
    for label, amount, remark in rows:
        print(f"  {label:<40}{amount}  {remark}".rstrip())
    if proof.postings_since:
        print(f"  {proof.postings_since:,} postings came after it")


def _print_lines(lines: Iterator[Line]) -> None:
    """The postings in columns that fit the first hundred; what is longer later pushes the rest of its row aside."""
    first = [_cells(line) for line, _ in zip(lines, range(100), strict=False)]
    widths = [max(map(len, column)) for column in zip(_HEADER, *first, strict=True)]
    for cells in chain((_HEADER,), first, map(_cells, lines)):
        text = "  ".join(
            f"{cell:>{width}}" if index in {1, 6, 7} else f"{cell:<{width}}"
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        print(text.rstrip())


def _cells(line: Line) -> tuple[str, ...]:
    posting = line.posting
    why = f"{posting.symbol} {posting.why}".strip()
    amounts = (format_money(abs(posting.amount)), format_money(posting.wallet))
    return (
        iso_text(posting.time_ms),
        str(line.event),
        posting.cause,
        why,
        posting.debit,
        posting.credit,
        *amounts,
        _happened(posting),
    )


def _happened(posting: BookedPosting) -> str:
    """The trade or the settlement in words; empty for the start."""
    of = posting.of
    if isinstance(of, Fill):
        return f"{of.side.value} {format(of.qty, 'f')} at {format(of.price, 'f')}"
    if isinstance(of, Delivery):
        return f"{of.side.value} {format(of.qty, 'f')} at {format(of.price, 'f')}, settled at {format(of.settlement_price, 'f')}"
    if isinstance(of, CoinsDeposited):
        return f"{format(of.qty, 'f')} {of.asset} at {format(of.price, 'f')}"
    if isinstance(of, InterestCharged):
        return f"{format(of.owed, 'f')} {of.asset} x {format(of.rate, 'f')}, at {format(of.price, 'f')}"
    if isinstance(of, FundingPaid):
        return f"{format(of.qty, 'f')} x {format(of.mark, 'f')} x {format(of.rate, 'f')}"
    return ""


def _print_json(found: Explanation, lines: Iterator[Line]) -> None:
    """One object; the postings come last and one a line, so that `--all` needs no memory for them."""
    proof = found.proof
    facts = {
        "run_id": found.manifest.run_id,
        "status": found.manifest.status,
        "exit_code": EXIT_FOUND if found.problems else EXIT_DONE,
        "asset": found.asset,
        "until_ms": found.until_ms,
        "notes": found.notes,
        "problems": found.problems,
        "totals": [total._asdict() | {"amount": format_money(total.amount)} for total in found.totals],
        "balances": {account: format_money(amount) for account, amount in sorted(found.balances.items())},
        "equity": None
        if proof is None
        else {
            "time_ms": proof.snapshot.time_ms,
            "event": proof.event,
            "sum_of_postings": format_money(proof.booked),
            "unrealised": format_money(proof.unrealised),
            "equity": format_money(proof.booked + proof.unrealised),
            "snapshot_equity": format(proof.snapshot.equity, "f"),
            "postings_since": proof.postings_since,
        },
        "snapshot_count": found.snapshot_count,
        "posting_count": found.posting_count,
    }
    sys.stdout.write(json.dumps(facts)[:-1] + ', "postings": [')
    for number, line in enumerate(lines):
        sys.stdout.write((",\n" if number else "\n") + json.dumps(_posting(line)))
    sys.stdout.write("]}\n")


def _posting(line: Line) -> dict[str, object]:
    posting = line.posting
    return {
        "time_ms": posting.time_ms,
        "event": line.event,
        "cause": posting.cause,
        "why": posting.why,
        "symbol": posting.symbol,
        "strategy_id": posting.strategy_id,
        "asset": posting.asset,
        "debit": posting.debit,
        "credit": posting.credit,
        "amount": format_money(abs(posting.amount)),
        "wallet": format_money(posting.wallet),
        "happened": _happened(posting),
    }


def _money(units: int, width: int) -> str:
    return f"{format_money(units):>{width}}"
