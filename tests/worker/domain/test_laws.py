"""Laws that hold for any commands in any order."""

import itertools
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shared.commands import Command
from shared.orders import OrderStatus
from shared.outcomes import decode_outcome
from tests.builders import documents, recorded, reopened
from tests.worker.domain.strategies import batches, commands, opening_book, steps_of_time
from worker.domain.batch import RecordedOutcome, decide_batch
from worker.domain.book import Book, Changes

bounded = settings(deadline=None, max_examples=150)


def decide_in_parts(
    book: Book, parts: list[list[Command]]
) -> tuple[Book, list[str], dict[str, RecordedOutcome]]:
    """Decide batch after batch, each on what the ones before it left, as transactions do."""
    told: list[str] = []
    known: dict[str, RecordedOutcome] = {}
    for part in parts:
        book = reopened(book)
        batch = decide_batch(book, part, known)
        told += documents(batch)
        known |= recorded(batch)
    return settled(book), told, known


def settled(book: Book) -> Book:
    """The book after the sweeps: the orders of a cancelled event are cancelled after it."""
    book = reopened(book)
    decide_batch(book, [], {})
    return book


def held(book: Book, status: OrderStatus) -> Counter[str]:
    """Tickets in orders of a status, by ticket type."""
    total: Counter[str] = Counter()
    for order in book.orders.values():
        if order.status == status:
            total.update({id: item.held for id, item in order.items.items()})
    return total


def in_carts(book: Book) -> Counter[str]:
    """Tickets in active carts, by ticket type."""
    total: Counter[str] = Counter()
    for cart in book.carts.values():
        total.update(cart.lines)
    return total


@bounded
@given(batches(), st.lists(st.integers(0, 30), max_size=5))
def test_a_batch_equals_its_commands_one_by_one_whatever_the_split(
    batch: list[Command], cuts: list[int]
) -> None:
    edges = [0, *sorted(cuts), len(batch)]
    parts = [batch[start:end] for start, end in itertools.pairwise(edges)]

    at_once = decide_in_parts(opening_book(), [batch])
    one_by_one = decide_in_parts(opening_book(), [[command] for command in batch])
    in_parts = decide_in_parts(opening_book(), parts)

    for book, told, known in (one_by_one, in_parts):
        assert told == at_once[1]
        assert known == at_once[2]
        assert reopened(book) == reopened(at_once[0])


@bounded
@given(batches())
def test_deciding_a_batch_again_changes_nothing(batch: list[Command]) -> None:
    book = opening_book()
    first = decide_batch(book, batch, {})
    book = reopened(settled(book))
    as_it_was = reopened(book)

    again = decide_batch(book, batch, recorded(first))

    assert documents(again) == documents(first)
    assert again.to_record == []
    assert again.changes == Changes()
    assert book == as_it_was


@bounded
@given(batches())
def test_only_noted_changes_differ_after_a_batch(batch: list[Command]) -> None:
    """`Changes` is all that is saved: what it does not name must be as it was."""
    before, book = opening_book(), opening_book()

    changes = decide_batch(book, batch, {}).changes

    assert before.events | changes.new_events | changes.changed_events == book.events
    assert (
        before.ticket_types | changes.new_ticket_types | changes.changed_ticket_types
        == book.ticket_types
    )
    assert before.user_ids.union(user.id for user in changes.new_users) == book.user_ids
    assert before.orders | changes.orders == book.orders
    for key, item in changes.order_items.items():
        assert book.orders[key[0]].items[key[1]] is item
    for order_id, order in before.orders.items():
        for id, item in order.items.items():
            if (order_id, id) not in changes.order_items:
                assert book.orders[order_id].items[id] == item
    new = {(one.event_id, one.payment_id): one for one in changes.new_payments}
    assert before.payments | new == book.payments
    still_open = {
        cart.user_id: cart
        for cart in changes.opened_carts.values()
        if cart.id not in changes.closed_carts
    }
    assert still_open == book.carts
    for cart in still_open.values():
        touched = {line for cart_id, line in changes.touched_lines if cart_id == cart.id}
        assert touched >= cart.lines.keys()


class Harness(RuleBasedStateMachine):
    """Batches of any commands, with time passing between them."""

    def __init__(self) -> None:
        super().__init__()
        self.book = opening_book()
        self.outcomes: dict[str, RecordedOutcome] = {}

    @rule(batch=st.lists(commands(), max_size=8), step=steps_of_time)
    def decide(self, batch: list[Command], step: object) -> None:
        self.book = reopened(self.book, now=self.book.now + step)
        self.outcomes |= recorded(decide_batch(self.book, batch, self.outcomes))

    @rule(step=steps_of_time)
    def sweep(self, step: object) -> None:
        self.decide([], step)

    @invariant()
    def every_ticket_is_available_reserved_or_sold(self) -> None:
        for ticket_type in self.book.ticket_types.values():
            parts = (ticket_type.available, ticket_type.reserved, ticket_type.sold)
            assert sum(parts) == ticket_type.total
            assert min(parts) >= 0, "oversold, or given back twice"

    @invariant()
    def what_is_reserved_lies_in_active_carts_and_pending_orders(self) -> None:
        reserved = in_carts(self.book) + held(self.book, "pending_payment")
        for ticket_type in self.book.ticket_types.values():
            assert ticket_type.reserved == reserved[ticket_type.id]

    @invariant()
    def what_is_sold_lies_in_paid_orders(self) -> None:
        sold = held(self.book, "paid")
        for ticket_type in self.book.ticket_types.values():
            assert ticket_type.sold == sold[ticket_type.id]

    @invariant()
    def money_balances(self) -> None:
        for order in self.book.orders.values():
            payments = order.payments.values()
            assert order.paid == sum(one.amount for one in payments)
            accepted = sum(one.amount for one in payments if one.reason is None)
            assert order.accepted == accepted
            assert order.refunded == sum(one.amount for one in order.refunds.values())
            has = sum(item.held * item.unit_price for item in order.items.values())
            assert order.tickets_value == (has if order.status == "paid" else 0)
            assert min(order.refund_due, order.kept, order.refunded) >= 0
            if order.status == "paid":
                assert accepted >= order.total

    @invariant()
    def an_order_has_its_tickets_while_it_is_pending_or_paid(self) -> None:
        for order in self.book.orders.values():
            items = order.items.values()
            assert (order.held_until is not None) == (order.status == "pending_payment")
            assert {item.held_until for item in items} == {order.held_until}
            if order.status == "pending_payment":
                assert all(item.held == item.quantity for item in items)
            elif order.status == "paid":
                assert all(item.held + item.released == item.quantity for item in items)
                assert any(item.held for item in items)
            else:
                assert not any(item.held for item in items)

    @invariant()
    def a_payment_id_is_recorded_once_in_an_event(self) -> None:
        recorded = [
            (one.event_id, one.payment_id)
            for order in self.book.orders.values()
            for one in order.payments.values()
        ]
        assert len(recorded) == len(set(recorded))

    @invariant()
    def an_active_cart_has_lines_and_time_left(self) -> None:
        for user_id, cart in self.book.carts.items():
            assert cart.user_id == user_id
            assert cart.status == "active"
            assert cart.expires_at > self.book.now
            assert cart.lines
            assert min(cart.lines.values()) > 0

    @invariant()
    def a_cart_is_opened_by_a_command_that_succeeded(self) -> None:
        for cart in self.book.carts.values():
            assert decode_outcome(self.outcomes[cart.id].document).status == "succeeded"


Harness.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=20)
TestBoxOffice = Harness.TestCase
