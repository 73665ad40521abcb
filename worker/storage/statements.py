"""The statements that lock, read and save a book. Each takes arrays: one entry a row.

Parameters are asyncpg's: `$1` is the first argument after the statement.
"""

from dataclasses import fields
from datetime import datetime
from typing import NamedTuple

from worker.domain.batch import RecordedOutcome
from worker.domain.book import Cart, Event, TicketType, User
from worker.storage import tables
from worker.storage.columns import Columns, first_parameters


class CartItem(NamedTuple):
    """A line of an active cart, as it is stored."""

    cart_id: str
    ticket_type_id: str
    quantity: int
    expires_at: datetime
    """That of the cart."""


class StoredOutcome(NamedTuple):
    """The outcome of a command, as it is stored."""

    command_id: str
    user_id: str
    fingerprint: bytes
    document: str
    dead_letter: bool
    decided_at: datetime | None
    """None only for a command that could not be read, which is not stored."""


USERS = Columns(tables.users, User)
# Without what the sweep of cancelled events alone writes.
EVENTS = Columns(tables.events, Event, *(field.name for field in fields(Event)))
TICKET_TYPES = Columns(tables.ticket_types, TicketType)
CARTS = Columns(tables.carts, Cart)
CART_ITEMS = Columns(tables.cart_items, CartItem)
CART_ITEM_KEYS = Columns(tables.cart_items, CartItem, "cart_id", "ticket_type_id")
OUTCOMES = Columns(tables.outcomes, StoredOutcome)
RECALLED = Columns(tables.outcomes, RecordedOutcome, "fingerprint", "document", "dead_letter")

# Postgres does not merge a subquery that has a LIMIT or an OFFSET into the query around it. So
# where a subquery below has one, it is executed as written, one index look-up for each row before
# it, whatever the statistics say (decision 25).

# $1: the users that send commands. $2: the ticket types they want more of. $3: how many lines of
# these ticket types in due carts to look at, and in due orders: their owners are locked too. The
# second column, the same in each row, says how many lines of due orders were found, also of the
# users in $1.
LOCK_USERS = """
    WITH due_orders AS MATERIALIZED (
        SELECT item.user_id
        FROM unnest($2::uuid[]) AS wanted (id)
        CROSS JOIN LATERAL (
            SELECT user_id FROM booking.order_items
            WHERE ticket_type_id = wanted.id AND held_until <= statement_timestamp()
            ORDER BY held_until
            LIMIT $3
        ) AS item
        LIMIT $3
    )
    SELECT id::text, (SELECT count(*) FROM due_orders) FROM booking.users
    WHERE id = ANY (ARRAY(
        SELECT unnest($1::uuid[])
        UNION
        SELECT user_id FROM due_orders
        UNION
        SELECT cart.user_id
        FROM (
            SELECT line.cart_id
            FROM unnest($2::uuid[]) AS wanted (id)
            CROSS JOIN LATERAL (
                SELECT cart_id FROM booking.cart_items
                WHERE ticket_type_id = wanted.id AND expires_at <= statement_timestamp()
                ORDER BY expires_at
                LIMIT $3
            ) AS line
            LIMIT $3
        ) AS line
        CROSS JOIN LATERAL (
            SELECT user_id FROM booking.carts WHERE id = line.cart_id OFFSET 0
        ) AS cart
    ))
    ORDER BY users.id
    FOR NO KEY UPDATE
"""

READ_CARTS = f"""
    SELECT {CARTS.select("cart")}, line.ticket_type_id::text, line.quantity
    FROM unnest($1::uuid[]) AS holder (id)
    CROSS JOIN LATERAL (
        SELECT * FROM booking.carts
        WHERE carts.user_id = holder.id AND carts.status = 'active'
        LIMIT 1
    ) AS cart
    CROSS JOIN LATERAL (
        SELECT ticket_type_id, quantity FROM booking.cart_items WHERE cart_id = cart.id OFFSET 0
    ) AS line
"""

