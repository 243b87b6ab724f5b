"""Symbols that settle in several assets: a wallet, margin and free cash for each, told together in one currency (ADR 019)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtester import Candle, MarketOrderIntent, PositionSide, Side, Strategy
from backtester.domain.deposits import CashDeposited
from backtester.domain.errors import ConfigError, StrategyError
from backtester.domain.instruments import SymbolSpec
from backtester.domain.orders import Fill, LiquidationOrder
from backtester.domain.run_events import ControlEvent
from backtester.domain.settlement import FundingPaid, Settlement
from backtester.domain.vocabulary import Market
from tests.sim.small_run import SmallRun, clock_text, expect, flat, ms, small_run

BTC, ETH, LIN, USDC, CROSS = "BTCUSD", "ETHUSD", "BTCUSDT", "ETHUSDC", "ETHBTC"
BASES = {BTC: "BTC", ETH: "ETH", LIN: "BTC", USDC: "ETH", CROSS: "ETH"}


def rules(symbol: str) -> SymbolSpec:
    """Inverse contracts of 1 USD, linear ones of lots of 0.001, spot for its price."""
    base, quote = BASES[symbol], symbol.removeprefix(BASES[symbol])
    market = Market.INVERSE if quote == "USD" else Market.SPOT if symbol == CROSS else Market.LINEAR
    step = Decimal(1) if market is Market.INVERSE else Decimal("0.001")
    tick = Decimal("0.0001") if symbol == CROSS else Decimal("0.1")
    return SymbolSpec(
        symbol=symbol, exchange="test", market=market, base=base, quote=quote, tick_size=tick, lot_size=step, min_qty=step
    )


def run(bars: Mapping[str, str], orders: Any = "", *, account: Mapping[str, Any], **more: Any) -> SmallRun:
    given = {"snapshot_every": "1m", **account}
    found = small_run(bars, orders, specs=[rules(symbol) for symbol in bars], account=given, **{"cash": "10000", **more})
    found.engine.account.check()
    return found


def steps(*prices: float) -> str:
    """One minute at each price, without a range."""
    return "\n".join(f"00:{n:02d} {price} {price} {price} {price} 100000" for n, price in enumerate(prices))


def wallets(found: SmallRun) -> dict[str, Decimal]:
    """What the last snapshot says of each asset."""
    return {held.asset: held.amount for held in found.snapshots[-1].balances}


BOTH = {"currency": "USDT", "balances": {"BTC": Decimal("0.5")}}


def test_linear_usdt_and_inverse_btc_keep_their_money_apart_and_are_told_in_usdt() -> None:
    found = run(
        {LIN: steps(100, 100, 110, 110, 125, 125), BTC: steps(100, 100, 100, 100, 125, 125)},
        "00:01 a:BTCUSDT buy 2\n00:01 b:BTCUSD buy 40\n00:04 c:BTCUSDT sell 2\n00:05 d:BTCUSD sell 40",
        account=BOTH,
    )
    first, last = found.messages(CashDeposited)
    assert [(one.asset, one.amount, one.price) for one in (first, last)] == [("USDT", 10000, 1), ("BTC", Decimal("0.5"), 100)]
    assert found.told(Fill) == expect(
        """
        00:01 a buy 2 @ 100 taker
        00:01 b buy 40 @ 100 taker
        00:04 c sell 2 @ 125 taker
        00:05 d sell 40 @ 125 taker
        """
    )
    assert wallets(found) == {"USDT": 10050, "BTC": Decimal("0.58")}  # 40 x (1/100 - 1/125)
    told = {clock_text(one.time_ms): (one.cash, one.equity) for one in found.snapshots}
    assert told["00:00"] == (10050, 10050)
    assert told["00:03"] == (10055, 10075)  # 0.5 BTC at 110, and 20 USDT that are not realised
    assert told["00:05"] == (10050 + Decimal("62.5"), 10050 + Decimal("72.5"))  # 0.08 BTC are not realised
    assert told["00:06"] == (10050 + Decimal("72.5"), 10050 + Decimal("72.5"))
    assert found.snapshots[-1].realised_pnl == 50 + 10


def test_two_inverse_coins_are_told_in_dollars_that_no_wallet_holds() -> None:
    found = run(
        {BTC: steps(100, 100, 50, 50), ETH: steps(10, 10, 20, 20)},
        "00:01 a:BTCUSD sell 100\n00:01 b:ETHUSD buy 30",
        account={"currency": "USD", "balances": {"BTC": Decimal(2), "ETH": Decimal(10)}},
    )
    assert wallets(found) == {"BTC": 2, "ETH": 10}
    first, last = found.snapshots[0], found.snapshots[-1]
    assert (first.cash, first.equity) == (300, 300)
    assert last.cash == 2 * 50 + 10 * 20
    assert last.unrealised_pnl == 1 * 50 + Decimal("1.5") * 20  # 100 x (1/50 - 1/100) BTC, 30 x (1/10 - 1/20) ETH
    assert last.exposure == 100 + 30
    assert [(view.symbol, view.unrealised_pnl) for view in last.positions] == [(BTC, 1), (ETH, Decimal("1.5"))]


def test_an_order_needs_free_cash_in_its_own_asset() -> None:
    """100,000 USDT do not stand for an order in coins, and what works in one asset leaves the other's free."""
    found = run(
        {LIN: steps(100, 100, 100), BTC: steps(100, 100, 100)},
        "00:01 rest:BTCUSDT buy 900 at 90\n00:01 much:BTCUSD buy 51\n00:01 fits:BTCUSD buy 49\n00:01 more:BTCUSD buy 2\n"
        "00:01 left:BTCUSDT buy 190 at 90\n00:01 none:BTCUSDT buy 40 at 90",
        account=BOTH, cash="100000",
    )  # fmt: skip
    assert found.told() == expect(
        """
        00:01 much refused INSUFFICIENT
        00:01 more refused INSUFFICIENT
        00:01 none refused INSUFFICIENT
        00:01 fits buy 49 @ 100 taker
        00:03 rest ends END_OF_RUN 900
        00:03 left ends END_OF_RUN 190
        """
    )


