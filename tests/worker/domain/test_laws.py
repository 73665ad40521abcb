"""Laws that hold for any commands in any order."""

import itertools
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shared.commands import Command
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
    return book, told, known


def held(book: Book) -> Counter[str]:
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
    book = reopened(book)
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
    def what_is_reserved_lies_in_active_carts(self) -> None:
        in_carts = held(self.book)
        for ticket_type in self.book.ticket_types.values():
            assert ticket_type.reserved == in_carts[ticket_type.id]

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
