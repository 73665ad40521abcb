"""The tables of the baseline, and its one transaction: lock, check, update, insert, commit."""

from collections.abc import Mapping
from uuid import uuid4

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

POOL_SIZE = 16
POOL_TIMEOUT_SECONDS = 30
HOLD_SECONDS = 600

SCHEMA = (
    "CREATE SCHEMA IF NOT EXISTS baseline",
    """
    CREATE TABLE IF NOT EXISTS baseline.ticket_types (
        id uuid PRIMARY KEY,
        total integer NOT NULL,
        reserved integer NOT NULL,
        CHECK (reserved >= 0 AND reserved <= total)
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE IF NOT EXISTS baseline.holds (
        id uuid PRIMARY KEY,
        user_id uuid NOT NULL,
        ticket_type_id uuid NOT NULL REFERENCES baseline.ticket_types,
        quantity integer NOT NULL CHECK (quantity > 0),
        expires_at timestamptz NOT NULL
    )
    """,
)
# asyncpg prepares each of these once a connection.
LOCK = text("SELECT total - reserved FROM baseline.ticket_types WHERE id = :id FOR UPDATE")
TAKE = text("UPDATE baseline.ticket_types SET reserved = reserved + :quantity WHERE id = :id")
HOLD = text(
    "INSERT INTO baseline.holds (id, user_id, ticket_type_id, quantity, expires_at)"
    " VALUES (:id, :user_id, :ticket_type_id, :quantity,"
    f" now() + interval '{HOLD_SECONDS} seconds')"
)


class SoldOutError(Exception):
    """Fewer tickets are left than were requested."""


class UnknownTicketTypeError(Exception):
    """The ticket type does not exist."""


async def reserve(engine: AsyncEngine, user_id: str, wanted: Mapping[str, int]) -> list[str]:
    """Hold all requested tickets or none; return the IDs of the holds."""
    hold_ids = []
    async with engine.begin() as connection:
        for ticket_type_id in sorted(wanted):  # in a fixed order, to avoid deadlocks
            quantity = wanted[ticket_type_id]
            available = (await connection.execute(LOCK, {"id": ticket_type_id})).scalar()
            if available is None:
                raise UnknownTicketTypeError
            if available < quantity:
                raise SoldOutError
            await connection.execute(TAKE, {"id": ticket_type_id, "quantity": quantity})
            hold_id = str(uuid4())
            values = {"id": hold_id, "user_id": user_id, "ticket_type_id": ticket_type_id}
            await connection.execute(HOLD, values | {"quantity": quantity})
            hold_ids.append(hold_id)
    return hold_ids


async def create_schema(database_url: str) -> None:
    """Create the tables that are missing."""
    engine = create_engine(database_url)
    async with engine.begin() as connection:
        for statement in SCHEMA:
            await connection.execute(text(statement))
    await engine.dispose()


def create_engine(database_url: str) -> AsyncEngine:
    """Return an engine with a pool as large as the row locks can use."""
    return create_async_engine(
        make_url(database_url).set(drivername="postgresql+asyncpg"),
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_SECONDS,
    )
