"""A filled database is as the worker would have left it, and its books balance."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from loadtest.bench.growth.fill import Amounts, Filled, fill
from loadtest.bench.growth.whole_books import check_whole_books
from shared.ids import is_uuid7, unix_ms
from shared.outcomes import CartResult, decode_outcome
from tests.databases import copy_of

AMOUNTS = Amounts(outcomes=2_000, users=200, carts=150)
DAY_MS = 24 * 3_600 * 1_000
DOCUMENT_CHARACTERS = 458
"""As many as the worker writes for a cart of one line."""


@pytest.fixture(scope="module")
async def filled_database_url(template_url: str) -> AsyncIterator[str]:
    async with copy_of(template_url) as url:
        yield url


@pytest.fixture(scope="module")
async def filled(filled_database_url: str) -> Filled:
    return await fill(filled_database_url, AMOUNTS)


@pytest.fixture
async def connection(filled: Filled, filled_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(filled_database_url, timeout=10)
    try:
        yield connection
    finally:
        await connection.close()


async def test_a_filled_database_holds_the_requested_rows(
    filled: Filled, connection: asyncpg.Connection
) -> None:
    tables = {"outcomes": 2_000, "users": 200, "carts": 150, "cart_items": 150 + 75}
    for table, rows in tables.items():
        assert await connection.fetchval(f"SELECT count(*) FROM booking.{table}") == rows
    assert filled.outcomes_per_second > 0
    assert filled.database_bytes > 1_000_000


async def test_no_cart_is_due_for_a_sweep(connection: asyncpg.Connection) -> None:
    due = "SELECT count(*) FROM booking.carts WHERE expires_at < now() + interval '7 days'"
    assert await connection.fetchval(due) == 0


async def test_outcomes_came_in_order_within_the_window(connection: asyncpg.Connection) -> None:
    in_order = (
        "SELECT command_id::text FROM booking.outcomes ORDER BY tableoid::regclass::text, ctid"
    )
    rows = await connection.fetch(in_order)
    ids = [row[0] for row in rows]
    assert all(is_uuid7(each) for each in ids)
    assert ids == sorted(ids)
    assert 0.9 * DAY_MS < unix_ms(ids[-1]) - unix_ms(ids[0]) < DAY_MS


async def test_outcomes_read_as_the_workers_do(connection: asyncpg.Connection) -> None:
    for command_id, decided_at, document, cart_id, fingerprint in await connection.fetch(CARTS):
        outcome = decode_outcome(document)
        assert isinstance(outcome.result, CartResult)
        assert (outcome.command_id, outcome.result.cart.id) == (command_id, cart_id)
        assert outcome.decided_at == decided_at
        assert len(document) == DOCUMENT_CHARACTERS
        assert len(fingerprint) == 16


async def test_the_books_balance(filled: Filled, filled_database_url: str) -> None:
    assert filled
    assert await check_whole_books(filled_database_url) == []


@pytest.mark.parametrize(
    "falsify",
    [
        "UPDATE booking.ticket_types SET reserved = reserved + 1 WHERE id = $1",
        "UPDATE booking.cart_items SET quantity = quantity + 1 WHERE ticket_type_id = $1",
        "DELETE FROM booking.cart_items WHERE ticket_type_id = $1",
        "UPDATE booking.carts SET status = 'expired' FROM booking.cart_items AS line"
        " WHERE line.cart_id = carts.id AND line.ticket_type_id = $1",
    ],
)
async def test_falsified_books_do_not_balance(
    connection: asyncpg.Connection, filled_database_url: str, falsify: str
) -> None:
    """Each on a copy of the table's rows that is given back afterwards."""
    await connection.execute(KEEP)
    (held,) = await connection.fetchrow(SOMEBODY_HOLDS)
    await connection.execute(falsify, held)
    try:
        assert any(str(held) in each for each in await check_whole_books(filled_database_url))
    finally:
        await connection.execute(GIVE_BACK)
    assert await check_whole_books(filled_database_url) == []


CARTS = """
    SELECT outcome.command_id::text, outcome.decided_at, outcome.document, cart.id::text,
           outcome.fingerprint
    FROM booking.outcomes AS outcome JOIN booking.carts AS cart USING (user_id)
"""
SOMEBODY_HOLDS = "SELECT ticket_type_id FROM booking.cart_items ORDER BY 1 LIMIT 1"
KEEP = """
    CREATE TEMP TABLE types_kept AS SELECT * FROM booking.ticket_types;
    CREATE TEMP TABLE carts_kept AS SELECT * FROM booking.carts;
    CREATE TEMP TABLE lines_kept AS SELECT * FROM booking.cart_items;
"""
GIVE_BACK = """
    DELETE FROM booking.cart_items; DELETE FROM booking.carts; DELETE FROM booking.ticket_types;
    INSERT INTO booking.ticket_types SELECT * FROM types_kept;
    INSERT INTO booking.carts SELECT * FROM carts_kept;
    INSERT INTO booking.cart_items SELECT * FROM lines_kept;
"""
