"""A stage for the tests: users, events and ticket types in Postgres, and what is stored of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.commands import Command
from shared.ids import new_id
from shared.outcomes import Outcome, decode_outcome
from tests.builders import FAR_AHEAD, LONG_AGO, RULES, check_out, record_payment, reserve
from worker.apply import AppliedBatch, apply
from worker.domain.batch import Batch
from worker.storage.outcomes import EncodedOutcome, encode


class Harness:
    """Each has an organizer and an event of its own: tests share a database, and nothing in it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.organizer = new_id()
        self.event = new_id()
        self._is_open = False

    async def apply(self, *commands: Command, engine: AsyncEngine | None = None) -> list[Outcome]:
        """Decide the commands in one transaction."""
        done = await apply(engine or self.engine, RULES, commands)
        return [decode(outcome) for outcome in done.outcomes]

    # --- setting the stage ------------------------------------------------------------------

    async def users(self, count: int) -> list[str]:
        ids = [new_id() for _ in range(count)]
        await self._execute(
            """
            INSERT INTO booking.users (id, email, password_hash, registered_at)
            SELECT id, id || '@example.com', '$argon2id$', now()
            FROM unnest(CAST(:ids AS uuid[])) AS id
            """,
            ids=ids,
        )
        return ids

    async def user(self) -> str:
        return (await self.users(1))[0]

    async def ticket_type(self, total: int = 100) -> str:
        return (await self.ticket_types(1, total))[0]

    async def ticket_types(self, count: int, total: int = 100) -> list[str]:
        """Ticket types of this harness's event, on sale, in the order of their IDs."""
        await self._open()
        ids = sorted(new_id() for _ in range(count))
        await self._execute(
            """
            INSERT INTO booking.ticket_types
                (id, event_id, name, total, reserved, sold, sale_starts_at, sale_ends_at)
            SELECT id, CAST(:event AS uuid), 'Standing', :total, 0, 0, :starts_at, :ends_at
            FROM unnest(CAST(:ids AS uuid[])) AS id
            """,
            ids=ids,
            event=self.event,
            total=total,
            starts_at=LONG_AGO,
            ends_at=FAR_AHEAD,
        )
        return ids

    async def _open(self) -> None:
        if self._is_open:
            return
        await self._execute(
            """
            INSERT INTO booking.users (id, email, password_hash, registered_at)
            VALUES (CAST(:id AS uuid), :id || '@example.com', '$argon2id$', now())
            """,
            id=self.organizer,
        )
        await self._execute(
            """
            INSERT INTO booking.events (id, organizer_id, name, starts_at, ends_at, status)
            VALUES (CAST(:id AS uuid), CAST(:organizer AS uuid), 'A concert', :starts, :ends,
                    'active')
            """,
            id=self.event,
            organizer=self.organizer,
            starts=LONG_AGO,
            ends=FAR_AHEAD,
        )
        self._is_open = True

    async def due_carts(self, count: int, lines: dict[str, int]) -> list[str]:
        """Users who hold `lines` in carts whose hold is over."""
        users = await self.users(count)
        outcomes = await self.apply(*[reserve(user, lines) for user in users])
        assert {outcome.status for outcome in outcomes} == {"succeeded"}
        await self.let_holds_pass(users)
        return users

    async def price(self, ticket_type_id: str, unit_price: int) -> None:
        """Give a ticket type a price in minor units."""
        await self._execute(
            "UPDATE booking.ticket_types SET unit_price = :price WHERE id = CAST(:id AS uuid)",
            id=ticket_type_id,
            price=unit_price,
        )

    async def limit(self, ticket_type_id: str, max_per_user: int) -> None:
        """Give a ticket type a limit for each user."""
        await self._execute(
            "UPDATE booking.ticket_types SET max_per_user = :limit WHERE id = CAST(:id AS uuid)",
            id=ticket_type_id,
            limit=max_per_user,
        )

    async def price_all(self, unit_price: int) -> None:
        """Give all ticket types of this harness's event a price in minor units."""
        await self._execute(
            "UPDATE booking.ticket_types SET unit_price = :price"
            " WHERE event_id = CAST(:id AS uuid)",
            id=self.event,
            price=unit_price,
        )

    async def order(self, user_id: str, lines: dict[str, int], paid: int = 0) -> str:
        """Reserve and check out for the user, record a payment of `paid`; return the order's ID."""
        ordered = check_out(user_id, self.event)
        assert summary(await self.apply(reserve(user_id, lines), ordered)) == ["succeeded"] * 2
        if paid:
            payment = record_payment(self.organizer, ordered.command_id, paid)
            assert summary(await self.apply(payment)) == ["succeeded"]
        return ordered.command_id

    async def let_orders_pass(self, *order_ids: str) -> None:
        """Let the holds of these orders be over."""
        for table, key in (("orders", "id"), ("order_items", "order_id")):
            await self._execute(
                f"""
                UPDATE booking.{table} SET held_until = clock_timestamp() - interval '1 ms'
                WHERE {key} = ANY (CAST(:ids AS uuid[])) AND held_until IS NOT NULL
                """,
                ids=list(order_ids),
            )

    async def let_holds_pass(self, user_ids: Iterable[str]) -> None:
        await self._execute(
            """
            WITH due AS (
                UPDATE booking.carts SET expires_at = clock_timestamp() - interval '1 ms'
                WHERE status = 'active' AND user_id = ANY (CAST(:user_ids AS uuid[]))
                RETURNING id, expires_at
            )
            UPDATE booking.cart_items AS line SET expires_at = due.expires_at
            FROM due WHERE line.cart_id = due.id
            """,
            user_ids=list(user_ids),
        )

    # --- what is stored ---------------------------------------------------------------------

    async def reserved(self, ticket_type_id: str) -> int:
        statement = "SELECT reserved FROM booking.ticket_types WHERE id = CAST(:id AS uuid)"
        return int((await self.rows(statement, id=ticket_type_id))[0][0])

    async def sold(self, ticket_type_id: str) -> int:
        statement = "SELECT sold FROM booking.ticket_types WHERE id = CAST(:id AS uuid)"
        return int((await self.rows(statement, id=ticket_type_id))[0][0])

    async def status(self, order_id: str) -> str:
        statement = "SELECT status FROM booking.orders WHERE id = CAST(:id AS uuid)"
        return str((await self.rows(statement, id=order_id))[0][0])

    async def held(self, ticket_type_id: str) -> int:
        """Tickets of this type in active carts."""
        statement = """
            SELECT coalesce(sum(quantity), 0) FROM booking.cart_items
            JOIN booking.carts ON carts.id = cart_id
            WHERE status = 'active' AND ticket_type_id = CAST(:id AS uuid)
        """
        return int((await self.rows(statement, id=ticket_type_id))[0][0])

    async def carts(self, user_id: str) -> list[tuple[str, dict[str, int]]]:
        """Status and lines of all carts that a user ever had, oldest first."""
        statement = """
            SELECT cart.id, cart.status, ticket_type_id::text, quantity
            FROM booking.carts AS cart LEFT JOIN booking.cart_items ON cart_id = cart.id
            WHERE user_id = CAST(:user AS uuid) ORDER BY cart.id, ticket_type_id
        """
        carts: dict[str, tuple[str, dict[str, int]]] = {}
        for cart_id, status, ticket_type_id, quantity in await self.rows(statement, user=user_id):
            lines = carts.setdefault(cart_id, (status, {}))[1]
            if ticket_type_id:
                lines[ticket_type_id] = quantity
        return list(carts.values())

    async def recorded(self, *commands: Command) -> list[str]:
        """The recorded outcome documents of the commands, in no order."""
        statement = (
            "SELECT document FROM booking.outcomes WHERE command_id = ANY (CAST(:ids AS uuid[]))"
        )
        ids = [command.command_id for command in commands]
        return [row[0] for row in await self.rows(statement, ids=ids)]

    async def deadlocks(self) -> int:
        """How many there ever were in this database. A backend reports its own when it ends."""
        await self.engine.dispose()
        others = """
            SELECT pid FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()
        """

        async def alone() -> bool:
            return not await self.rows(others)

        await eventually(alone)
        statement = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        return int((await self.rows(statement))[0][0])

    async def rows(self, statement: str, **parameters: Any) -> list[Any]:
        async with self.engine.connect() as connection:
            return list((await connection.execute(text(statement), parameters)).all())

    async def _execute(self, statement: str, **parameters: Any) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(text(statement), parameters)

    # --- other hands in the same rows -------------------------------------------------------

    @asynccontextmanager
    async def locked(self, table: str, *ids: str) -> AsyncIterator[AsyncConnection]:
        """A connection of another hand that holds these rows; whoever wants them waits."""
        async with self.engine.connect() as connection:
            await connection.execute(text("SET LOCAL deadlock_timeout = '30s'"))
            await connection.execute(
                text(
                    f"SELECT FROM booking.{table} WHERE id = ANY (CAST(:ids AS uuid[])) "
                    "ORDER BY id FOR UPDATE"
                ),
                {"ids": list(ids)},
            )
            yield connection
            await connection.rollback()

    async def waiting(self, count: int = 1) -> list[int]:
        """Wait until `count` backends of this database wait for a lock; return their IDs."""
        statement = """
            SELECT pid FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'
        """

        async def enough() -> list[int]:
            pids = [row[0] for row in await self.rows(statement)]
            return pids if len(pids) >= count else []

        return await eventually(enough)


async def eventually(
    probe: Callable[[], Awaitable[Any]], within_seconds: float = 10, every_seconds: float = 0.01
) -> Any:
    """Ask until the answer is true, and return it."""
    async with asyncio.timeout(within_seconds):
        while not (answer := await probe()):
            await asyncio.sleep(every_seconds)
        return answer


def decode(encoded: EncodedOutcome) -> Outcome:
    return decode_outcome(encoded.document)


def applied(batch: Batch) -> AppliedBatch:
    """What `apply` returns for a batch."""
    return AppliedBatch(batch, encode(batch))


def summary(outcomes: Iterable[Outcome]) -> list[str]:
    """`succeeded`, or the code of the refusal, for each outcome."""
    return [outcome.refusal.code if outcome.refusal else outcome.status for outcome in outcomes]
