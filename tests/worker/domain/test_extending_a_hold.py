"""Holding a cart longer, and how long at most."""

from datetime import timedelta

import pytest

from shared.ids import new_id
from shared.refusals import CartEmpty, HoldLimitReached
from tests.builders import (
    A_MOMENT,
    HOLD,
    MAX_HOLD,
    NOW,
    a_book,
    a_cart,
    a_ticket_type,
    an_event,
    extend_hold,
    release_cart,
    reserve,
)
from worker.domain.batch import decide_batch
from worker.domain.book import Book, Changes
from worker.domain.decide import decide

BUYER, TICKETS = new_id(), new_id()


def held_since(age: timedelta, left: timedelta) -> Book:
    """A cart that was opened `age` ago and is held for `left` more."""
    event = an_event()
    tickets = a_ticket_type(event, id=TICKETS)
    cart = a_cart(BUYER, {TICKETS: 2}, opened_at=NOW - age, expires_at=NOW + left)
    return a_book(events=[event], ticket_types=[tickets], carts=[cart])


@pytest.mark.parametrize(
    ("age", "left", "extended"),
    [
        (HOLD / 2, HOLD / 2, HOLD),
        (HOLD - A_MOMENT, A_MOMENT, HOLD),
        (A_MOMENT, HOLD - A_MOMENT, HOLD),
        (MAX_HOLD - HOLD, A_MOMENT, HOLD),
        (MAX_HOLD - HOLD / 2, A_MOMENT, HOLD / 2),
        (MAX_HOLD - 2 * A_MOMENT, A_MOMENT, 2 * A_MOMENT),
    ],
)
def test_a_cart_is_held_as_long_as_a_new_one_but_not_beyond_its_limit(
    age: timedelta, left: timedelta, extended: timedelta
) -> None:
    book = held_since(age, left)
    cart = book.carts[BUYER]

    result = decide(book, extend_hold(BUYER))

    assert result.cart.expires_at == cart.expires_at == NOW + extended
    assert result.cart.id == cart.id
    assert cart.lines == {TICKETS: 2}
    assert book.changes == Changes(extended_carts={cart.id: cart})


@pytest.mark.parametrize(
    ("age", "left"),
    [
        (timedelta(0), HOLD),
        (MAX_HOLD - HOLD / 2, HOLD / 2),
        (MAX_HOLD - A_MOMENT, A_MOMENT),
        (timedelta(0), 2 * HOLD),  # held by a setting that was larger
    ],
)
def test_an_extension_that_gains_nothing_is_refused(age: timedelta, left: timedelta) -> None:
    book = held_since(age, left)

    decision = decide(book, extend_hold(BUYER))

    assert decision == HoldLimitReached(expires_at=NOW + left)
    assert book.changes == Changes()


def test_without_a_cart_there_is_nothing_to_extend() -> None:
    book = a_book(users=[BUYER])

    assert decide(book, extend_hold(BUYER)) == CartEmpty()


def test_a_cart_whose_hold_is_over_cannot_be_extended() -> None:
    batch = decide_batch(held_since(HOLD, timedelta(0)), [extend_hold(BUYER)], {})

    assert batch.to_record[0].outcome.refusal == CartEmpty()


def test_a_cart_that_is_extended_and_then_released_is_closed() -> None:
    book = held_since(HOLD / 2, HOLD / 2)

    decide(book, extend_hold(BUYER))
    decide(book, release_cart(BUYER))

    (cart,) = book.changes.closed_carts.values()
    assert cart.status == "released"


def test_a_cart_of_the_same_batch_is_opened_with_its_extension() -> None:
    event = an_event()
    book = a_book(users=[BUYER], events=[event], ticket_types=[a_ticket_type(event, id=TICKETS)])
    cart = decide(book, reserve(BUYER, {TICKETS: 1})).cart
    book.now += HOLD / 2

    decide(book, extend_hold(BUYER))

    assert book.changes.opened_carts[cart.id].expires_at == NOW + HOLD + HOLD / 2
