"""No statement reads much more than it returns, whatever Postgres believes of the tables.

`auto_explain` reports how each statement was executed, so the statements are found by themselves.
"""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.http.cursor import ListPosition
from gateway.read_model import queries
from gateway.read_model.order_queries import (
    OrderFilter,
    list_orders,
    officers_of,
    read_order,
)
from gateway.read_model.queries import Queries
from tests.builders import (
    RULES,
    cancel_event,
    cancel_order,
    change_ticket_type,
    check_out,
    create_event,
    create_ticket_type,
    extend_hold,
    extend_order,
    record_payment,
    record_refund,
    register_user,
    release_cart,
    release_item,
    reserve,
    set_quantity,
)
from tests.databases import copy_of
from tests.worker.harness import Harness
from worker.apply import apply
from worker.operations.cancelled_events import cancel_some
from worker.operations.partitions import create_committer
from worker.operations.retention import delete_closed_carts
from worker.operations.sweep import sweep_once
from worker.storage.engine import create_engine

BACKGROUND = 2_000
"""Rows of each hot table that no statement of the workload needs."""
MAX_ROWS_IN_VAIN = 300
"""Rows that one statement may read and not use. A scan of a hot table reads `BACKGROUND`."""
EXTENDED = timedelta(days=1)
"""How much longer an organizer gives a buyer to pay."""
TABLES = (
    "users",
    "carts",
    "cart_items",
    "ticket_types",
    "events",
    "orders",
    "order_items",
    "payments",
    "refunds",
)
PLANS = {
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_format": "json",
    "auto_explain.log_level": "notice",
    "auto_explain.log_timing": "off",
    # Those of foreign keys.
    "auto_explain.log_nested_statements": "on",
}


@dataclass
class Watched:
    """The plans of all statements of an engine, as they were executed."""

    plans: list[dict[str, Any]] = field(default_factory=list)

    def wasteful(self) -> list[str]:
        """Statements that read many more rows than they use."""
        return sorted(
            {
                f"{' '.join(plan['Query Text'].split())[:90]}: {rows:,.0f} rows in vain"
                for plan in self.plans
                if "typeinfo_tree" not in plan["Query Text"]  # asyncpg asks for types
                if (rows := sum(map(_rows_in_vain, _nodes(plan["Plan"])))) > MAX_ROWS_IN_VAIN
            }
        )


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from _nodes(child)


def _rows_in_vain(node: dict[str, Any]) -> float:
    """Rows that a node read and dropped, or read through an index without a condition."""
    loops = node["Actual Loops"]
    removed = sum(rows for name, rows in node.items() if name.startswith("Rows Removed by"))
    is_scan = node.get("Relation Name") and node.get("Operation") is None
    in_full = is_scan and "Index Cond" not in node and "TID Cond" not in node
    return float(loops * (removed + (node["Actual Rows"] if in_full else 0)))


def watch(engine: AsyncEngine) -> Watched:
    """Have every connection of the engine report its plans."""
    watched = Watched()

    def note(_: asyncpg.Connection, message: asyncpg.PostgresLogMessage) -> None:
        _, found, document = str(message.message).partition("plan:\n")
        if found:
            watched.plans.append(json.loads(document))

    async def prepare(connection: asyncpg.Connection) -> None:
        connection.add_log_listener(note)
        await connection.execute("LOAD 'auto_explain'")
        for name, value in PLANS.items():
            await connection.execute(f"SET {name} = '{value}'")

    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, _: Any) -> None:
        connection.run_async(prepare)

    return watched


@pytest.fixture
async def database(template_url: str) -> AsyncIterator[tuple[str, Harness]]:
    """A database of its own, and a worker on it that is not watched. Only the test analyzes it."""
    async with copy_of(template_url) as url:
        engine = create_engine(url, 2)
        harness = Harness(engine)
        for table in TABLES:
            await run(engine, f"ALTER TABLE booking.{table} SET (autovacuum_enabled = off)")
        yield url, harness
        await engine.dispose()


