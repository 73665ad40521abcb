"""The views that the gateway reads: their columns, and how they depend on the time."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.ids import new_id
from worker.storage.engine import create_engine

VIEWS = {
    "users": "id email",
    "credentials": "user_id email password_hash",
    "events": "id organizer_id name starts_at ends_at status currency payment_agent_id",
    "ticket_types": (
        "id event_id name total_quantity reserved_quantity sold_quantity available "
        "sale_starts_at sale_ends_at unit_price min_per_order max_per_order max_per_user"
    ),
    "carts": (
        "user_id id expires_at ticket_type_id event_id quantity name event_name unit_price currency"
    ),
    "orders": (
        "id event_id user_id organizer_id payment_agent_id status currency total paid refunded "
        "kept refund_due created_at pay_by items payments refunds"
    ),
    "outcomes": "command_id user_id document fingerprint",
}
EARLIER, LATER = timedelta(hours=-1), timedelta(hours=1)


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[AsyncConnection]:
    """A connection whose transaction is rolled back."""
    engine = create_engine(database_url, 1)
    async with engine.connect() as connection:
        yield connection
        await connection.rollback()
    await engine.dispose()


class Stage:
    """An event of one organizer with one ticket type, and a cart of two tickets."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.user, self.event, self.tickets, self.cart = (new_id() for _ in range(4))

    async def set(
        self,
        *,
        event: str = "active",
        ends: timedelta = LATER,
        cart: str = "active",
        expires: timedelta = LATER,
    ) -> None:
        now = datetime.now(UTC)
        await self._insert("users", self.user, f"{self.user}@example.com", "$argon2id$", now)
        times = now + EARLIER - LATER, now + ends
        await self._insert("events", self.event, self.user, "A concert", *times, event)
        await self._insert(
            "ticket_types", self.tickets, self.event, "Standing", 100, 30, 20, now, now + LATER
        )
        await self._insert("carts", self.cart, self.user, cart, now + expires)
        await self._insert("cart_items", self.cart, self.tickets, 2, now + expires)

    async def _insert(self, table: str, *values: Any) -> None:
        literals = [str(v) if isinstance(v, int) else f"'{v}'" for v in values]
        await self._connection.exec_driver_sql(
            f"INSERT INTO booking.{table} VALUES ({', '.join(literals)})"
        )

    async def read(self, view: str, column: str, id: str) -> list[dict[str, Any]]:
        statement = text(f"SELECT * FROM read_model.{view} WHERE {column} = CAST(:id AS uuid)")
        return [
            dict(row) for row in (await self._connection.execute(statement, {"id": id})).mappings()
        ]


@pytest.fixture
def stage(connection: AsyncConnection) -> Stage:
    return Stage(connection)


@pytest.mark.parametrize("view", VIEWS)
async def test_a_view_has_the_columns_of_the_contract(
    connection: AsyncConnection, view: str
) -> None:
    rows = await connection.execute(text(f"SELECT * FROM read_model.{view} LIMIT 0"))

    assert " ".join(rows.keys()) == VIEWS[view]


async def test_there_are_no_other_views(connection: AsyncConnection) -> None:
    names = await connection.execute(
        text("SELECT table_name FROM information_schema.tables WHERE table_schema = 'read_model'")
    )

    assert set(names.scalars()) == set(VIEWS)


@pytest.mark.parametrize(
    ("stored", "ends", "reads"),
    [
        ("active", LATER, "active"),
        ("active", EARLIER, "ended"),
        ("cancelled", LATER, "cancelled"),
        ("cancelled", EARLIER, "ended"),
        ("ended", LATER, "ended"),
        ("ended", EARLIER, "ended"),
    ],
)
async def test_an_event_whose_end_has_passed_reads_ended(
    stage: Stage, stored: str, ends: timedelta, reads: str
) -> None:
    await stage.set(event=stored, ends=ends)

    (event,) = await stage.read("events", "id", stage.event)

    assert event["status"] == reads


async def test_availability_is_the_total_less_reserved_and_sold(stage: Stage) -> None:
    await stage.set()

    (ticket_type,) = await stage.read("ticket_types", "id", stage.tickets)

    columns = ("total_quantity", "reserved_quantity", "sold_quantity", "available")
    assert [ticket_type[column] for column in columns] == [100, 30, 20, 50]


@pytest.mark.parametrize(
    ("status", "expires", "shown"),
    [
        ("active", LATER, True),
        ("active", EARLIER, False),
        ("expired", LATER, False),
        ("released", LATER, False),
    ],
)
async def test_a_cart_is_shown_until_its_expiry(
    stage: Stage, status: str, expires: timedelta, shown: bool
) -> None:
    await stage.set(cart=status, expires=expires)

    lines = await stage.read("carts", "user_id", stage.user)

    assert [(str(line["ticket_type_id"]), line["quantity"]) for line in lines] == (
        [(stage.tickets, 2)] if shown else []
    )
    assert all(str(line["event_id"]) == stage.event for line in lines)
    assert all(str(line["id"]) == stage.cart for line in lines)


async def test_the_view_of_users_has_no_credentials(stage: Stage) -> None:
    await stage.set()

    (user,) = await stage.read("users", "id", stage.user)
    (credentials,) = await stage.read("credentials", "user_id", stage.user)

    assert "password_hash" not in user
    assert credentials["password_hash"] == "$argon2id$"
