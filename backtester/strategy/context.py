"""What a strategy may know and ask: read-only, and nothing of the future within reach."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple, NoReturn, Protocol, cast

from backtester.domain.account import AccountSnapshot
from backtester.domain.candle import Candle
from backtester.domain.errors import StrategyError
from backtester.domain.instruments import SymbolSpec
from backtester.domain.legs import leg_of, legs_of, split_leg
from backtester.domain.money import decimal_from_money, e8_from_decimal, size_from_e8
from backtester.domain.orders import OpenOrder
from backtester.domain.position import whole_lots
from backtester.domain.vocabulary import Market, PositionSide
from backtester.engine.clock import Clock
from backtester.engine.rng import RandomStream, RandomStreams
from backtester.strategy.history import CandleHistory


class BooksReader(Protocol):
    """The account as a strategy may read it; amounts in money units."""

    cash: int

    def equity(self) -> int:
        """cash + unrealised profit or holdings at the marks."""

    def position(self, symbol: str, side: PositionSide | None = None) -> Decimal:
        """Net signed quantity over all strategies; in hedge mode that of a side, where one is given."""

    def balance(self, asset: str) -> Decimal | None:
        """What the account holds of an asset; None for one that it has nothing to do with."""

    def snapshot(self, time_ms: int) -> AccountSnapshot:
        """The whole account as a message."""


class OrdersReader(Protocol):
    """The working orders as a strategy may read them."""

    def working(self, *, strategy_id: str | None = None, symbol: str | None = None) -> Sequence[OpenOrder]:
        """Working orders in the order they were sent."""


class TimerRequest(NamedTuple):
    """A timer asked for in a hook; the engine sets it when the hook has returned."""

    name: str
    at_ms: int | None
    every_ms: int | None


class Note(NamedTuple):
    """A log event of a hook, as text."""

    event: str
    facts: dict[str, str]


class AccountInfo:
    """The account over all strategies: `cash`, `equity`, `position(symbol)`, `balance(asset)`, `snapshot()`."""

    __slots__ = ("_books", "_clock")

    def __init__(self, books: BooksReader, clock: Clock) -> None:
        self._books = books
        self._clock = clock

    @property
    def cash(self) -> Decimal:
        """Wallet (derivatives) or quote balance (spot)."""
        return decimal_from_money(self._books.cash)

    @property
    def equity(self) -> Decimal:
        """Cash plus what open positions are worth at the last closes."""
        return decimal_from_money(self._books.equity())

    def position(self, symbol: str, side: PositionSide | None = None) -> Decimal:
        """Net signed quantity; in hedge mode that of a side, where one is given."""
        return self._books.position(symbol, side)

    def balance(self, asset: str) -> Decimal:
        """What is held of an asset: the cash in it, or all of a coin on spot. Raises StrategyError for any other asset."""
        amount = self._books.balance(asset)
        if amount is None:
            raise StrategyError(
                f"this run holds no {asset!r}: its assets are those that it settles in and the coins of its spot symbols"
            )
        return amount

    def snapshot(self) -> AccountSnapshot:
        """Everything at once."""
        return self._books.snapshot(self._clock.now_ms)


class PositionTable(dict[str, Decimal]):
    """A strategy's own signed quantities by symbol; reading one that is not of the run is a StrategyError."""

    def __missing__(self, symbol: str) -> NoReturn:
        raise StrategyError(f"{symbol!r} is not a symbol of this run ({', '.join(self)})")


class PositionReader(Protocol):
    """How a strategy reads its own position."""

    def __call__(self, symbol: str, side: PositionSide | None = None) -> Decimal:
        """Signed quantity; in hedge mode that of a side, or of both together."""


class HedgedPositionTable(PositionTable):
    """In hedge mode: a strategy's own signed quantities by leg, and by symbol both together."""

    def __init__(self, symbols: Iterable[str]) -> None:
        self._symbols = tuple(symbols)
        names = (name for symbol in self._symbols for name in (symbol, *legs_of(symbol)))
        super().__init__(dict.fromkeys(names, Decimal(0)))

    def of(self, symbol: str, side: PositionSide | None = None) -> Decimal:
        """Signed quantity of a side, or of both together."""
        return self[symbol if side is None else leg_of(symbol, side)]

    def __missing__(self, leg: str) -> NoReturn:
        symbol = split_leg(leg)[0]
        raise StrategyError(f"{symbol!r} is not a symbol of this run ({', '.join(self._symbols)})")


