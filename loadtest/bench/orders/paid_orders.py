"""Fills the tables with paid orders, as a year of sales would have left them."""

import asyncpg

from loadtest.bench.cases.new_buyers import register_new_buyers
from loadtest.bench.cliffs.situations import make_ticket_type
from loadtest.bench.growth.fill import CONNECT_SECONDS, SETTINGS
from loadtest.fixtures import UNIT_PRICE
from loadtest.progress import Progress
from loadtest.workload import CommandIds

CHUNK_ROWS = 50_000
BUYERS = 200_000
FILL_SECONDS = 300
TABLES = ("ticket_types", "orders", "order_items", "payments")


async def fill_paid_orders(database_url: str, count: int) -> None:
    """Insert so many paid orders of one event, and vacuum as autovacuum would have."""
    buyers = await register_new_buyers(database_url, min(BUYERS, count))
    connection = await asyncpg.connect(
        database_url,
        timeout=CONNECT_SECONDS,
        command_timeout=FILL_SECONDS,
        server_settings=SETTINGS,
    )
    ids = CommandIds()
    progress = Progress()
    try:
        ticket_type = await make_ticket_type(connection)
        event = await connection.fetchval(SELL, ticket_type, count, UNIT_PRICE)
        for first in range(0, count, CHUNK_ROWS):
            orders = ids.take(min(CHUNK_ROWS, count - first))
            users = [buyers[(first + place) % len(buyers)].user_id for place in range(len(orders))]
            await connection.execute(ORDERS, orders, users, event, ticket_type, UNIT_PRICE)
            progress.step("filling paid orders", first + len(orders), count)
        for table in TABLES:
            await connection.execute(f"VACUUM (ANALYZE) booking.{table}")
    finally:
        await connection.close()


SELL = """
    UPDATE booking.ticket_types SET sold = $2, unit_price = $3 WHERE id = $1
    RETURNING event_id::text
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