async def run(engine: AsyncEngine, statement: str) -> None:
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text(statement))


async def fill(harness: Harness, *, are_paid: bool = True) -> list[str]:
    """Let many users hold tickets of a ticket type that no later command wants.

    As many others have orders, all of one event.
    """
    tickets, users = await harness.ticket_type(total=100_000), await harness.users(BACKGROUND)
    await harness.price_all(500)
    buyers = await harness.users(BACKGROUND)
    for start in range(0, BACKGROUND, 500):
        await harness.apply(*[reserve(user, {tickets: 1}) for user in users[start : start + 500]])
        some = buyers[start : start + 500]
        await harness.apply(*[reserve(user, {tickets: 1}) for user in some])
        orders = [check_out(user, harness.event) for user in some]
        await harness.apply(*orders)
        if are_paid:
            ids = [order.command_id for order in orders]
            await harness.apply(
                *[record_payment(harness.organizer, id, 501) for id in ids],
                *[record_refund(harness.organizer, id, 1) for id in ids],
            )
    return users


# --- what Postgres may believe ------------------------------------------------------------


async def fresh(harness: Harness) -> None:
    """Never analyzed."""


async def analyzed_while_empty(harness: Harness) -> None:
    await run(harness.engine, "VACUUM ANALYZE")


async def analyzed_when_all_carts_had_expired(harness: Harness) -> None:
    committer, _ = create_committer(harness.engine, RULES)
    committer.start()
    await harness.let_holds_pass(await fill(harness))
    while await sweep_once(harness.engine, committer):
        pass
    await committer.stop()
    await run(harness.engine, "VACUUM ANALYZE")


async def emptied_by_retention(harness: Harness) -> None:
    await analyzed_when_all_carts_had_expired(harness)
    await harness.let_holds_pass(await fill(harness))
    await run(harness.engine, "DELETE FROM booking.cart_items")
    await run(harness.engine, "UPDATE booking.carts SET status = 'released'")
    await run(harness.engine, "DELETE FROM booking.carts")
    await run(harness.engine, "VACUUM ANALYZE")


async def restored_without_statistics(harness: Harness) -> None:
    await fill(harness)
    await run(harness.engine, "DELETE FROM pg_statistic")


async def analyzed_with_one_cart(harness: Harness) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type()
    await harness.apply(reserve(ann, {tickets: 1}))
    await run(harness.engine, "VACUUM ANALYZE")


async def analyzed_as_it_is(harness: Harness) -> None:
    await fill(harness)
    await run(harness.engine, "VACUUM ANALYZE")


STATES = (
    fresh,
    analyzed_while_empty,
    analyzed_when_all_carts_had_expired,
    emptied_by_retention,
    restored_without_statistics,
    analyzed_with_one_cart,
    analyzed_as_it_is,
)


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
async def test_no_statement_reads_many_rows_in_vain(
    database: tuple[str, Harness], state: Any
) -> None:
    """Neither by a plan made before the tables grew, which a connection keeps, nor by a new one."""
    url, harness = database
    await state(harness)
    kept = create_engine(url, 4), queries.create_engine(url)
    new = create_engine(url, 4), queries.create_engine(url)
    watched = {"kept": list(map(watch, kept)), "new": list(map(watch, new))}

    await sell(harness, kept[0])
    await read(harness, queries.Queries(kept[1]))
    for each in watched["kept"]:
        each.plans.clear()
    await fill(harness)
    await fill(harness, are_paid=False)
    for worker, gateway in (kept, new):
        await sell(harness, worker)
        await read(harness, queries.Queries(gateway))

    for engine in (*kept, *new):
        await engine.dispose()
    assert all(each.plans for engines in watched.values() for each in engines)
    wasteful = "\n".join(
        f"{name} plan: {line}"
        for name, engines in watched.items()
        for each in engines
        for line in each.wasteful()
    )
    assert wasteful == ""


