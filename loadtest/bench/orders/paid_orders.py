"""Fills the tables with paid orders, as a year of sales would have left them."""

import asyncpg

from loadtest.bench.growth.fill import CONNECT_SECONDS, SETTINGS
from loadtest.fixtures import UNIT_PRICE, UNUSABLE_PASSWORD_HASH
from loadtest.progress import Progress
from loadtest.workload import CommandIds

CHUNK_ROWS = 50_000
BUYERS = 200_000
FILL_SECONDS = 300
TABLES = ("users", "ticket_types", "orders", "order_items", "payments")


async def fill_paid_orders(database_url: str, count: int) -> None:
    """Insert so many paid orders of one event, and vacuum as autovacuum would have."""
    connection = await asyncpg.connect(
        database_url,
        timeout=CONNECT_SECONDS,
        command_timeout=FILL_SECONDS,
        server_settings=SETTINGS,
    )
    ids = CommandIds()
    progress = Progress()
    try:
        organizer, event, ticket_type = ids.take(3)
        buyers = ids.take(min(BUYERS, count))
        await connection.execute(USERS, [organizer, *buyers], UNUSABLE_PASSWORD_HASH)
        await connection.execute(EVENT, event, organizer)
        await connection.execute(TICKET_TYPE, ticket_type, event, count, UNIT_PRICE)
        for first in range(0, count, CHUNK_ROWS):
            orders = ids.take(min(CHUNK_ROWS, count - first))
            users = [buyers[(first + place) % len(buyers)] for place in range(len(orders))]
            await connection.execute(ORDERS, orders, users, event, ticket_type, UNIT_PRICE)
            progress.step("filling paid orders", first + len(orders), count)
        for table in TABLES:
            await connection.execute(f"VACUUM (ANALYZE) booking.{table}")
    finally:
        await connection.close()


USERS = """
    INSERT INTO booking.users (id, email, password_hash, registered_at)
    SELECT id, id || '@earlier.example', $2, now() FROM unnest($1::uuid[]) AS id
"""
EVENT = """
    INSERT INTO booking.events (id, organizer_id, name, starts_at, ends_at, status)
    VALUES ($1, $2, 'An earlier concert', now() + interval '30 days',
            now() + interval '31 days', 'active')
"""
TICKET_TYPE = """
    INSERT INTO booking.ticket_types
        (id, event_id, name, total, reserved, sold, sale_starts_at, sale_ends_at, unit_price)
    VALUES ($1, $2, 'Standing', $3, 0, $3, now() - interval '1 day',
            now() + interval '30 days', $4)
"""
ORDERS = """
    WITH made AS (
        SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS made (order_id, user_id)
    ), orders AS (
        INSERT INTO booking.orders
            (id, event_id, user_id, status, currency, total, paid, accepted, refunded, kept,
             tickets_value, created_at, pay_by)
        SELECT order_id, $3, user_id, 'paid', 'EUR', $5, $5, $5, 0, 0, $5, now(), now()
        FROM made
    ), lines AS (
        INSERT INTO booking.order_items
            (order_id, ticket_type_id, user_id, name, quantity, unit_price, released, held)
        SELECT order_id, $4, user_id, 'Standing', 1, $5, 0, 1 FROM made
    )
    INSERT INTO booking.payments
        (event_id, payment_id, order_id, number, amount, disposition, recorded_at)
    SELECT $3, order_id::text, order_id, 1, $5, 'accepted', now() FROM made
"""
