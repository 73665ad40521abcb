"""A batch: duplicates, reused IDs, commands set aside, and holds that are over."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.ids import new_id
from shared.messages import UnreadCommand
from shared.outcomes import decode_outcome
from shared.refusals import CommandIdReused, Unprocessable
from tests.builders import (
    A_MOMENT,
    COMMAND_WINDOW,
    FAR_AHEAD,
    HOLD,
    NOW,
    a_book,
    a_cart,
    a_ticket_type,
    an_event,
    change_ticket_type,
    documents,
    id_made_at,
    recorded,
    release_cart,
    reopened,
    reserve,
)
from worker.domain.batch import RecordedOutcome, decide_batch
from worker.domain.book import RETENTION_MARGIN, Book, Changes

ANN, BOB = new_id(), new_id()
TICKETS = new_id()


def selling(total: int, **carts: int) -> Book:
    """A book with `total` tickets on sale for Ann and Bob."""
    event = an_event()
    ticket_type = a_ticket_type(event, id=TICKETS, total=total)
    return a_book(users=[ANN, BOB], events=[event], ticket_types=[ticket_type])


def test_the_documents_stand_in_the_order_of_the_commands() -> None:
    commands = [release_cart(user_id) for user_id in (ANN, BOB, ANN)]

    batch = decide_batch(selling(1), commands, {})

    ids = [decode_outcome(document).command_id for document in documents(batch)]
    assert ids == [command.command_id for command in commands]
    assert batch.to_record == batch.outcomes


def test_each_command_sees_what_the_one_before_it_did() -> None:
    batch = decide_batch(
        selling(1),
        [
            reserve(ANN, {TICKETS: 1}),
            reserve(BOB, {TICKETS: 1}),
            release_cart(ANN),
            reserve(BOB, {TICKETS: 1}),
        ],
        {},
    )

    statuses = [decode_outcome(document).status for document in documents(batch)]
    assert statuses == ["succeeded", "refused", "succeeded", "succeeded"]


def test_an_outcome_carries_the_command_and_the_clock_of_the_book() -> None:
    command = reserve(ANN, {TICKETS: 1}, submitted_at=NOW - HOLD)

    outcome = decide_batch(selling(1), [command], {}).to_record[0].outcome

    assert (outcome.command_id, outcome.kind) == (command.command_id, "reserve_tickets")
    assert (outcome.submitted_at, outcome.decided_at) == (NOW - HOLD, NOW)
    assert outcome.refusal is None


def test_a_duplicate_in_one_batch_gets_the_same_document_to_the_letter() -> None:
    command = reserve(ANN, {TICKETS: 1})
    later = command.model_copy(update={"submitted_at": FAR_AHEAD, "deadline": FAR_AHEAD})

    batch = decide_batch(selling(1), [command, later, command], {})

    assert len(set(documents(batch))) == 1
    assert len(batch.to_record) == 1
    assert batch.changes.changed_ticket_types[TICKETS].reserved == 1


def test_a_duplicate_gets_the_recorded_outcome_even_if_it_would_now_differ() -> None:
    command = reserve(ANN, {TICKETS: 1}, deadline=NOW + A_MOMENT)
    first = decide_batch(selling(1), [command], {})
    book = reopened(selling(0), now=NOW + HOLD)

    again = decide_batch(book, [command], recorded(first))

    assert documents(again) == documents(first)
    assert again.to_record == []
    assert again.changes == Changes()


def test_a_refused_id_never_later_succeeds() -> None:
    command = reserve(ANN, {TICKETS: 1})
    first = decide_batch(selling(0), [command], {})

    again = decide_batch(selling(100), [command], recorded(first))

    assert documents(again) == documents(first)
    assert decode_outcome(documents(again)[0]).status == "refused"


@pytest.mark.parametrize("in_flight", [True, False], ids=["in this batch", "recorded before"])
@pytest.mark.parametrize(
    "other",
    [
        lambda id: reserve(ANN, {TICKETS: 2}, command_id=id),
        lambda id: reserve(BOB, {TICKETS: 1}, command_id=id),
        lambda id: release_cart(ANN, command_id=id),
    ],
    ids=["another quantity", "another user", "another kind"],
)
def test_another_payload_under_an_id_is_refused_and_recorded_nowhere(
    other: object, in_flight: bool
) -> None:
    command = reserve(ANN, {TICKETS: 1})
    reused = other(command.command_id)
    book = selling(100)
    known: dict[str, RecordedOutcome] = {}
    if in_flight:
        batch = decide_batch(book, [command, reused, command], {})
    else:
        known = recorded(decide_batch(book, [command], {}))
        batch = decide_batch(reopened(book), [command, reused, command], known)

    first, refused, again = documents(batch)
    assert decode_outcome(refused).refusal.code == "command_id_reused"
    assert decode_outcome(refused).kind == reused.kind
    assert first == again
    assert decode_outcome(first).status == "succeeded"
    assert [fresh.command for fresh in batch.to_record] == ([command] if in_flight else [])


def test_a_command_set_aside_is_refused_untried() -> None:
    book = selling(1)

    batch = decide_batch(book, [reserve(ANN, {TICKETS: 1})], {}, Unprocessable("It broke."))

    refusal = decode_outcome(documents(batch)[0]).refusal
    assert (refusal.code, refusal.detail) == ("unprocessable", "It broke.")
    assert len(batch.to_record) == 1
    assert batch.changes == Changes()


def test_beside_a_command_set_aside_nothing_expires() -> None:
    """It may be the expiry that cannot be saved: of a cart that was damaged."""
    book = held_by_bob(3, expires_at=NOW)

    batch = decide_batch(book, [reserve(ANN, {TICKETS: 1})], {}, Unprocessable("It broke."))

    assert batch.changes == Changes()
    assert len(batch.to_record) == 1


def test_a_command_that_was_decided_cannot_be_set_aside() -> None:
    command = reserve(ANN, {TICKETS: 1})
    first = decide_batch(selling(1), [command], {})

    batch = decide_batch(selling(1), [command], recorded(first), Unprocessable())

    assert documents(batch) == documents(first)


def test_only_a_forced_refusal_is_to_be_dead_lettered() -> None:
    event = an_event(ANN)
    ticket_type = a_ticket_type(event, sale_ends_at=NOW)
    book = a_book(users=[ANN], events=[event], ticket_types=[ticket_type])
    by_a_rule = change_ticket_type(ANN, ticket_type.id, sale_starts_at=NOW)
    forced = release_cart(ANN)

    decided = decide_batch(book, [by_a_rule], {})
    refused = decide_batch(reopened(book), [forced, by_a_rule], recorded(decided), Unprocessable())

    codes = [decode_outcome(document).refusal.code for document in documents(refused)]
    assert codes == ["unprocessable", "unprocessable"]
    assert [outcome.dead_letter for outcome in refused.outcomes] == [True, False]


def test_the_outcome_of_an_unread_command_answers_each_payload_of_its_user() -> None:
    command = reserve(ANN, {TICKETS: 1})
    unread = UnreadCommand(command.command_id, ANN, command.kind, command.submitted_at)
    first = decide_batch(selling(1), [unread], {}, Unprocessable())
    of_bob = release_cart(BOB, command_id=command.command_id)

    batch = decide_batch(selling(1), [command, unread, of_bob], recorded(first))

    assert documents(batch)[:2] == documents(first) * 2
    assert decode_outcome(documents(batch)[2]).refusal == CommandIdReused()
    assert [outcome.dead_letter for outcome in batch.outcomes] == [True, True, False]
    assert not batch.to_record


def test_an_unread_command_takes_no_outcome_of_a_command_that_was_read() -> None:
    command = reserve(ANN, {TICKETS: 1})
    unread = UnreadCommand(command.command_id, ANN, command.kind, command.submitted_at)
    first = decide_batch(selling(1), [command], {})

    batch = decide_batch(selling(1), [unread], recorded(first), Unprocessable())

    assert decode_outcome(documents(batch)[0]).refusal == CommandIdReused()


def held_by_bob(quantity: int, **fields: object) -> Book:
    event = an_event()
    ticket_type = a_ticket_type(event, id=TICKETS, total=5)
    cart = a_cart(BOB, {TICKETS: quantity}, **fields)
    return a_book(users=[ANN], events=[event], ticket_types=[ticket_type], carts=[cart])


@pytest.mark.parametrize(
    ("age", "count"),
    [
        (COMMAND_WINDOW, 1),
        (COMMAND_WINDOW + RETENTION_MARGIN, 1),
        (COMMAND_WINDOW + RETENTION_MARGIN + timedelta(milliseconds=1), 0),
        (timedelta(days=365), 0),
    ],
)
@pytest.mark.parametrize("forced_refusal", [None, Unprocessable()])
def test_a_command_past_retention_is_refused_and_not_recorded(
    age: timedelta, count: int, forced_refusal: Unprocessable | None
) -> None:
    command = reserve(ANN, {TICKETS: 1}, command_id=id_made_at(NOW - age))

    batch = decide_batch(selling(1), [command, command], {}, forced_refusal)

    assert len(batch.to_record) == count
    assert len(set(documents(batch))) == 1
    if age > COMMAND_WINDOW and not forced_refusal:
        refusals = [decode_outcome(document).refusal for document in documents(batch)]
        assert [refusal.code for refusal in refusals] == ["stale_command"] * 2


def test_a_hold_that_is_over_gives_back_before_anything_is_decided() -> None:
    book = held_by_bob(5, expires_at=NOW)
    bobs = book.carts[BOB]

    batch = decide_batch(book, [reserve(ANN, {TICKETS: 5})], {})

    assert decode_outcome(documents(batch)[0]).status == "succeeded"
    assert bobs.status == "expired"
    assert batch.changes.closed_carts == {bobs.id: bobs}
    assert book.ticket_types[TICKETS].reserved == 5


def test_a_hold_lasts_until_its_last_moment() -> None:
    book = held_by_bob(5, expires_at=NOW + A_MOMENT)

    batch = decide_batch(book, [reserve(ANN, {TICKETS: 1})], {})

    assert decode_outcome(documents(batch)[0]).refusal.code == "insufficient_availability"
    assert batch.changes == Changes()


def test_holds_that_are_over_expire_without_any_command() -> None:
    book = held_by_bob(3, expires_at=NOW)

    batch = decide_batch(book, [], {})

    assert documents(batch) == []
    assert book.carts == {}
    assert batch.changes.changed_ticket_types[TICKETS].reserved == 0


def test_the_items_of_an_expired_cart_are_not_in_the_next() -> None:
    book = held_by_bob(3, expires_at=NOW)
    expired = book.carts[BOB].id
    command = reserve(BOB, {TICKETS: 1})

    batch = decide_batch(book, [command], {})

    cart = decode_outcome(documents(batch)[0]).result.cart
    assert (cart.id, cart.expires_at) == (command.command_id, NOW + HOLD)
    assert cart.id != expired
    assert [item.quantity for item in cart.items] == [1]
    assert book.ticket_types[TICKETS].reserved == 1


def test_how_long_a_cart_holds_is_the_operators_to_say() -> None:
    book = selling(1)
    book.rules = replace(book.rules, hold=A_MOMENT)

    batch = decide_batch(book, [reserve(ANN, {TICKETS: 1})], {})

    assert decode_outcome(documents(batch)[0]).result.cart.expires_at == NOW + A_MOMENT
