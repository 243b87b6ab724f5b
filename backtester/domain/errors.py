"""Every error the program raises on purpose, as one tree.

BacktesterError
  ConfigError
    NetworkForbiddenError
  DomainError
    InvalidMessageError
    InvalidPriceError
    InvalidQuantityError
  DataError
    DataUnavailableError
    SchemaMismatchError
    DataQualityError
    DownloadError
      ChecksumError
      NotFoundError
  InvariantError
    ClockMovedBackError
    LedgerImbalanceError
    DrainLimitError
    OrderStateError
    JournalError
  StrategyError
    StrategySettleError
  StorageError
  VenueError
    TransientVenueError
    PermanentVenueError
    OrderOutcomeUnknownError
  RunAbortedError

Exit codes: 2 for the user's mistakes (ConfigError, StrategyError, StorageError), 3 for data (DataError), 70 for ours
(InvariantError and anything that is not in this tree).
"""

from __future__ import annotations

EXIT_DONE = 0
EXIT_FOUND = 1
EXIT_USER = 2
EXIT_DATA = 3
EXIT_BUG = 70
EXIT_INTERRUPTED = 130


class BacktesterError(Exception):
    """Something the program refuses, in words for its user."""

    exit_code = EXIT_BUG


class ConfigError(BacktesterError):
    """Wrong before the run starts: names the key and the nearest valid name."""

    exit_code = EXIT_USER


class NetworkForbiddenError(ConfigError):
    """Something is not cached and the network may not be used."""


class DomainError(BacktesterError, ValueError):
    """A value that cannot be; a ValueError so that decoders report the field."""

    exit_code = EXIT_USER


class InvalidMessageError(DomainError):
    """A message whose fields contradict each other."""


class InvalidPriceError(DomainError):
    """A price that is not finite or not positive."""


class InvalidQuantityError(DomainError):
    """A quantity that is not finite or not positive."""


class DataError(BacktesterError):
    """Market data that is missing, malformed or wrong: names file, row and rule."""

    exit_code = EXIT_DATA


class DataUnavailableError(DataError):
    """Nothing is stored for what was asked."""


class SchemaMismatchError(DataError):
    """A file without the columns or types that its kind has."""


class DataQualityError(DataError):
    """A row that no market can have produced."""


class DownloadError(DataError):
    """A server refuses, does not answer or sends what it did not announce; what was stored before is as it was."""


class ChecksumError(DownloadError):
    """Bytes are not those the publisher signed for: another digest, or another name in the checksum file."""


class NotFoundError(DownloadError):
    """A server has nothing at an address."""


class InvariantError(BacktesterError):
    """Our bug: never handled, only wrapped."""


class ClockMovedBackError(InvariantError):
    """Time in the journal decreased."""


class LedgerImbalanceError(InvariantError):
    """Postings of one event do not sum to zero, or equity is not what the postings say."""


class DrainLimitError(InvariantError):
    """The modules answered each other for ever inside one instant."""


class OrderStateError(InvariantError):
    """An order was asked to make a transition that its state does not have."""


class JournalError(InvariantError):
    """The journal cannot be read back as it was written."""


class StrategyError(BacktesterError):
    """The user's strategy raised or returned something that is not an intent."""

    exit_code = EXIT_USER


class StrategySettleError(StrategyError):
    """The strategy answers its own refusals for ever; the cycle is named."""


class StorageError(BacktesterError):
    """Output cannot be written: no space, no permission, a directory that exists."""

    exit_code = EXIT_USER


class VenueError(BacktesterError):
    """A venue or its connection failed."""


class TransientVenueError(VenueError):
    """A read timed out or was throttled: retried within a budget."""


class PermanentVenueError(VenueError):
    """Authentication or protocol: live trading stops."""


class OrderOutcomeUnknownError(VenueError):
    """A write timed out: never resent, reconciled first."""


class RunAbortedError(BacktesterError):
    """Wraps what ended a run with the event during which it happened."""

    def __init__(self, cause: BaseException, *, seq: int, time_ms: int, topic: str, handler: str = "") -> None:
        by = f", handler {handler}" if handler else ""
        super().__init__(f"{cause} (event {seq} on {topic}{by}, time_ms {time_ms})")
        self.cause = cause
        self.seq = seq
        self.time_ms = time_ms
        self.topic = topic
        self.handler = handler
        self.exit_code = getattr(cause, "exit_code", EXIT_BUG)


def require(condition: bool, template: str, *values: object, error: type[InvariantError] = InvariantError) -> None:
    """Return if `condition` holds; else raise `error` with the template filled (formatted only then)."""
    if not condition:
        raise error(template % values if values else template)
