"""The venues' own rules as data: every profile, the code of every reason that a document names, the words for states."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

import backtester.sim
from backtester.config.venue_rules import venue_rules, venue_status, venue_table
from backtester.domain.book_walk import walk_book
from backtester.domain.errors import DomainError
from backtester.domain.venue_rules import GENERIC
from backtester.domain.vocabulary import OrderStatus, RejectReason, Side, TriggerBy
from tests.sim.small_run import expect, flat, small_run

PROFILES = {"binance_spot", "binance_um", "bybit_spot", "bybit_linear", "bybit_inverse", "bybit_option"}
DERIVATIVES = "bybit_linear bybit_inverse bybit_option"
NAMED = """
    TICK              EC_InvalidPriceScale | 170134 | PRICE_FILTER | -4014
    PRICE_RANGE       110003 | 170132 170133 | PRICE_FILTER | -4001 -4002 -4013
    PRICE_BAND        110003 110120 110121 EC_ReachRiskPriceLimit | 170193 170194 170371 170372 | PERCENT_PRICE_BY_SIDE | -4016 -4024
    LOT_STEP          10001 | 170137 | LOT_SIZE | -4023
    MIN_QTY           10001 | 170136 | LOT_SIZE | -4004
    MAX_QTY           10001 | 170124 170381 170382 | LOT_SIZE | -4005
    MIN_NOTIONAL      110094 | 170140 | NOTIONAL | -4164
    MAX_NOTIONAL      110090 | 170124 | NOTIONAL | -2027
    MAX_OPEN_ORDERS   110020 | 170810 | MAX_NUM_ORDERS MAX_NUM_ALGO_ORDERS | -2025 -4045
    INSUFFICIENT      110004 110007 110012 110044 110045 | 170131 170033 | -2010 | -2018 -2019
    REDUCE_ONLY       110017 CancelByReduceOnly | | | -2022 -4118
    POST_ONLY         EC_PostOnlyWillTakeLiquidity | EC_PostOnlyWillTakeLiquidity 170218 | -2010 | -5022
    FOK               EC_CancelForNoFullFill EC_NoImmediateQtyToFill | EC_CancelForNoFullFill EC_NoImmediateQtyToFill | EXPIRED | -5021
    NO_LIQUIDITY      110118 EC_NoEnoughQtyToFill | 170197 170198 | EXPIRED | -2020 -4131
    SELF_TRADE        CancelBySmp EC_BySelfMatch | CancelBySmp EC_BySelfMatch | EXPIRED_IN_MATCH | EXPIRED_IN_MATCH
    TRIGGER_SIDE      110092 110093 | 170203 170204 | immediately | -2021
    DUPLICATE_ID      110072 | 170141 | -2010 | -4116
    NOT_TRADABLE      110074 110042 110063 | 170151 | closed | -4140 -4141
    TOO_LATE          110008 110001 | EC_TooLateToCancel | -2011 | -2011
    AMEND_BELOW_FILLED 110064 | | |