async def sell(harness: Harness, engine: AsyncEngine) -> None:
    """Send each statement of the worker, with some new buyers and some due carts."""
    tickets, others = await harness.ticket_types(2, total=10_000)
    due = await harness.due_carts(20, {others: 1})
    buyers = await harness.users(60)
    carts = await harness.apply(*[reserve(user, {tickets: 1, others: 1}) for user in buyers[:30]])
    assert {outcome.status for outcome in carts} == {"succeeded"}
    await apply(
        engine,
        RULES,
        [
            *[reserve(user, {tickets: 2, others: 1}) for user in buyers[30:]],
            *[set_quantity(user, tickets, 3) for user in buyers[:10]],
            *[release_item(user, others) for user in buyers[10:20]],
            *[release_cart(user) for user in buyers[20:25]],
            *[extend_hold(user) for user in buyers[25:30]],
            *[register_user() for _ in range(5)],
            create_event(harness.organizer),
            create_ticket_type(harness.organizer, harness.event),
            change_ticket_type(harness.organizer, tickets, lower_to_committed=True),
        ],
    )
    await harness.let_holds_pass([*due, *buyers[:5]])
    await order(harness, engine, buyers[30:])
    committer, _ = create_committer(engine, RULES)
    committer.start()
    await sweep_once(engine, committer)
    await cancel_some(engine, committer)
    await committer.stop()
    await delete_closed_carts(engine, datetime.now(UTC) - timedelta(days=1))


async def order(harness: Harness, engine: AsyncEngine, buyers: list[str]) -> None:
    """Check out the carts of the buyers, and send each statement of orders."""
    organizer, event = harness.organizer, harness.event
    await harness.price_all(500)
    orders = [check_out(user, event) for user in buyers]
    assert {one.status for one in await harness.apply(*orders)} == {"succeeded"}
    ids = [one.command_id for one in orders]
    tickets = await harness.ticket_type(total=1_000)
    await harness.let_orders_pass(*ids[:5])
    await apply(
        engine,
        RULES,
        [
            *[record_payment(organizer, id, 5_000) for id in ids[:20]],
            *[record_refund(organizer, id, 1) for id in ids[3:10]],
            *[cancel_order(organizer, id) for id in ids[15:22]],
            *[extend_order(organizer, id, datetime.now(UTC) + EXTENDED) for id in ids[22:]],
            *[reserve(user, {tickets: 1}) for user in buyers],
        ],
    )
    await apply(engine, RULES, [check_out(user, event) for user in buyers[:10]])
    cancelled = Harness(engine)
    some = await cancelled.ticket_type(total=100)
    await cancelled.order(buyers[20], {some: 1})
    await cancelled.apply(cancel_event(cancelled.organizer, cancelled.event))


async def read(harness: Harness, queries: Queries) -> None:
    """Send each statement of the gateway that a buyer's request needs."""
    buyer, tickets = await harness.user(), await harness.ticket_type()
    command = reserve(buyer, {tickets: 1})
    await harness.apply(command)
    assert (await queries.cart(buyer)).items
    assert await queries.outcomes([command.command_id])
    assert await queries.user(buyer)
    assert await queries.users([buyer])
    assert await queries.credentials(f"{buyer}@example.com")
    assert await queries.event(harness.event)
    assert await officers_of(queries, harness.event)
    ordered = await harness.order(buyer, {tickets: 1})
    assert await read_order(queries, ordered)
    for wanted in (
        OrderFilter(buyer, None, None, refund_due=False),
        OrderFilter(None, harness.event, None, refund_due=False),
        OrderFilter(None, harness.event, "paid", refund_due=False),
        OrderFilter(None, harness.event, None, refund_due=True),
    ):
        page = await list_orders(queries, wanted, 10, None)
        assert page
        await list_orders(queries, wanted, 10, ListPosition(page[-1].created_at, page[-1].id))
