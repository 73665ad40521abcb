"""Checks a whole database: the held tickets of each type are in active carts."""

import asyncpg

CONNECT_SECONDS = 10
QUERY_SECONDS = 300

# One statement is one snapshot, so it balances at any moment.
UNBALANCED = """
    SELECT ticket_type.id::text, ticket_type.reserved, coalesce(lines.in_carts, 0)
    FROM booking.ticket_types AS ticket_type
    LEFT JOIN (
        SELECT line.ticket_type_id, sum(line.quantity) AS in_carts
        FROM booking.cart_items AS line
        JOIN booking.carts AS cart ON cart.id = line.cart_id
        WHERE cart.status = 'active'
        GROUP BY line.ticket_type_id
    ) AS lines ON lines.ticket_type_id = ticket_type.id
    WHERE ticket_type.reserved <> coalesce(lines.in_carts, 0)
    ORDER BY ticket_type.id
"""


async def check_whole_books(database_url: str) -> list[str]:
    """Return what does not balance, a sentence for each ticket type."""
    connection = await asyncpg.connect(
        database_url, timeout=CONNECT_SECONDS, command_timeout=QUERY_SECONDS
    )
    try:
        rows = await connection.fetch(UNBALANCED)
    finally:
        await connection.close()
    return [
        f"Ticket type {ticket_type_id}: {reserved:,} held, but {in_carts:,} in carts."
        for ticket_type_id, reserved, in_carts in rows
    ]