class StrategyContext:
    """`self.ctx` of a strategy. Values are current when a hook runs: this instant's fills and closes are in them."""

    __slots__ = (
        "_clock",
        "_history",
        "_orders",
        "_specs",
        "_streams",
        "account",
        "outbox",
        "position",
        "strategy_id",
        "symbols",
        "timeframe",
        "warming",
    )  # fmt: skip

    def __init__(
        self,
        *,
        strategy_id: str,
        symbols: tuple[str, ...],
        timeframe: str,
        specs: Mapping[str, SymbolSpec],
        clock: Clock,
        positions: PositionTable,
        books: BooksReader,
        orders: OrdersReader,
        history: CandleHistory,
        streams: RandomStreams,
    ) -> None:
        self.strategy_id = strategy_id
        self.symbols = symbols
        self.timeframe = timeframe
        self.warming = False
        self.account = AccountInfo(books, clock)
        self.outbox: list[TimerRequest | Note] = []
        self._clock = clock
        own = positions.of if isinstance(positions, HedgedPositionTable) else positions.__getitem__
        self.position = cast("PositionReader", own)
        """This strategy's own signed quantity of a symbol, from its fills: what is really held, with what cannot be sold.

        In hedge mode with `side=` that of one side.
        """
        self._orders = orders
        self._history = history
        self._specs = specs
        self._streams = streams

    @property
    def now_ms(self) -> int:
        """The instant of the hook, UTC epoch milliseconds."""
        return self._clock.now_ms

    @property
    def cash(self) -> Decimal:
        """The account's cash: wallet (derivatives) or quote balance (spot)."""
        return self.account.cash

    @property
    def equity(self) -> Decimal:
        """The account's cash plus what open positions are worth at the last closes."""
        return self.account.equity

    def balance(self, asset: str) -> Decimal:
        """What the account holds of an asset (`BTC`, `USDT`), over all strategies."""
        return self.account.balance(asset)

    def closable(self, symbol: str, side: PositionSide | None = None) -> Decimal:
        """What of `position(symbol)`, in hedge mode of that side, an order can close: whole lots, signed; 0 below the minimum.

        A fee that was taken from the coin leaves less than a lot behind: dust, which no order can sell. A derivative's position
        from before a change of rules can be closed whole.
        """
        spec, position = self.spec(symbol), self.position(symbol) if side is None else self.position(symbol, side)
        if not position or (spec.after_change and spec.market is not Market.SPOT):
            return position
        size_e8, lot_e8 = e8_from_decimal(position), spec.lot_e8 * spec.lot_step
        lots_e8 = whole_lots(size_e8, lot_e8) * lot_e8
        return size_from_e8(lots_e8 if abs(lots_e8) >= spec.min_qty_e8 else 0)

    def open_orders(self, symbol: str | None = None) -> tuple[OpenOrder, ...]:
        """This strategy's working orders, those on their way included, in the order they were sent."""
        return tuple(self._orders.working(strategy_id=self.strategy_id, symbol=symbol))

    def history(self, symbol: str, timeframe: str | None = None, n: int | None = None) -> tuple[Candle, ...]:
        """The last `n` closed candles (all that are kept when left out), oldest first; the current one is the last."""
        return self._history.last(symbol, timeframe or self.timeframe, n)

    def spec(self, symbol: str) -> SymbolSpec:
        """Tick, lot and minimums of `symbol`: the rules in force now."""
        spec = self._specs.get(symbol)
        return spec if spec is not None else self._unknown(symbol)

    def timer(self, name: str, *, at_ms: int | None = None, every_ms: int | None = None) -> None:
        """Have `on_timer(name)` called at `at_ms`, or each `every_ms` from now (or from `at_ms`); a name replaces."""
        if at_ms is None and every_ms is None:
            raise StrategyError(f"ctx.timer({name!r}): give at_ms or every_ms")
        if at_ms is not None and at_ms <= self._clock.now_ms:
            raise StrategyError(f"ctx.timer({name!r}): at_ms={at_ms} is not after now ({self._clock.now_ms})")
        if every_ms is not None and every_ms <= 0:
            raise StrategyError(f"ctx.timer({name!r}): every_ms must be above 0, was {every_ms}")
        self.outbox.append(TimerRequest(name, at_ms, every_ms))

    def rng(self, name: str) -> RandomStream:
        """This strategy's random stream of that name, derived from the run's seed."""
        return self._streams.stream("strategy", self.strategy_id, name)

    def log(self, event: str, **facts: object) -> None:
        """Note an event with facts in the journal; never part of the digest."""
        self.outbox.append(Note(str(event), {key: str(value) for key, value in facts.items()}))

    def _unknown(self, symbol: str) -> NoReturn:
        raise StrategyError(f"{symbol!r} is not a symbol of this run ({', '.join(self.symbols)})")
