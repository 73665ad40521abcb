"""A connection to the tables in memory, in the form in which the worker asks for one.

It is what SQLAlchemy's pool and asyncpg are to the worker: slow, and apt to break at any point,
also between a commit and its answer.
"""

import asyncio
from typing import Any, Protocol

import asyncpg

from reliability.simulation.fakes.order_statements import ORDER_STATEMENTS
from reliability.simulation.fakes.statements import CART_STATEMENTS, split_rows
from reliability.simulation.fakes.tables import Database, OutcomeRow, Transaction
from reliability.simulation.faults import Faults, Victim
from worker.operations.sweep import DUE_HOLDS
from worker.storage.driver import BEGIN, COMMIT

KNOWN = CART_STATEMENTS | ORDER_STATEMENTS
STATEMENT_SECONDS = 0.02
AT_ONCE_SECONDS = 0.004
"""A shorter delay does not yield to other tasks."""
NOTICE_SECONDS = 1.5
"""How long Postgres may take to see that a client has gone; it holds its locks until then."""


class Client(Victim, Protocol):
    """The worker that a connection belongs to."""

    is_dead: bool
    faults: Faults


class Engine:
    """Lends connections."""

    def __init__(self, database: Database, client: Client) -> None:
        self._database = database
        self._client = client

    def connect(self) -> "Connection":
        return Connection(self._database, self._client)

    async def dispose(self) -> None:
        pass


class Connection:
    """A connection of the pool."""

    def __init__(self, database: Database, client: Client) -> None:
        self._database = database
        self.driver_connection = Driver(database, client)

    async def __aenter__(self) -> "Connection":
        if self._database.is_down:
            raise ConnectionRefusedError
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def get_raw_connection(self) -> "Connection":
        return self

    async def invalidate(self) -> None:
        pass

    async def execute(self, statement: Any, parameters: dict[str, Any]) -> "Result":
        if statement is not DUE_HOLDS:
            raise AssertionError(f"the simulation does not know: {statement}")
        await self.driver_connection.travel("due_holds")
        now = self._database.now()
        carts = sorted(self._database.tables["carts"].values(), key=lambda cart: cart.expires_at)
        due = [(c.user_id, None) for c in carts if c.status == "active" and c.expires_at <= now]
        held = [o for o in self._database.tables["orders"].values() if o.held_until is not None]
        due_orders = [(order.user_id, order.id) for order in held if order.held_until <= now]
        limit = parameters["limit"]
        return Result([*due[:limit], *due_orders[:limit]])


class Result(list[tuple[str, str | None]]):
    """The rows of a result."""

    def all(self) -> "Result":
        return self


class Driver:
    """An asyncpg connection, as far as the worker knows it."""

    def __init__(self, database: Database, client: Client) -> None:
        self._database = database
        self._client = client
        self._transaction: Transaction | None = None
        self._is_closed = False

    async def execute(self, sql: str) -> str:
        if sql == COMMIT:
            return await self._commit()
        if sql != BEGIN:
            raise AssertionError(f"the simulation does not know: {sql}")
        await self.travel("begin")
        self._transaction = Transaction(self._database)
        return "BEGIN"

    def terminate(self) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is None:
            return
        # The server sees at once that its client hangs up, and late that one has gone.
        if self._client.is_dead or self._is_closed:
            self._notice_later(transaction.abort)
        else:
            transaction.abort()

    async def fetch(self, sql: str, *parameters: Any) -> list[Any]:
        if sql not in KNOWN:
            raise AssertionError(f"the simulation does not know: {sql}")
        transaction = self._transaction
        if transaction is None:
            raise AssertionError("every statement of a worker stands in a transaction")
        name, handler = KNOWN[sql]
        await self.travel(name)
        self._expect_open(transaction)
        if name == "save_holds_and_outcomes":
            *_, outcomes = split_rows(parameters)
            await self._die_of([OutcomeRow(*row) for row in outcomes])
        rows = await handler(transaction, sql, *parameters)
        self._expect_open(transaction)
        await self._client.faults.at_statement(f"after {name}", self._client)
        return rows

    async def travel(self, name: str) -> None:
        """Let a statement take its time on the way, and whatever may happen to it."""
        faults = self._client.faults
        await self._client.go_on()
        await faults.at_statement(f"before {name}", self._client)
        if faults.breaks_connection(f"before {name}", self._client):
            self._break()
        seconds = faults.delay(STATEMENT_SECONDS)
        if seconds > AT_ONCE_SECONDS:
            await asyncio.sleep(seconds)

    async def _commit(self) -> str:
        client, faults = self._client, self._client.faults
        transaction, self._transaction = self._transaction, None
        if transaction is None:
            raise AssertionError("there is nothing to commit")
        try:
            await self.travel("commit")
            self._expect_open(transaction)
            if faults.breaks_connection("commit sent", client):
                self._notice_later(transaction.commit)
                self._break()
        except BaseException:
            # Who is killed may have sent it: only Postgres knows.
            sent = client.is_dead and faults.coin()
            self._notice_later(transaction.commit if sent else transaction.abort)
            raise
        transaction.commit()
        if faults.breaks_connection("committed", client):
            self._break()
        await faults.at("committed", client)
        await client.go_on()
        return "COMMIT"

    async def _die_of(self, outcomes: list[OutcomeRow]) -> None:
        """End a worker that saves the outcome of a poison command."""
        for row in outcomes:
            if row.command_id in self._database.deadly and not row.dead_letter:
                await self._client.faults.die(self._client, f"deciding {row.command_id}")

    def _expect_open(self, transaction: Transaction) -> None:
        if not transaction.is_open:
            self._break()

    def _break(self) -> None:
        self._is_closed = True
        raise asyncpg.ConnectionDoesNotExistError("connection was closed")

    def _notice_later(self, act: Any) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(self._client.faults.delay(NOTICE_SECONDS), act)


def restart(database: Database) -> None:
    """Lose every transaction that is open, as when Postgres is killed."""
    for transaction in list(database.open):
        database.locks.interrupt(transaction, asyncpg.AdminShutdownError("terminating connection"))
        transaction.abort()
