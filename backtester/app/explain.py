"""`bt explain`: where every balance of a run came from, rebuilt from its journal alone, and whether it adds up."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from backtester.account.currency_replay import CurrencyReplay
from backtester.account.replay import BookedPosting, LedgerReplay, Source
from backtester.audit.events import decode_delivery, decode_deposit, decode_fill, decode_funding, decode_interest, decode_snapshot
from backtester.audit.journal import JournalLine, read_journal, unsealed_lines
from backtester.audit.run_store import CONFIG_NAME, Manifest, RunDir, currency_of, faces_of
from backtester.domain.account import AccountSnapshot
from backtester.domain.delivery import ContractSettled
from backtester.domain.deposits import CashDeposited
from backtester.domain.errors import ConfigError, JournalError, LedgerImbalanceError
from backtester.domain.money import money_from_decimal
from backtester.domain.run_events import RunEnded, RunStarted
from backtester.domain.timeframe import iso_text
from backtester.domain.vocabulary import Market
from backtester.engine.topics import T_ACCOUNT_SNAPSHOT, T_BALANCES, T_DELIVERIES, T_FILLS, T_FUNDING, T_INTEREST, T_RUN

PROBLEMS_SHOWN = 10
"""More than these are counted, not told: one wrong posting makes every snapshot after it wrong."""


class Line(NamedTuple):
    """A posting and the number of the event in the journal that made it."""

    event: int
    posting: BookedPosting


class Total(NamedTuple):
    """What all postings of one account, symbol and reason gave to the wallet, in money units (negative: took from it)."""

    account: str
    symbol: str
    why: str
    postings: int
    amount: int


class EquityProof(NamedTuple):
    """The last snapshot that is explained: all that the trader has by the postings before it + unrealised = its equity."""

    snapshot: AccountSnapshot
    event: int
    booked: int
    unrealised: int
    postings_since: int


class Explanation(NamedTuple):
    """Where the balances of `asset` came from. `lines` are the last ones asked for of `posting_count`.

    `notes` say what a reader must know (a run that did not complete), `problems` what does not add up; `until_ms` is the time
    asked for, or that of the last event there is. Amounts are money units.
    """

    manifest: Manifest
    asset: str
    until_ms: int
    totals: tuple[Total, ...]
    balances: dict[str, int]
    lines: tuple[Line, ...]
    posting_count: int
    snapshot_count: int
    proof: EquityProof | None
    notes: tuple[str, ...]
    problems: tuple[str, ...]


def explain(
    run_dir: Path, *, asset: str | None = None, from_ms: int | None = None, at_ms: int | None = None, last: int = 20
) -> Explanation:
    """The explanation of the run in `run_dir` up to `at_ms` (included); of its postings from `from_ms` on the `last` are kept.

    The journal is enough: the directory may have been copied, and the run may not have ended. Each event's postings must sum to
    zero, each snapshot's cash, profits, fees, positions and equity must be what the postings say, and the ledger at the end the
    one that the run recorded. Raises StorageError when there is no such run, ConfigError for an asset that it has no balance of.
    """
    story = RunLedger(run_dir, at_ms=at_ms, asset=asset)
    kept: deque[Line] = deque(maxlen=last)
    posting_count = 0
    totals: dict[tuple[str, str, str], tuple[int, int]] = {}
    for line in story.lines():
        posting = line.posting
        key = (posting.account, posting.symbol, posting.why)
        number, amount = totals.get(key, (0, 0))
        totals[key] = (number + 1, amount - posting.amount)
        if from_ms is None or posting.time_ms >= from_ms:
            posting_count += 1
            kept.append(line)
    replay = story.replay
    if asset is not None and (replay is None or asset not in replay.ledger.balances):
        known = ", ".join(replay.ledger.balances) if replay is not None else "nothing"
        raise ConfigError(f"run {story.manifest.run_id} has no balance of {asset}; its ledger holds {known}")
    return Explanation(
        manifest=story.manifest,
        asset=story.asset if replay is not None else asset or "",
        until_ms=story.last_ms if at_ms is None else at_ms,
        totals=tuple(Total(*key, *found) for key, found in totals.items()),
        balances=dict(replay.ledger.balances[story.asset]) if replay is not None else {},
        lines=tuple(kept),
        posting_count=posting_count,
        snapshot_count=story.snapshot_count,
        proof=story.proof() if replay is not None and asset in {None, replay.asset} else None,
        notes=tuple(story.notes),
        problems=tuple(story.problems),
    )


class RunLedger:
    """One pass over a run's journal: `lines` gives its postings and checks them; then the rest says what was found."""

    def __init__(self, run_dir: Path, *, at_ms: int | None = None, asset: str | None = None) -> None:
        """`asset` is that of the postings in `lines`: the quote asset when it is left out.

        Raises StorageError when the directory holds no run, ConfigError when the run is too old to be explained.
        """
        self._run = RunDir(run_dir)
        self.manifest = self._run.read_manifest()
        if not self.manifest.quote:
            raise ConfigError(
                f"run {self.manifest.run_id} does not say in which asset its money is: an older version made it. Run it again: "
                f"bt --config {run_dir / CONFIG_NAME}"
            )
        self.replay: LedgerReplay | None = None
        self.last_ms = 0
        self.snapshot_count = 0
        self.notes: list[str] = []
        self.problems: list[str] = []
        self.asset = asset or self.manifest.quote
        """That of the postings: the run's money, or the first settlement asset where results are told in another currency."""
        record = self.manifest.currency
        if asset is None and record is not None and self.asset not in record.assets:
            self.asset = next(iter(record.assets))
        self._until_ms = at_ms if at_ms is not None else sys.maxsize
        self._event = 0
        self._postings_since = 0
        self._is_past = self._ended = False
        self._proof: EquityProof | None = None
        self._untold = 0

    def lines(self) -> Iterator[Line]:
        """The postings in order, up to the time asked for. Raises StorageError when there is no journal to read."""
        try:
            for line in read_journal(self._run.journal_path):
                postings = self._book(line)
                if self._is_past:
                    break
                self._event = line.seq
                self._postings_since += len(postings)
                for posting in postings:
                    if posting.asset == self.asset:
                        yield Line(line.seq, posting)
        except (JournalError, LedgerImbalanceError) as error:
            self.problems.insert(0, f"{error}; explained up to event {self._event}")
            return
        if not self._is_past:
            self._tell_end()

    def proof(self) -> EquityProof | None:
        """Postings + unrealised = equity at the last snapshot; None before the first."""
        return self._proof._replace(postings_since=self._postings_since) if self._proof is not None else None

    def _book(self, line: JournalLine) -> list[BookedPosting]:
        """What one line of the journal posts; nothing, and `_is_past` is set, when it is later than what was asked for."""
        replay, topic = self.replay, line.topic
        if topic == T_RUN.name:
            return self._on_run(line)
        if replay is None or topic not in _BOOKED:
            return []
        message = _BOOKED[topic](line.raw)
        if not self._reaches(message.time_ms):
            return []
        if isinstance(message, AccountSnapshot):
            self._on_snapshot(replay, message, event=line.seq)
            return []
        if isinstance(message, CashDeposited):
            return replay.deposited(message) if isinstance(replay, CurrencyReplay) else []
        return [] if isinstance(message, ContractSettled) else replay.book(message)

    def _reaches(self, time_ms: int) -> bool:
        """Whether an event at this time is part of what was asked for."""
        self._is_past = time_ms > self._until_ms
        if not self._is_past:
            self.last_ms = time_ms
        return not self._is_past

    def _on_run(self, line: JournalLine) -> list[BookedPosting]:
        event = line.event()
        if isinstance(event, RunStarted):
            if not self._reaches(event.time_ms):
                return []
            cash = money_from_decimal(Decimal(event.settings["account.starting_cash"]))
            currency = currency_of(self.manifest)
            if currency is not None:
                self.replay = CurrencyReplay(currency=currency, time_ms=event.time_ms, faces=faces_of(self.manifest.contracts))
                return []
            self.replay = LedgerReplay(
                asset=self.manifest.quote,
                starting_cash=cash,
                time_ms=event.time_ms,
                coins=_coins(self.manifest),
                faces=faces_of(self.manifest.contracts),
            )
            return self.replay.opening
        if isinstance(event, RunEnded) and self.replay is not None and self._reaches(event.time_ms):
            self._ended = True
            if event.ledger_hash != self.replay.ledger.state_hash():
                self.problems.insert(0, "the ledger at the end of the run is not what the postings give: its hash differs")
        return []

    def _on_snapshot(self, replay: LedgerReplay, snapshot: AccountSnapshot, *, event: int) -> None:
        """The snapshot is held against the postings so far, and is the last one that is explained."""
        self.snapshot_count += 1
        self._postings_since = 0
        for problem in replay.differences(snapshot):
            self._say(f"snapshot at {iso_text(snapshot.time_ms)} UTC (event {event}): {problem}")
        unrealised = replay.unrealised(snapshot)
        self._proof = EquityProof(snapshot, event, replay.booked_total(), unrealised, 0)

    def _say(self, problem: str) -> None:
        """Keep what a snapshot says otherwise, of the first ones; after a wrong posting all that follow are wrong."""
        if self._untold or len(self.problems) >= PROBLEMS_SHOWN:
            self._untold += 1
            self.problems[PROBLEMS_SHOWN:] = [f"and {self._untold:,} more like these"]
        else:
            self.problems.append(problem)

    def _tell_end(self) -> None:
        """What a reader must know of a journal that was read to its end."""
        status, run_id = self.manifest.status, self.manifest.run_id
        where = f"up to event {self._event} at {iso_text(self.last_ms)} UTC"
        if self._ended and status == "complete":
            return
        if status == "complete":
            self.problems.insert(0, f"the journal stops {where}, before the end of the run: its last lines are missing")
            return
        self.notes.append(f"run {run_id} is not complete (its status is {status}); explained as far as its journal goes, {where}")
        unsealed = unsealed_lines(self._run.journal_path)
        if unsealed:
            self.notes.append(
                f"the last {unsealed:,} messages of the journal are not sealed: nothing proves that they are unchanged"
            )


def _coins(manifest: Manifest) -> dict[str, str]:
    """By symbol that is traded outright the coin that it is held in: none of an option. With several markets names say theirs."""
    markets = {symbol: symbol.partition(":")[0].rpartition(".")[2] if ":" in symbol else "" for symbol in manifest.symbols}
    found = {symbol: Market(market or manifest.market) for symbol, market in markets.items()}
    return {
        symbol: manifest.bases.get(symbol, "") if market is Market.SPOT else ""
        for symbol, market in found.items()
        if market.is_outright
    }


_BOOKED: Mapping[str, Callable[[bytes], Source | CashDeposited | ContractSettled | AccountSnapshot]] = {
    T_FILLS.name: decode_fill,
    T_FUNDING.name: decode_funding,
    T_DELIVERIES.name: decode_delivery,
    T_BALANCES.name: decode_deposit,
    T_INTEREST.name: decode_interest,
    T_ACCOUNT_SNAPSHOT.name: decode_snapshot,
}
"""The topics that change or state a balance."""
