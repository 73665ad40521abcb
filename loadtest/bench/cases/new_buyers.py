"""Registers the buyers of a real sale: each of them comes once, and has no cart before."""

import random

import asyncpg

from loadtest.bench.growth.fill import SETTINGS
from loadtest.fixtures import UNUSABLE_PASSWORD_HASH, Account, new_accounts
from loadtest.queue.client import PreparationError
from loadtest.report.result import Result

CONNECT_SECONDS = 10
REGISTER_SECONDS = 120
REGISTER = """
    INSERT INTO booking.users (id, email, password_hash, registered_at)
    SELECT id, email, $3, now() FROM unnest($1::uuid[], $2::text[]) AS buyer (id, email)
"""


async def register_new_buyers(database_url: str | None, count: int) -> list[Account]:
    """Add users to the tables as they are, and return them in a random order.

    They come in another order than they registered in, so that their rows lie all over the table.
    """
    if database_url is None:
        raise PreparationError("New buyers are registered in the database: name it.")
    buyers = new_accounts(count)
    connection = await asyncpg.connect(
        database_url,
        timeout=CONNECT_SECONDS,
        command_timeout=REGISTER_SECONDS,
        server_settings=SETTINGS,
    )
    try:
        ids, emails = [buyer.user_id for buyer in buyers], [buyer.email for buyer in buyers]
        await connection.execute(REGISTER, ids, emails, UNUSABLE_PASSWORD_HASH)
        # As autovacuum would have done before the sale.
        await connection.execute("VACUUM (ANALYZE) booking.users")
    finally:
        await connection.close()
    random.shuffle(buyers)
    return buyers


def check_each_came_once(result: Result, buyers: int) -> Result:
    """Return the result. Raises `PreparationError` if there were more commands than buyers."""
    if result.asked > buyers:
        raise PreparationError(
            f"{result.asked:,} commands of {buyers:,} buyers: some came twice. Measure for a"
            " shorter time."
        )
    return result
