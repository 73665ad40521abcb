"""Locks are taken in one order: users, events, ticket types, each by ID.

Somebody else holds one row; the worker comes to it, and waits. What it holds by then, and what
it does not hold yet, shows its order.
"""

import asyncio

import pytest
from sqlalchemy import text

from shared.commands import Command
from tests.builders import cancel_event, change_ticket_type, release_cart, reserve
from tests.worker.harness import Harness


async def is_free(harness: Harness, table: str, id: str) -> bool:
    """Tell whether nobody holds the row."""
    async with harness.engine.connect() as connection:
        rows = await connection.execute(
            text(f"SELECT 1 FROM booking.{table} WHERE id = '{id}' FOR UPDATE SKIP LOCKED")
        )
        return bool(rows.all())


async def held_while_waiting(
    harness: Harness, commands: list[Command], row: tuple[str, str], *others: tuple[str, str]
) -> list[bool]:
    """Whether the worker holds each of `others` while it waits for `row`."""
    async with harness.locked(*row):
        deciding = asyncio.create_task(harness.apply(*commands))
        await harness.waiting(1)
        held = [not await is_free(harness, *other) for other in others]
    await deciding
    return held


@pytest.mark.parametrize("turn", [1, -1], ids=["as sorted", "backwards"])
async def test_ticket_types_by_id_whatever_the_order_of_the_lines(
    harness: Harness, turn: int
) -> None:
    ann, kinds = await harness.user(), await harness.ticket_types(3)
    first, second, third = [("ticket_types", id) for id in kinds]
    command = reserve(ann, dict.fromkeys(kinds[::turn], 1))

    assert await held_while_waiting(harness, [command], second, first, third) == [True, False]


@pytest.mark.parametrize("turn", [1, -1], ids=["as sorted", "backwards"])
async def test_users_by_id_whatever_the_order_of_the_commands(harness: Harness, turn: int) -> None:
    users = sorted(await harness.users(3))
    first, second, third = [("users", id) for id in users]
    commands = [release_cart(user) for user in users[::turn]]

    assert await held_while_waiting(harness, commands, second, first, third) == [True, False]


async def test_the_owner_of_a_due_cart_is_locked_in_the_order_of_all_users(
    harness: Harness,
) -> None:
    tickets = await harness.ticket_type()
    owner, *_ = await harness.due_carts(1, {tickets: 1})
    later = await harness.user()  # a later ID, as IDs carry their time

    rows = ("users", owner), ("users", later), ("ticket_types", tickets)
    held = await held_while_waiting(harness, [reserve(later, {tickets: 1})], *rows)

    assert held == [False, False]


async def test_users_before_ticket_types(harness: Harness) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type()
    rows = ("ticket_types", tickets), ("users", ann)

    assert await held_while_waiting(harness, [reserve(ann, {tickets: 1})], *rows) == [True]


async def test_the_event_before_all_its_ticket_types(harness: Harness) -> None:
    kinds = await harness.ticket_types(3)
    command = cancel_event(harness.organizer, harness.event)
    rows = [("ticket_types", id) for id in kinds]

    held = await held_while_waiting(
        harness, [command], rows[1], rows[0], rows[2], ("events", harness.event)
    )

    assert held == [True, False, True]


async def test_a_reservation_locks_no_event(harness: Harness) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type()
    commands = [
        reserve(ann, {tickets: 1}),
        change_ticket_type(harness.organizer, tickets, total_quantity=7),
    ]

    async with harness.locked("events", harness.event):
        async with asyncio.timeout(1):
            await harness.apply(*commands)


async def test_a_wait_for_a_lock_has_a_bound(harness: Harness) -> None:
    statement = "SELECT current_setting(:name)"
    limits = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")

    assert [(await harness.rows(statement, name=name))[0][0] for name in limits] == [
        "2s",
        "5s",
        "10s",
    ]
