"""The database refuses by itself what the worker must never try to write."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from shared.ids import new_id
from tests.builders import reserve
from tests.worker.harness import Harness

USER = "INSERT INTO booking.users VALUES ('{id}', '{email}', '$argon2id$', now())"
EVENT = (
    "INSERT INTO booking.events VALUES "
    "('{id}', '{organizer}', 'A concert', '{starts}', '{ends}', '{status}')"
)
CART = "INSERT INTO booking.carts VALUES ('{id}', '{user}', '{status}', now())"
LINE = "INSERT INTO booking.cart_items VALUES ('{cart}', '{tickets}', {quantity}, now())"
OUTCOME = "INSERT INTO booking.outcomes VALUES ('{id}', '{id}', '', '', now())"
TICKETS = "UPDATE booking.ticket_types SET {change} WHERE id = '{tickets}'"

# A statement, what is wrong with it, and the name of what refuses it. The stage: a hundred
# tickets on sale, two of them reserved in the cart of a user.
FORBIDDEN: list[tuple[str, dict[str, Any], str]] = [
    (TICKETS, {"change": "reserved = -1"}, "ticket_types_reserved_check"),
    (TICKETS, {"change": "sold = -1"}, "ticket_types_sold_check"),
    (TICKETS, {"change": "reserved = 101"}, "ticket_types_availability_check"),
    (TICKETS, {"change": "sold = 99"}, "ticket_types_availability_check"),
    (TICKETS, {"change": "total = 1"}, "ticket_types_availability_check"),
    (TICKETS, {"change": "sale_ends_at = sale_starts_at"}, "ticket_types_sale_check"),
    (TICKETS, {"change": "event_id = '{new}'"}, "ticket_types_event_id_fkey"),
    (EVENT, {"ends": "2030-01-01"}, "events_times_check"),
    (EVENT, {"status": "sold out"}, "events_status_check"),
    (EVENT, {"organizer": "{new}"}, "events_organizer_id_fkey"),
    (USER, {"email": "{taken}"}, "users_email_key"),
    (USER, {"email": "{TAKEN}"}, "users_email_key"),
    (USER, {"id": "{user}"}, "users_pkey"),
    (CART, {"status": "active"}, "carts_one_active_a_user"),
    (CART, {"status": "lost"}, "carts_status_check"),
    (CART, {"user": "{new}"}, "carts_user_id_fkey"),
    (CART, {"id": "{cart}"}, "carts_pkey"),
    (LINE, {}, "cart_items_pkey"),
    (LINE, {"tickets": "{others}", "quantity": 0}, "cart_items_quantity_check"),
    (LINE, {"tickets": "{others}", "quantity": -1}, "cart_items_quantity_check"),
    (LINE, {"tickets": "{new}"}, "cart_items_ticket_type_id_fkey"),
    (LINE, {"cart": "{new}"}, "cart_items_cart_id_fkey"),
    (OUTCOME, {"id": "{cart}"}, r"outcomes_\d{8}_pkey"),  # the day's
]
# Nothing is wrong with these: the rows above are refused for their fault alone.
ALLOWED: list[tuple[str, dict[str, Any]]] = [
    (TICKETS, {"change": "reserved = 1, sold = 99"}),
    (EVENT, {}),
    (USER, {}),
    (CART, {}),
    (CART, {"status": "released"}),
    (LINE, {"tickets": "{others}"}),
    (OUTCOME, {}),
]


async def attempt(harness: Harness, statement: str, faults: dict[str, Any]) -> None:
    """Execute the statement as it ought to be but for `faults`, and roll it back."""
    user, (tickets, others) = await harness.user(), await harness.ticket_types(2)
    first_hold = reserve(user, {tickets: 2})
    await harness.apply(first_hold)
    stage = {
        "new": new_id(),
        "user": user,
        "tickets": tickets,
        "others": others,
        "cart": first_hold.command_id,
        "taken": f"{user}@example.com",
        "TAKEN": f"{user}@EXAMPLE.COM",
    }
    values = stage | {
        "id": new_id(),
        "email": "new@example.com",
        "organizer": user,
        "starts": "2030-01-01",
        "ends": "2030-01-02",
        "status": "active" if statement is EVENT else "expired",
        "quantity": 1,
    }
    values |= {name: str(fault).format(**stage) for name, fault in faults.items()}
    async with harness.engine.connect() as connection:
        await connection.execute(text(statement.format(**values)))
        await connection.rollback()


@pytest.mark.parametrize(
    ("statement", "faults", "constraint"), FORBIDDEN, ids=lambda value: str(value)[:60]
)
async def test_the_database_refuses(
    harness: Harness, statement: str, faults: dict[str, Any], constraint: str
) -> None:
    with pytest.raises(IntegrityError, match=f'"{constraint}"'):
        await attempt(harness, statement, faults)


@pytest.mark.parametrize(("statement", "values"), ALLOWED, ids=lambda value: str(value)[:60])
async def test_the_database_accepts(
    harness: Harness, statement: str, values: dict[str, Any]
) -> None:
    await attempt(harness, statement, values)
