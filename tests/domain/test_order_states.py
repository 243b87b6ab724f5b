from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.domain.errors import OrderStateError
from backtester.domain.order_states import TERMINAL, TRANSITIONS, next_status
from backtester.domain.vocabulary import OrderStatus as S

LIVES = [
    (S.NEW, S.REFUSED),
    (S.NEW, S.SUBMITTED, S.REJECTED),
    (S.NEW, S.SUBMITTED, S.LIVE, S.FILLED),
    (S.NEW, S.SUBMITTED, S.LIVE, S.PARTIALLY_FILLED, S.PARTIALLY_FILLED, S.FILLED),
    (S.NEW, S.SUBMITTED, S.LIVE, S.PARTIALLY_FILLED, S.CANCELED),
    (S.NEW, S.SUBMITTED, S.LIVE, S.EXPIRED),
    (S.NEW, S.SUBMITTED, S.UNTRIGGERED, S.TRIGGERED, S.LIVE, S.FILLED),
    (S.NEW, S.SUBMITTED, S.UNTRIGGERED, S.CANCELED),
    (S.NEW, S.SUBMITTED, S.UNTRIGGERED, S.TRIGGERED, S.CANCELED),
]


@pytest.mark.parametrize("life", LIVES, ids=lambda life: "-".join(status.value for status in life))
def test_an_order_may_live_like_this(life: tuple[S, ...]) -> None:
    status = life[0]
    for following in life[1:]:
        status = next_status(status, following, order_id="o1")
    assert status in TERMINAL


@pytest.mark.parametrize(
    ("current", "following"),
    [
        (S.NEW, S.LIVE),  # Risk is never passed by
        (S.NEW, S.FILLED),
        (S.SUBMITTED, S.FILLED),  # not filled before it is live
        (S.UNTRIGGERED, S.FILLED),
        (S.LIVE, S.REJECTED),
        (S.LIVE, S.REFUSED),
        (S.PARTIALLY_FILLED, S.LIVE),
        (S.FILLED, S.CANCELED),  # a cancel after the fill
        (S.CANCELED, S.PARTIALLY_FILLED),
    ],
)
def test_a_transition_the_table_does_not_have_is_our_bug(current: S, following: S) -> None:
    with pytest.raises(OrderStateError, match=f"order o1: {current.value} cannot become {following.value}"):
        next_status(current, following, order_id="o1")


@given(current=st.sampled_from(sorted(TERMINAL, key=lambda status: status.value)), following=st.sampled_from(S))
def test_nothing_leaves_a_terminal_state(current: S, following: S) -> None:
    with pytest.raises(OrderStateError):
        next_status(current, following, order_id="o1")


def test_the_terminal_states_are_these() -> None:
    assert {S.FILLED, S.CANCELED, S.EXPIRED, S.REFUSED, S.REJECTED} == TERMINAL


def test_every_state_has_a_row_and_is_reached_from_new() -> None:
    assert set(TRANSITIONS) == set(S)
    reached, edge = {S.NEW}, [S.NEW]
    while edge:
        following = TRANSITIONS[edge.pop()] - reached
        reached |= following
        edge += following
    assert reached == set(S)


def test_every_state_that_is_not_terminal_can_end() -> None:
    ending = set(TERMINAL)
    for _ in S:
        ending |= {status for status, following in TRANSITIONS.items() if following & ending}
    assert ending == set(S)