@pytest.mark.parametrize(
    ("symbols", "account", "expected"),
    [
        ((LIN, BTC), {}, "account.currency"),
        ((LIN, BTC), {"currency": "EUR"}, "Add USDTEUR or EURUSDT"),
        ((BTC, ETH), {"currency": "BTC", "balances": {"BTC": Decimal(1)}}, "Add ETHBTC or BTCETH"),
        ((LIN, USDC), {"currency": "USDT"}, "Add USDCUSDT or USDTUSDC to the symbols (or, for a stablecoin, account.peg)"),
        ((LIN, BTC), {"currency": "USDT", "balances": {"ETH": Decimal(1)}}, "settles in ETH"),
        ((BTC,), {"currency": "USD"}, "begins with nothing"),
        ((LIN,), {"peg": ("USDC=USDT",)}, "leave it out"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_in_one_currency_is_a_clear_error(
    symbols: tuple[str, ...], account: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        run(dict.fromkeys(symbols, flat("00:00", 2)), account=account)
    assert expected in str(caught.value)


def test_a_stablecoin_is_another_only_where_a_peg_says_so() -> None:
    found = run({LIN: flat("00:00", 2), USDC: flat("00:00", 2)}, account={"currency": "USDT", "peg": ("USDC=USDT",),
        "balances": {"USDC": Decimal(50)}})  # fmt: skip
    assert (found.snapshots[-1].equity, wallets(found)) == (10050, {"USDT": 10000, "USDC": 50})


def test_a_spot_pair_may_be_there_for_its_price_only_and_is_divided_by_where_it_is_turned() -> None:
    """ETH in BTC by ETHBTC, BTC in ETH by the same; no order in the pair passes."""
    bars = {BTC: flat("00:00", 3), ETH: flat("00:00", 3, price=10), CROSS: flat("00:00", 3, price=0.1)}
    balances = {"balances": {"BTC": Decimal(1), "ETH": Decimal(20)}}
    orders = "00:01 no:ETHBTC buy 1"
    in_btc, in_eth = (run(bars, orders, account={"currency": name, **balances}) for name in ("BTC", "ETH"))
    assert (in_btc.snapshots[-1].equity, in_eth.snapshots[-1].equity) == (3, 30)
    assert [line.split()[1:3] for line in in_btc.told()] == [["no", "refused"]]


def test_a_strategy_sees_the_currency_and_each_wallet() -> None:
    seen: list[Any] = []

    class Looks(Strategy):
        def on_start(self) -> None:
            account = self.ctx.account
            seen.extend((self.ctx.cash, self.ctx.equity, account.balance("BTC"), account.balance("USDT"), self.ctx.position(BTC)))
            with pytest.raises(StrategyError):
                account.balance("ETH")

    run({LIN: flat("00:00", 2), BTC: flat("00:00", 2)}, [Looks], account=BOTH)
    assert seen == [10050, 10050, Decimal("0.5"), 10000, 0]


def test_rails_go_by_the_equity_of_all_assets_and_see_a_coin_fall_that_is_only_held() -> None:
    found = run(
        {LIN: steps(100, 100, 100, 100), BTC: steps(100, 100, 60, 60)},
        "00:01 a:BTCUSDT buy 1",
        account={"currency": "USDT", "balances": {"BTC": Decimal(100), "USDT": Decimal(1000)}},
        risk={"max_drawdown": Decimal("0.1"), "max_drawdown_action": "flatten"},
    )
    assert found.snapshots[0].equity == 11000
    assert found.told(Fill) == expect("00:01 a buy 1 @ 100 taker")  # BTC is told by BTCUSDT, the first that has its price
    fallen = run(
        {BTC: steps(100, 100, 60, 60), LIN: steps(100, 100, 100, 100)},
        "00:01 a:BTCUSDT buy 1",
        account={"currency": "USD", "peg": ("USDT=USD",), "balances": {"BTC": Decimal(100), "USDT": Decimal(1000)}},
        risk={"max_drawdown": Decimal("0.1"), "max_drawdown_action": "flatten"},
    )
    assert [line.split()[1:] for line in fallen.told(Fill, ControlEvent)] == [
        ["a", "buy", "1", "@", "100", "taker"], ["drawdown_flatten"], ["risk-1", "sell", "1", "@", "100", "taker"],
    ]  # fmt: skip


def test_an_asset_whose_equity_is_used_up_ends_the_run_although_another_has_plenty() -> None:
    found = run(
        {LIN: steps(100, 100, 100, 100), BTC: steps(100, 100, 40, 40)},
        "00:01 a:BTCUSD buy 49",
        account=BOTH,
    )
    assert found.reason == "bankrupt"
    assert "equity in BTC is used up" in found.messages(ControlEvent)[-1].detail


def test_a_liquidation_takes_the_wallet_of_its_asset_only() -> None:
    found = run(
        {LIN: steps(100, 100, 100, 100, 100), BTC: steps(100, 100, 70, 70, 70)},
        "00:01 a:BTCUSD buy 150\n00:01 b:BTCUSDT buy 1",
        account={**BOTH, "leverage": Decimal(5)},
    )
    (liquidation,) = found.messages(LiquidationOrder)
    assert (liquidation.order.order_id, liquidation.order.symbol, found.reason) == ("liq-BTC-1", BTC, "data")
    assert wallets(found)["USDT"] == 10000
    assert 0 <= wallets(found)["BTC"] < Decimal("0.01")
    assert [view.symbol for view in found.snapshots[-1].positions] == [LIN]


def test_exposure_limits_compare_in_the_currency() -> None:
    """5 % of 10,050 USDT are 502.5: 400 dollars of an inverse coin worth 100 each pass, 200 more do not."""
    found = run(
        {LIN: steps(100, 100, 100), BTC: steps(100, 100, 100)},
        "00:01 a:BTCUSD buy 400\n00:02 b:BTCUSD buy 200\n00:02 c:BTCUSDT buy 1.1\n00:02 d:BTCUSDT buy 1",
        account={"currency": "USDT", "balances": {"BTC": Decimal("0.5")}, "leverage": Decimal(20)},
        risk={"max_total_exposure": Decimal("0.05")},
    )
    assert [line.split()[1:3] for line in found.told()] == [["a", "buy"], ["b", "refused"], ["c", "refused"], ["d", "buy"]]


MOVES = st.lists(st.integers(-30, 30), min_size=12, max_size=12)
TRADES = st.lists(st.tuples(st.integers(1, 11), st.booleans(), st.integers(1, 9)), max_size=8)


def walk(start: float, moves: list[int]) -> str:
    """Bars that follow one another, each with a range around its open and close."""
    rows, price = [], start
    for n, move in enumerate(moves):
        close = round(price * (1 + move / 1000), 1)
        rows.append(f"00:{n:02d} {price} {max(price, close) + 0.5} {min(price, close) - 0.5} {close} 100000")
        price = close
    return "\n".join(rows)


def sent(symbol: str, trades: list[tuple[int, bool, int]], unit: str) -> list[str]:
    rows = sorted(enumerate(trades), key=lambda row: (row[1][0], row[0]))
    return [f"00:{at:02d} {symbol}-{n}:{symbol} {'buy' if buys else 'sell'} {Decimal(unit) * size}" for n, (at, buys, size) in rows]


@settings(deadline=None, max_examples=40)
@given(MOVES, MOVES, TRADES, TRADES, st.sampled_from([1, 15]), st.sampled_from(["cross", "isolated"]))
def test_a_run_of_two_assets_is_the_two_runs_of_one_asset_fill_by_fill_and_wallet_by_wallet(
    moves: list[int], others: list[int], trades: list[tuple[int, bool, int]], turned: list[tuple[int, bool, int]], leverage: int,
    margin: str,
) -> None:  # fmt: skip
    bars = {LIN: walk(100, moves), BTC: walk(100, others)}
    orders = {LIN: sent(LIN, trades, "10"), BTC: sent(BTC, turned, "1000")}
    account = {"leverage": Decimal(leverage), "margin": margin, "snapshot_every": "1m"}
    common = {"fee_bps": ("2", "5"), "spread_bps": 4}

    def paid(symbol: str) -> list[Settlement]:
        return [Settlement(ms("00:08"), symbol, Decimal("0.0005"), 100 * 10**8)]

    both = small_run(
        bars, "\n".join([*orders[LIN], *orders[BTC]]), specs=[rules(LIN), rules(BTC)], cash="50000",
        account={**account, "currency": "USDT", "balances": {"BTC": Decimal(500)}}, settlements=[*paid(LIN), *paid(BTC)], **common,
    )  # fmt: skip
    both.engine.account.check()
    for symbol, asset, cash in ((LIN, "USDT", "50000"), (BTC, "BTC", "500")):
        alone = small_run(
            {symbol: bars[symbol]}, "\n".join(orders[symbol]), specs=[rules(symbol)], cash=cash, account=account,
            settlements=paid(symbol), **common,
        )  # fmt: skip
        assert both.reason == alone.reason == "data"
        assert _of(both, symbol) == _of(alone, symbol)
        mine = {one.time_ms: held.amount for one in both.snapshots for held in one.balances if held.asset == asset}
        assert mine == {one.time_ms: one.cash for one in alone.snapshots}
        assert both.engine.account.ledger.balances[asset] == alone.engine.account.ledger.balances[asset]


def _of(found: SmallRun, symbol: str) -> list[Any]:
    """Fills and funding of a symbol, but for the names of the engine's own orders."""
    return [
        (one.time_ms, one.side, one.qty, one.price, one.fee_e8, one.fee_asset, one.reason)
        if isinstance(one, Fill)
        else (one.time_ms, one.qty, one.amount)
        for one in found.messages(Fill, FundingPaid)
        if one.symbol == symbol
    ]


@pytest.mark.parametrize("routing", ["interest", "broadcast"])
def test_who_is_called_changes_nothing(routing: str) -> None:
    class Turns(Strategy):
        def on_candle(self, candle: Candle) -> MarketOrderIntent:
            side = Side.SELL if self.ctx.position(candle.symbol) > 0 else Side.BUY
            return MarketOrderIntent(symbol=candle.symbol, side=side, qty=1)

    bars = {LIN: walk(100, [9, -4, 7, 3, -8, 5]), BTC: walk(100, [-3, 8, -6, 4, 4, -2])}
    found = run(bars, [Turns], account={**BOTH, "leverage": Decimal(3)}, routing=routing, risk={"max_drawdown": Decimal("0.5")})
    assert len(found.fills) == 10
    assert found.snapshots[-1].equity == run(bars, [Turns], account={**BOTH, "leverage": Decimal(3)}).snapshots[-1].equity


@pytest.mark.parametrize("margin", ["cross", "isolated"])
@pytest.mark.parametrize("leverage", [1, 15])
def test_in_hedge_mode_too_a_run_of_two_assets_is_the_two_runs_of_one_asset(leverage: int, margin: str) -> None:
    """Both sides of both symbols are opened; isolated, the fall liquidates the long ones that are on margin."""
    bars = {symbol: walk(100, [3, -5, 8, 2, -90, -60, 40, 10, -5, 5, 2, 1]) for symbol in (LIN, BTC)}
    sides = ("buy {} long", "sell {} short", "sell {} long", "buy {} short")
    qty = 200 if leverage == 1 else 2000
    orders = {
        symbol: [f"00:{2 * n + 1:02d} {symbol}-{n}:{symbol} {words.format(qty)}" for n, words in enumerate(sides)]
        for symbol in (LIN, BTC)
    }
    account = {"leverage": Decimal(leverage), "margin": margin, "snapshot_every": "1m", "position_mode": "hedge"}
    both = small_run(
        bars, "\n".join([*orders[LIN], *orders[BTC]]), specs=[rules(LIN), rules(BTC)], cash="50000", fee_bps=("2", "5"),
        account={**account, "currency": "USDT", "balances": {"BTC": Decimal(5)}},
        settlements=[Settlement(ms("00:04"), symbol, Decimal("0.0005"), 100 * 10**8) for symbol in (LIN, BTC)],
    )  # fmt: skip
    both.engine.account.check()
    liquidated = {one.order.symbol for one in both.messages(LiquidationOrder)}
    assert liquidated == ({LIN, BTC} if (leverage, margin) == (15, "isolated") else set())
    for symbol, asset, cash in ((LIN, "USDT", "50000"), (BTC, "BTC", "5")):
        alone = small_run(
            {symbol: bars[symbol]}, "\n".join(orders[symbol]), specs=[rules(symbol)], cash=cash, account=account,
            settlements=[Settlement(ms("00:04"), symbol, Decimal("0.0005"), 100 * 10**8)], fee_bps=("2", "5"),
        )  # fmt: skip
        assert _of(both, symbol) == _of(alone, symbol)
        assert {fill.position_side for fill in alone.messages(Fill)} == set(PositionSide)
        assert both.engine.account.ledger.balances[asset] == alone.engine.account.ledger.balances[asset]
        mine = {one.time_ms: [view for view in one.positions if view.symbol == symbol] for one in both.snapshots}
        assert mine == {one.time_ms: list(one.positions) for one in alone.snapshots}