"""
"""exchange_semantics.md, section 1.4 (and 1.2, 1.3): Bybit derivatives | Bybit spot | Binance spot | USD-M; the last word of a text."""
OURS = {"GOOD_TILL", "CAPACITY", "OCO", "REPLACED", "USER", "LIQUIDATION", "DELIVERY", "UNKNOWN_ORDER", "END_OF_RUN", "BANKRUPT"}
"""What the simulated venue also says, and no document there has a code for in one word."""


def table() -> list[tuple[str, str, set[str]]]:
    found = []
    for line in NAMED.strip().splitlines():
        reason, _, rest = line.strip().partition(" ")
        for names, words in zip((DERIVATIVES, "bybit_spot", "binance_spot", "binance_um"), rest.split("|"), strict=True):
            found += [(name, reason, set(words.split())) for name in names.split()]
    return found


def test_every_profile_exists_once() -> None:
    names = [rules.name for rules in venue_table().values()]
    assert sorted(names) == sorted(PROFILES)
    assert venue_rules("nowhere", "linear") is GENERIC


@pytest.mark.parametrize(("name", "reason", "codes"), table(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_reason_has_the_code_that_the_venue_gives_it(name: str, reason: str, codes: set[str]) -> None:
    (rules,) = [rules for rules in venue_table().values() if rules.name == name]
    code = rules.code_of(RejectReason[reason])
    assert code.removesuffix(".").rpartition(" ")[2] in codes if codes else not code


@pytest.mark.parametrize(("name", "reason", "codes"), table(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_code_for_what_is_too_low_is_another_one_of_the_venue(name: str, reason: str, codes: set[str]) -> None:
    (rules,) = [rules for rules in venue_table().values() if rules.name == name]
    low = rules.code_of(RejectReason[reason], is_low=True)
    assert low == rules.codes_low.get(reason, rules.code_of(RejectReason[reason]))
    assert reason not in rules.codes_low or (low.rpartition(" ")[2] in codes and low != rules.code_of(RejectReason[reason]))


@pytest.mark.parametrize(
    ("market", "order", "code"),
    [
        ("linear", "sell 1 stop 101", "110093"),
        ("linear", "buy 1 stop 99", "110092"),
        ("linear", "sell 1 target 99", "110092"),
        ("linear", "buy 1 target 101", "110093"),
    ],
)
def test_a_trigger_on_the_wrong_side_has_the_code_of_what_it_waits_for(market: str, order: str, code: str) -> None:
    run = small_run(flat("00:00", 3), f"00:01 a {order}", venue=venue_rules("bybit", market))
    assert [message.code for _, _, topic, message in run.entries if topic == "orders.rejected"] == [code]


@pytest.mark.parametrize(("exchange", "buys", "sells"), [("binance", "-4016", "-4024")])
def test_golden_g10_a_price_outside_the_band_has_the_code_of_its_side(exchange: str, buys: str, sells: str) -> None:
    run = small_run(
        flat("00:00", 3),
        "00:01 a buy 1 at 106\n00:01 b sell 1 at 94",
        venue=venue_rules(exchange, "linear"),
        risk={"price_collar_bps": Decimal(500)},
    )
    refused = [message for _, _, topic, message in run.entries if topic == "orders.refused"]
    assert [(message.reason.value, message.code) for message in refused] == [("PRICE_BAND", buys), ("PRICE_BAND", sells)]


def test_every_code_stands_for_a_reason_of_ours() -> None:
    for rules in venue_table().values():
        assert set(rules.codes) <= set(RejectReason.__members__)


def test_whatever_the_simulated_venue_gives_as_a_reason_is_named_or_is_ours() -> None:
    sources = Path(next(iter(backtester.sim.__path__))).glob("*.py")
    given = {name for source in sources for name in re.findall(r"RejectReason\.([A-Z_]+)", source.read_text(encoding="utf-8"))}
    assert given - {reason for _, reason, codes in table() if codes} <= OURS
    assert {"POST_ONLY", "FOK", "TRIGGER_SIDE", "SELF_TRADE", "INSUFFICIENT"} <= given


def test_a_refusal_of_risk_says_what_the_venue_would_have_answered() -> None:
    run = small_run(flat("00:00", 3), "00:01 a sell 1 reduce", venue=venue_rules("binance", "linear"))
    assert run.told() == expect("00:01 a refused REDUCE_ONLY")
    assert [message.code for _, _, topic, message in run.entries if topic == "orders.refused"] == ["-2022"]


@pytest.mark.parametrize(
    ("name", "status", "partly", "word"),
    [
        ("bybit_spot", "canceled", True, "PartiallyFilledCanceled"),
        ("bybit_spot", "canceled", False, "Cancelled"),
        ("bybit_linear", "canceled", True, "Cancelled"),
        ("bybit_option", "expired", True, "Cancelled"),
        ("bybit_inverse", "untriggered", False, "Untriggered"),
        ("binance_um", "expired", True, "EXPIRED"),
        ("binance_spot", "untriggered", False, "NEW"),
        ("binance_spot", "triggered", False, ""),
    ],
)
def test_a_state_has_the_venues_own_word(name: str, status: str, partly: bool, word: str) -> None:
    (rules,) = [rules for rules in venue_table().values() if rules.name == name]
    assert rules.word_of(OrderStatus(status), is_partly_filled=partly) == word


def test_a_row_that_is_like_another_says_the_rest_itself() -> None:
    option, linear = venue_rules("bybit", "option"), venue_rules("bybit", "linear")
    assert (option.codes, option.words, option.fok_short) == (linear.codes, linear.words, linear.fok_short)
    assert option.triggers == () and linear.triggers[0] is TriggerBy.LAST
    assert (option.close_on_trigger, linear.close_on_trigger) == (False, True)


def test_the_word_for_an_immediate_order_follows_the_row() -> None:
    nothing = walk_book(side=Side.BUY, qty=Decimal(1), levels=[])
    for rules in venue_table().values():
        word = venue_status(venue=rules.name, walk=nothing, all_or_nothing=True)
        rejected = rules.fok_short is OrderStatus.REJECTED
        assert word == (f"rejected {rules.code_of(RejectReason.FOK)}" if rejected else rules.word_of(rules.fok_short))
    with pytest.raises(DomainError, match="nowhere"):
        venue_status(venue="nowhere", walk=nothing)
