"""European options in runs: premium and fee at the fill, cash settlement at the expiry, margin of what is sold."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtester.domain.delivery import ContractSettled, Delivery
from backtester.domain.errors import ConfigError, DataUnavailableError
from backtester.domain.orders import LiquidationOrder, OrderCanceled, OrderRefused
from backtester.domain.vocabulary import RejectReason
from tests.sim.small_run import SmallRun, expect, flat, option, small_run, spec

CALL, PUT = "BTC-250106-45000-C", "BTC-250106-40000-P"
UNDERLYING = "BTCUSDT"


def run(
    orders: str,
    *,
    name: str = CALL,
    premium: float = 3000,
    settled: float = 46050,
    index: float = 42000,
    exchange: str = "bybit",
    last: float | None = None,
    **kwargs: Any,
) -> SmallRun:
    """Option at one price from 07:20 on, what it is on at `index` until 07:30 and at `settled` to the expiry at 08:00, then on."""
    after = flat("07:30", 29, price=settled) + "\n" + flat("07:59", 1, price=settled if last is None else last)
    bars = {
        name: flat("07:20", 38, price=premium),
        UNDERLYING: flat("07:20", 10, price=index) + "\n" + after + "\n" + flat("08:00", 5, price=settled),
    }
    given_ = {"fee_bps": ("2", "3"), "option_spread_bps": 0, "cash": "100000"} | kwargs
    lines = "\n".join(f"{when} {order_id}:{name} {rest}" for when, order_id, rest in _split(orders))
    return small_run(bars, lines, specs=[option(name, exchange=exchange), spec(UNDERLYING)], **given_)


def _split(orders: str) -> list[tuple[str, str, str]]:
    rows = (line.split(maxsplit=2) for line in orders.splitlines() if line.strip())
    return [(when, order_id, rest) for when, order_id, rest in rows]


def cash(found: SmallRun) -> Decimal:
    return found.snapshots[-1].cash - Decimal(100000)


def test_f01_f05_a_call_bought_and_held_to_its_expiry_in_the_money_nets_what_the_venue_says() -> None:
    found = run("07:25 o buy 0.3", last=46000, settled=(30 * 46050 - 46000) / 29)  # the mean is 46050, the index in the end 46000
    assert [fill.fee for fill in found.fills] == [Decimal("3.78")]  # F01: 3 bps of the index, for 0.3
    (delivery,) = found.messages(Delivery)
    assert (delivery.side.value, delivery.qty, delivery.fee) == ("sell", Decimal("0.3"), Decimal("2.07"))
    assert abs(delivery.settlement_price - 46050) < Decimal("0.0001")
    assert abs(cash(found) - Decimal("-590.85")) < Decimal("0.0001")  # F05
    assert found.snapshots[-1].positions == ()


def test_a_call_is_settled_at_the_mean_of_the_last_half_hour() -> None:
    found = run("07:25 o buy 0.3", settled=46050)
    (settled,) = found.messages(ContractSettled)
    (delivery,) = found.messages(Delivery)
    assert (settled.settlement_price, settled.is_last) == (Decimal(46050), False)
    assert (delivery.price, delivery.fee) == (Decimal(1050), Decimal("2.07225"))
    assert cash(found) == Decimal(-900) - Decimal("3.78") + Decimal(315) - Decimal("2.07225")


def test_f06_an_option_that_expires_out_of_the_money_is_gone_for_nothing_and_costs_no_fee() -> None:
    found = run("07:25 o buy 0.3", name=PUT, premium=500)
    (delivery,) = found.messages(Delivery)
    assert (delivery.price, delivery.fee) == (0, 0)
    assert cash(found) == Decimal("-153.78")


def test_f02_f07_caps_bind_by_the_price_of_the_option_and_by_its_worth() -> None:
    found = run("07:25 o buy 0.3", name="BTC-250106-46000-C", premium=50, settled=46020)
    (delivery,) = found.messages(Delivery)
    assert [fill.fee for fill in found.fills] == [Decimal("1.05")]
    assert delivery.fee == Decimal("0.75")


def test_each_venue_has_its_own_caps() -> None:
    found = run("07:25 o buy 0.3", premium=50, exchange="binance")
    assert [fill.fee for fill in found.fills] == [Decimal("1.5")]  # 10 % of 50, for 0.3


def test_a_half_hour_that_is_not_stored_whole_is_settled_at_the_last_close_and_flagged() -> None:
    bars = {CALL: flat("07:40", 15, price=3000), UNDERLYING: flat("07:35", 10, price=46000) + "\n" + flat("08:00", 2, price=40000)}
    found = small_run(bars, f"07:45 o:{CALL} buy 0.3", specs=[option(CALL), spec(UNDERLYING)], option_spread_bps=0)
    (settled,) = found.messages(ContractSettled)
    assert (settled.settlement_price, settled.is_last) == (Decimal(46000), True)


def test_an_option_is_worth_its_last_close_and_its_premium_is_gone_from_cash() -> None:
    found = run("07:25 o buy 0.3", snapshot_every="1m", fee_bps=("0", "0"))
    held = next(one for one in found.snapshots if one.positions)
    assert (held.cash, held.equity, held.exposure) == (Decimal(99100), Decimal(100000), Decimal(900))


def test_orders_end_with_their_contract_and_later_ones_are_refused() -> None:
    found = run(
        """
        07:25 rests buy 0.1 at 100
        08:01 late buy 0.1
        """
    )
    assert found.told(OrderCanceled, OrderRefused) == expect(
        """
        08:00 rests ends DELIVERY 0.1
        08:01 late refused NOT_TRADABLE
        """
    )


def test_an_order_on_its_way_at_the_expiry_is_rejected() -> None:
    found = run("07:58 o buy 0.1", order_latency_ms=200_000)
    assert found.told() == expect("08:00 o rejected NOT_TRADABLE")


def test_a_premium_that_cash_does_not_cover_is_refused() -> None:
    found = run("07:25 o buy 0.3", cash="900")
    (refused,) = found.messages(OrderRefused)
    assert refused.reason is RejectReason.INSUFFICIENT


def test_a_market_order_that_no_longer_is_covered_at_its_fill_ends() -> None:
    bars = {
        CALL: flat("07:20", 6, price=100) + "\n" + flat("07:26", 10, price=3000),
        UNDERLYING: flat("07:20", 45, price=46000),
    }
    found = small_run(bars, f"07:25 o:{CALL} buy 0.3", specs=[option(CALL), spec(UNDERLYING)], cash="100", order_latency_ms=60_000)
    assert found.told() == expect("07:26 o ends INSUFFICIENT 0.3")


def test_f09_a_sale_needs_the_initial_margin_of_a_short() -> None:
    sell = "07:25 o sell 1"
    facts: dict[str, Any] = {"name": "BTC-250106-31000-C", "premium": 320, "index": 30000, "settled": 30000}
    # 15 % of 30,000 - 1,000 out of the money + 320, and a fee of at most 7 % of 320
    enough, short = run(sell, **facts, cash="3842.4"), run(sell, **facts, cash="3842.3")
    assert enough.told() == expect("07:25 o sell 1 @ 320 taker")
    assert short.told() == expect("07:25 o refused INSUFFICIENT")


def test_f06_a_put_sold_and_held_to_its_expiry_keeps_the_premium() -> None:
    found = run("07:25 o sell 0.3", name=PUT, premium=500)
    assert cash(found) == Decimal("146.22")
    assert found.snapshots[-1].equity == found.snapshots[-1].cash


def test_a_call_sold_pays_what_it_is_worth_and_the_delivery_fee() -> None:
    found = run("07:25 o sell 0.3")
    assert cash(found) == Decimal(900) - Decimal("3.78") - Decimal(315) - Decimal("2.07225")


def test_margin_of_a_short_is_not_free_for_other_orders() -> None:
    found = run("07:25 o sell 1\n07:26 p sell 1", name="BTC-250106-31000-C", premium=320, index=30000, settled=30000, cash="7300")
    assert found.told() == expect("07:25 o sell 1 @ 320 taker\n07:26 p refused INSUFFICIENT")


def test_an_option_without_prices_of_what_it_is_on_ends_with_an_error_that_says_what_to_do() -> None:
    with pytest.raises(DataUnavailableError, match=r"sim\.underlying={BTC="):
        small_run({CALL: flat("07:20", 20)}, specs=[option(CALL)])


def test_an_option_that_has_expired_before_the_run_is_refused() -> None:
    with pytest.raises(ConfigError, match="expired at 2025-01-06 08:00:00 UTC"):
        small_run({CALL: flat("08:10", 20), UNDERLYING: flat("07:00", 90)}, start="08:10", specs=[option(CALL), spec(UNDERLYING)])


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(-5, 5).filter(bool), min_size=1, max_size=6),
    premium=st.integers(1, 900),
    settled=st.integers(39_000, 51_000),
    put=st.booleans(),
)
def test_money_is_conserved_whatever_is_bought_and_sold_before_the_expiry(
    sizes: list[int], premium: int, settled: int, put: bool
) -> None:
    orders = "\n".join(
        f"07:{21 + place} o{place} {'buy' if size > 0 else 'sell'} 0.{abs(size)}" for place, size in enumerate(sizes)
    )
    name = PUT if put else CALL
    found = run(orders, name=name, premium=premium, settled=settled, cash="1000000")
    held = sum((fill.side.sign * fill.qty for fill in found.fills), Decimal(0))
    worth = max(0, 40_000 - settled) if put else max(0, settled - 45_000)
    fees = sum(message.fee for message in (*found.fills, *found.messages(Delivery)))
    assert found.snapshots[-1].equity == 1_000_000 - held * premium + held * worth - fees
    assert len(found.fills) == len(sizes)
    assert found.snapshots[-1].positions == ()


def sold_call(*closes: float, index: float = 33000, cash: str = "3850", orders: str = "", **kwargs: Any) -> SmallRun:
    """A call at 31,000 sold for 320 at 07:25 while its coin stands at 30,000; from 07:27 on it closes as given, its coin at `index`."""
    name = "BTC-250106-31000-C"
    later = "\n".join(flat(f"07:{27 + place}", 1, price=close) for place, close in enumerate(closes))
    bars = {
        name: flat("07:20", 7, price=320) + "\n" + later,
        UNDERLYING: flat("07:20", 7, price=30000) + "\n" + flat("07:27", 20, price=index),
    }
    lines = f"07:25 o:{name} sell 1\n{orders}"
    return small_run(
        bars, lines, specs=[option(name), spec(UNDERLYING)], cash=cash, fee_bps=("2", "3"), **({"option_spread_bps": 0} | kwargs)
    )


def test_a_short_is_closed_at_the_first_close_at_which_cash_does_not_cover_its_maintenance_margin() -> None:
    # 3,850 + 320 - 9 = 4,161; margin at 33,000 is 990 + 66 + the mark
    safe, short = sold_call(3105), sold_call(3105, 3105.1, 100)
    assert safe.told() == expect("07:25 o sell 1 @ 320 taker")
    assert short.told() == expect("07:25 o sell 1 @ 320 taker\n07:29 liq-1 buy 1 @ 3105.1 taker bar")
    (order,) = short.messages(LiquidationOrder)
    assert (order.order.reason, order.is_cross) == ("LIQUIDATION", True)


def test_a_liquidation_costs_the_trading_fee_the_venues_fee_and_half_the_spread() -> None:
    found = sold_call(3200)
    assert found.fills[-1].fee == Decimal("9.9") + Decimal(66)  # 3 bps and 20 bps of 33,000
    assert found.snapshots[-1].cash == 4161 - 3200 - Decimal("75.9")
    wide = sold_call(3200, option_spread_bps=300)
    assert wide.fills[-1].price == 3248  # 1.5 % above 3,200


def test_the_coin_alone_can_leave_a_short_without_margin_while_its_option_does_not_trade() -> None:
    found = sold_call(320, index=130_000)
    assert found.told()[-1] == "07:28 liq-1 buy 1 @ 320 taker bar"


def test_orders_of_the_account_end_when_it_is_liquidated() -> None:
    found = sold_call(3200, orders=f"07:26 b:{UNDERLYING} buy 0.01 at 20000")
    assert "07:28 b ends LIQUIDATION 0.01" in found.told()


def test_a_long_option_is_no_margin_for_a_short_one() -> None:
    name, other = "BTC-250106-31000-C", "BTC-250106-32000-C"
    bars = {
        name: flat("07:20", 7, price=320) + "\n" + flat("07:27", 3, price=3200),
        other: flat("07:20", 7, price=100) + "\n" + flat("07:27", 3, price=3000),
        UNDERLYING: flat("07:20", 7, price=30000) + "\n" + flat("07:27", 20, price=33000),
    }
    found = small_run(
        bars,
        f"07:24 l:{other} buy 1\n07:25 o:{name} sell 1",
        specs=[option(name), option(other), spec(UNDERLYING)],
        cash="4000",
        option_spread_bps=0,
    )
    assert found.told()[-1] == "07:28 liq-1 buy 1 @ 3200 taker bar"
    assert [view.symbol for view in found.snapshots[-1].positions] == [other]


@pytest.mark.parametrize("routing", ["interest", "broadcast"])
def test_a_liquidation_is_the_same_however_bars_are_routed(routing: str) -> None:
    found = sold_call(3000, 3105, 3105.1, 3200, routing=routing)
    assert found.told() == expect("07:25 o sell 1 @ 320 taker\n07:30 liq-1 buy 1 @ 3105.1 taker bar")


def test_a_run_with_options_takes_no_leverage() -> None:
    with pytest.raises(ConfigError, match="takes no leverage"):
        sold_call(320, account={"leverage": 2})


@pytest.mark.parametrize(
    "rest",
    [
        *("sell 0.1 stop 2000 reduce", "buy 0.1 sl 2000", "buy 0.1 at 3000 tp 4000", "sell 0.1 oco 4000 2000 -"),
        *("sell 0.1 tp 2000", "sell 0.05 at 3300 sl 4000"),  # these only close, and would bring orders that wait
    ],
)
def test_orders_that_wait_for_a_price_are_refused(rest: str) -> None:
    found = run(f"07:24 held buy 0.1\n07:26 o {rest}")
    (refused,) = found.messages(OrderRefused)
    assert (refused.order_id, refused.reason) == ("o", RejectReason.INVALID)
    assert "options have no orders that wait" in refused.detail


def test_options_in_hedge_mode_are_refused() -> None:
    with pytest.raises(ConfigError, match="one_way"):
        run("07:25 o buy 0.1", account={"position_mode": "hedge"})


def test_an_index_of_no_option_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"sim.underlying names ETH, on which this run has no option \(BTC\)"):
        run("07:25 o buy 0.1", underlying={"ETH": "ETHUSDT"})


def test_the_index_of_an_option_can_be_named() -> None:
    name, other = CALL, "OTHERUSDT"
    bars = {name: flat("07:20", 38, price=3000), other: flat("07:20", 45, price=46050), UNDERLYING: flat("07:20", 45, price=1)}
    found = small_run(bars, specs=[option(name), spec(other), spec(UNDERLYING)], underlying={"BTC": other})
    assert [settled.settlement_price for settled in found.messages(ContractSettled)] == [46050]