# $1: command IDs, $2 the lowest and $3 the highest of them. The bounds add no condition, but
# Postgres picks partitions by them; without, it looks for each ID in every partition.
RECALL = f"""
    SELECT outcome.command_id::text, {RECALLED.select("outcome")}
    FROM booking.outcomes AS outcome
    WHERE outcome.command_id = ANY ($1::uuid[])
      AND outcome.command_id BETWEEN $2::uuid AND $3::uuid
"""

READ_EMAILS = """
    SELECT lower(email) FROM booking.users WHERE lower(email) = ANY ($1::text[])
"""

LOCK_EVENTS = """
    SELECT FROM booking.events
    WHERE id = ANY ($1::uuid[])
    ORDER BY id
    FOR NO KEY UPDATE
"""

TICKET_TYPES_OF_EVENTS = """
    SELECT id::text FROM booking.ticket_types WHERE event_id = ANY ($1::uuid[])
"""

LOCK_TICKET_TYPES = f"""
    SELECT {TICKET_TYPES.select("ticket_types")}
    FROM booking.ticket_types
    WHERE id = ANY ($1::uuid[])
    ORDER BY ticket_types.id
    FOR NO KEY UPDATE
"""

# $1: the events. $2: the users that are locked, $3: the ticket types that they want more of, $4:
# the orders that are in the book.
# now() is when the transaction began, so later than the arrival of every command in it.
READ_EVENTS = f"""
    SELECT clock_timestamp(),
           EXISTS (
               SELECT FROM unnest($3::uuid[]) AS wanted (id)
               CROSS JOIN LATERAL (
                   SELECT cart_id FROM booking.cart_items
                   WHERE ticket_type_id = wanted.id AND expires_at <= now()
                   ORDER BY expires_at
                   OFFSET 0
               ) AS line
               CROSS JOIN LATERAL (
                   SELECT user_id FROM booking.carts WHERE id = line.cart_id OFFSET 0
               ) AS cart
               WHERE cart.user_id NOT IN (SELECT unnest($2::uuid[]))
           ) OR EXISTS (
               SELECT FROM unnest($3::uuid[]) AS wanted (id)
               CROSS JOIN LATERAL (
                   SELECT order_id FROM booking.order_items
                   WHERE ticket_type_id = wanted.id AND held_until <= now()
                   ORDER BY held_until
                   OFFSET 0
               ) AS item
               WHERE item.order_id NOT IN (SELECT unnest($4::uuid[]))
           ),
           {EVENTS.select("event")}
    FROM (VALUES (1)) AS clock
    LEFT JOIN booking.events AS event ON event.id = ANY ($1::uuid[])
"""

INSERT_USERS = USERS.insert()
INSERT_EVENTS = EVENTS.insert()
UPDATE_EVENTS = EVENTS.update()
INSERT_TICKET_TYPES = TICKET_TYPES.insert()
UPDATE_CARTS = CARTS.update()
DROP_CART_ITEMS = CART_ITEM_KEYS.delete()

HOLDS_AND_OUTCOMES = (TICKET_TYPES, CARTS, CART_ITEMS, OUTCOMES)
_TICKET_TYPE, _CART, _ITEM, _OUTCOME = first_parameters(*HOLDS_AND_OUTCOMES)

# What every batch of reservations writes, in one round trip.
SAVE_HOLDS_AND_OUTCOMES = f"""
    WITH changed_ticket_types AS (
        {TICKET_TYPES.update(_TICKET_TYPE)}
    ), opened_carts AS (
        {CARTS.insert(_CART)}
    ), put_items AS (
        {CART_ITEMS.insert(_ITEM)}
        ON CONFLICT (cart_id, ticket_type_id) DO UPDATE
        SET quantity = excluded.quantity, expires_at = excluded.expires_at
    )
    {OUTCOMES.insert(_OUTCOME)}
"""
