"""Saves what a batch changed in the book, and its outcomes."""

from collections.abc import Iterable, Sequence
from typing import Any

from worker.domain.batch import Batch
from worker.domain.book import Cart, Changes
from worker.storage import orders
from worker.storage.driver import Driver
from worker.storage.outcomes import EncodedOutcome
from worker.storage.statements import (
    CART_ITEM_KEYS,
    CART_ITEMS,
    CARTS,
    DROP_CART_ITEMS,
    EVENTS,
    INSERT_EVENTS,
    INSERT_TICKET_TYPES,
    INSERT_USERS,
    OUTCOMES,
    SAVE_HOLDS_AND_OUTCOMES,
    TICKET_TYPES,
    UPDATE_CARTS,
    UPDATE_EVENTS,
    USERS,
    CartItem,
    StoredOutcome,
)

Arrays = list[Sequence[Any]]
"""The parameters of a statement: an array for each column, one entry a row."""


async def save(driver: Driver, batch: Batch, encoded: Sequence[EncodedOutcome]) -> None:
    """Write what changed, and the outcomes to record. A statement without rows is not sent."""
    for statement, arrays in _writes(batch.changes, _stored_outcomes(batch, encoded)):
        if any(arrays):
            await driver.fetch(statement, *arrays)


def _writes(changes: Changes, outcomes: Iterable[StoredOutcome]) -> Iterable[tuple[str, Arrays]]:
    """Yield the statements and their parameters, in an order that meets all constraints."""
    # Sorted: no lock keeps two batches from registering the same users at once.
    yield INSERT_USERS, USERS.arrays(sorted(changes.new_users, key=lambda user: user.id))
    yield INSERT_EVENTS, EVENTS.arrays(changes.new_events.values())
    yield UPDATE_EVENTS, EVENTS.arrays(changes.changed_events.values())
    yield INSERT_TICKET_TYPES, TICKET_TYPES.arrays(changes.new_ticket_types.values())
    opened = changes.opened_carts
    changed = (changes.extended_carts | changes.closed_carts).values()
    stored = [cart for cart in changed if cart.id not in opened]
    # Before new carts: a user has one active cart.
    yield UPDATE_CARTS, CARTS.arrays(stored)
    puts, drops = _items(changes, stored)
    yield DROP_CART_ITEMS, CART_ITEM_KEYS.arrays(drops)
    yield from orders.writes(changes)
    yield (
        SAVE_HOLDS_AND_OUTCOMES,
        TICKET_TYPES.arrays(changes.changed_ticket_types.values())
        + CARTS.arrays(opened.values())
        + CART_ITEMS.arrays(puts)
        # Sorted: no lock serialises the commands of users that do not exist.
        + OUTCOMES.arrays(sorted(outcomes)),
    )


def _items(
    changes: Changes, changed_carts: Iterable[Cart]
) -> tuple[list[CartItem], list[CartItem]]:
    """Return the items to put into carts, and those to drop: a closed cart has none."""
    touched = dict(changes.touched_lines)
    for cart in changed_carts:
        touched |= {(cart.id, ticket_type_id): cart for ticket_type_id in cart.lines}
    puts: list[CartItem] = []
    drops: list[CartItem] = []
    for (cart_id, ticket_type_id), cart in touched.items():
        quantity = cart.lines.get(ticket_type_id, 0) if cart.status == "active" else 0
        item = CartItem(cart_id, ticket_type_id, quantity, cart.expires_at)
        if quantity:
            puts.append(item)
        elif cart_id not in changes.opened_carts:
            drops.append(item)
    return puts, drops


def _stored_outcomes(batch: Batch, encoded: Sequence[EncodedOutcome]) -> Iterable[StoredOutcome]:
    documents = dict(zip(batch.outcomes, encoded, strict=True))
    for new in batch.to_record:
        command = new.command
        yield StoredOutcome(
            command.command_id,
            command.user_id,
            new.fingerprint,
            documents[new].document,
            new.dead_letter,
            new.outcome.decided_at,
        )
