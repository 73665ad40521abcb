"""The tables in memory, and transactions on them: READ COMMITTED, all or nothing."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any, Literal, NamedTuple, get_args

from asyncpg import CheckViolationError, UniqueViolationError

from reliability.simulation.fakes.locks import Holder, RowLocks

Table = Literal[
    "users", "events", "ticket_types", "carts", "lines", "outcomes",
    "orders", "items", "payments", "refunds", "swept_events",
]  # fmt: skip
"""`swept_events` are the cancelled ones that have no pending or paid order left."""
Tables = dict[Table, dict[Any, Any]]
NEXT_ROW_SECONDS = 0.002
TABLES: tuple[Table, ...] = get_args(Table)


class UserRow(NamedTuple):
    id: str
    email: str


class EventRow(NamedTuple):
    id: str
    organizer_id: str
    name: str
    starts_at: datetime
    ends_at: datetime
    status: str
    currency: str = "EUR"
    payment_agent_id: str | None = None


class TicketTypeRow(NamedTuple):
    id: str
    event_id: str
    name: str
    total: int
    reserved: int
    sold: int
    sale_starts_at: datetime
    sale_ends_at: datetime
    unit_price: int = 0
    min_per_order: int = 1
    max_per_order: int | None = None
    max_per_user: int | None = None


class CartRow(NamedTuple):
    id: str
    user_id: str
    opened_at: datetime
    expires_at: datetime
    status: str


class OrderRow(NamedTuple):
    id: str
    event_id: str
    user_id: str
    status: str
    currency: str
    total: int
    created_at: datetime
    pay_by: datetime
    held_until: datetime | None
    paid: int
    accepted: int
    refunded: int
    kept: int
    tickets_value: int


class OrderItemRow(NamedTuple):
    order_id: str
    ticket_type_id: str
    user_id: str
    name: str
    quantity: int
    unit_price: int
    held: int
    held_until: datetime | None
    released: int


class PaymentRow(NamedTuple):
    event_id: str
    payment_id: str
    order_id: str
    number: int
    amount: int
    disposition: str
    reason: str | None
    recorded_at: datetime


class RefundRow(NamedTuple):
    event_id: str
    refund_id: str
    order_id: str
    number: int
    amount: int
    recorded_at: datetime


class OutcomeRow(NamedTuple):
    command_id: str
    user_id: str
    fingerprint: bytes
    document: str
    dead_letter: bool
    decided_at: datetime


@dataclass
class Committed:
    """What the history keeps of a transaction."""

    began: datetime
    at: datetime
    clock: datetime
    """The time that its clock returned."""
    expired: list[str]
    """The carts whose hold it found to be over."""
    outcomes: list[OutcomeRow]
    orders: list[OrderRow]
    """Those that it wrote, as it left them."""


@dataclass(eq=False)
class Database:
    """What is committed, and how it came to be."""

    now: Callable[[], datetime]
    random: Random
    tables: Tables = field(default_factory=lambda: {table: {} for table in TABLES})
    history: list[Committed] = field(default_factory=list)
    open: dict["Transaction", None] = field(default_factory=dict)
    """Transactions in the order of their beginning."""
    alarms: list[str] = field(default_factory=list)
    """What the worker must never lean on: constraints that had to refuse, deadlocks, drift."""
    recorded_without_lock: set[str] = field(default_factory=set)
    """Commands whose user did not exist when their outcome was recorded."""
    poisoned: set[str] = field(default_factory=set)
    """Commands whose outcome cannot be saved, unless it says that they were set aside."""
    deadly: set[str] = field(default_factory=set)
    """Commands that end the worker which saves their outcome, unless it says the same."""
    given_up: set[str] = field(default_factory=set)
    """Commands refused because each process that decided them died, of whatever."""
    is_down: bool = False

    def __post_init__(self) -> None:
        self.locks = RowLocks(lambda key: self.alarms.append(f"I13: a deadlock at {key[0]}"))

    def held(self, ticket_type_id: str) -> int:
        """Tickets in active carts."""
        carts = self.tables["carts"]
        return sum(
            quantity
            for (cart_id, type_id), quantity in self.tables["lines"].items()
            if type_id == ticket_type_id and carts[cart_id].status == "active"
        )

    def ordered(self, ticket_type_id: str, status: str) -> int:
        """Tickets in the orders of a status."""
        orders = self.tables["orders"]
        return sum(
            item.held
            for item in self.tables["items"].values()
            if item.ticket_type_id == ticket_type_id and orders[item.order_id].status == status
        )


class Transaction(Holder):
    """Reads committed rows and its own writes; locks the requested rows."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.database = database
        self.began = self.clock = database.now()
        self._writes: dict[Table, dict[Any, Any]] = {}
        self._expired: list[str] = []
        database.open[self] = None

    def get(self, table: Table, key: Any) -> Any:
        own = self._writes.get(table)
        if own is not None and key in own:
            return own[key]
        return self.database.tables[table].get(key)

    def found_locked(self, user_id: str) -> bool:
        """Whether it has the lock of a user that was there before it."""
        is_new = user_id in self._writes.get("users", {})
        return ("users", user_id) in self.locks and not is_new

    def rows(self, table: Table) -> Iterator[tuple[Any, Any]]:
        rows = self.database.tables[table]
        if own := self._writes.get(table):
            rows = rows | own
        return ((key, row) for key, row in rows.items() if row is not None)

    async def lock(self, table: Table, ids: list[str], sql: str) -> list[Any]:
        """Lock rows as the statement says, and read each when its lock is held."""
        there = sorted({id for id in ids if self.get(table, id) is not None})
        if "ORDER BY" not in sql:
            self.database.random.shuffle(there)
        rows: list[Any] = []
        for id in there:
            if rows and self.database.random.random() < 0.3:
                await asyncio.sleep(NEXT_ROW_SECONDS)  # others run in between
            if "FOR NO KEY UPDATE" in sql:
                await self.database.locks.acquire(self, (table, id))
            rows.append(self.get(table, id))
        return rows

    async def insert(self, table: Table, key: Any, row: Any, index: str = "") -> None:
        """Insert a row; one in flight under the same key is waited for."""
        await self.claim(index or table, key)
        if self.get(table, key) is not None:
            raise UniqueViolationError(f"duplicate key in {table}")
        self.put(table, key, row)

    async def claim(self, index: str, key: Any) -> None:
        """Wait for the transaction that has put the same key into a unique index."""
        await self.database.locks.acquire(self, (index, key))

    def put(self, table: Table, key: Any, row: Any) -> None:
        """Write a row; `None` deletes it."""
        self._writes.setdefault(table, {})[key] = row

    def refuse(self, what: str) -> None:
        """A check that fails: with a worker that decides under its locks, none ever does."""
        self.database.alarms.append(f"I1: a constraint had to refuse: {what}")
        raise CheckViolationError(what)

    def update_cart(self, cart_id: str, expires_at: datetime, status: str) -> None:
        cart: CartRow = self.get("carts", cart_id)
        self.put("carts", cart_id, cart._replace(expires_at=expires_at, status=status))
        if status == "expired":
            self._expired.append(cart_id)

    def commit(self) -> None:
        if not self.is_open:
            return
        database = self.database
        for table, rows in self._writes.items():
            for key, row in rows.items():
                if row is None:
                    database.tables[table].pop(key, None)
                else:
                    database.tables[table][key] = row
        outcomes = list(self._writes.get("outcomes", {}).values())
        orders = list(self._writes.get("orders", {}).values())
        if outcomes or orders or self._expired:
            database.history.append(
                Committed(self.began, database.now(), self.clock, self._expired, outcomes, orders)
            )
            self._look_for_drift()
        self._end()

    def abort(self) -> None:
        if self.is_open:
            self._end()

    def _end(self) -> None:
        self.is_open = False
        self.database.open.pop(self, None)
        self.database.locks.release_all(self)

    def _look_for_drift(self) -> None:
        database = self.database
        for id in self._writes.get("ticket_types", {}):
            row: TicketTypeRow = database.tables["ticket_types"][id]
            held = database.held(id) + database.ordered(id, "pending_payment")
            if row.reserved != held:
                database.alarms.append(f"I2: {row.reserved} tickets are reserved, {held} are held")
            if row.sold != database.ordered(id, "paid"):
                database.alarms.append(f"I2: {row.sold} tickets are sold, and not in paid orders")
