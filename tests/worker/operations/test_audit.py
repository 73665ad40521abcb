"""The audit of the books: it is silent while they balance, and finds each thing that is wrong."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from dev.addresses import free_port
from shared.ids import new_id
from tests.builders import reserve
from tests.databases import copy_of
from tests.worker.harness import Harness, eventually
from worker.audit import snapshot
from worker.audit.checks import CHECKS
from worker.storage.engine import create_engine

NOT_DEFENDED = """
    ALTER TABLE booking.ticket_types DROP CONSTRAINT ticket_types_availability_check;
    ALTER TABLE booking.cart_items DROP CONSTRAINT cart_items_cart_id_fkey;
    DROP INDEX booking.carts_one_active_a_user;
"""


@pytest.fixture(scope="module")
async def database_url(template_url: str) -> AsyncIterator[str]:
    """Books of our own, whose last line of defence is taken away: here things go wrong."""
    async with copy_of(template_url) as url:
        yield url


@pytest.fixture(scope="module")
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database_url, 10)
    async with engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        await driver.execute(NOT_DEFENDED)
    yield engine
    await engine.dispose()


BREAKAGES = {
    "out_of_bounds": ["UPDATE booking.ticket_types SET reserved = total + 1 WHERE id = :ticket"],
    "drift": ["UPDATE booking.ticket_types SET reserved = reserved + 1 WHERE id = :ticket"],
    "overdue_cart": [
        "UPDATE booking.carts SET expires_at = now() - interval '6 s' WHERE id = :cart",
        "UPDATE booking.cart_items SET expires_at = now() - interval '6 s' WHERE cart_id = :cart",
    ],
    "several_active_carts": [
        "INSERT INTO booking.carts VALUES (:other, :user, 'active', now() + interval '1 h')"
    ],
    "empty_active_cart": ["DELETE FROM booking.cart_items WHERE cart_id = :cart"],
    "line_without_cart": ["INSERT INTO booking.cart_items VALUES (:other, :ticket, 1, now())"],
    "line_of_closed_cart": [
        "UPDATE booking.carts SET status = 'released' WHERE id = :cart",
        "UPDATE booking.ticket_types SET reserved = 0 WHERE id = :ticket",
    ],
    "line_that_expires_apart": [
        "UPDATE booking.cart_items SET expires_at = now() + interval '1 day' WHERE cart_id = :cart"
    ],
    "cart_without_outcome": ["DELETE FROM booking.outcomes WHERE command_id = :cart"],
    "sold_drift": ["UPDATE booking.ticket_types SET sold = sold + 1 WHERE id = :ticket"],
    "unpaid_order": [
        "UPDATE booking.payments SET disposition = 'surplus', reason = 'order_expired'"
        " WHERE order_id = :paid",
        "UPDATE booking.orders SET accepted = 0 WHERE id = :paid",
    ],
    "order_without_tickets": [
        "UPDATE booking.order_items SET held = 1 WHERE order_id = :paid",
        "UPDATE booking.orders SET tickets_value = 500 WHERE id = :paid",
        "UPDATE booking.ticket_types SET sold = sold - 1 WHERE id = :ticket",
    ],
    "overdue_order": [
        "UPDATE booking.orders SET held_until = now() - interval '6 s' WHERE id = :order",
        "UPDATE booking.order_items SET held_until = now() - interval '6 s'"
        " WHERE order_id = :order",
    ],
    "item_that_expires_apart": [
        "UPDATE booking.order_items SET held_until = now() + interval '1 day'"
        " WHERE order_id = :order"
    ],
    "order_sums": ["UPDATE booking.payments SET amount = amount + 1 WHERE order_id = :paid"],
    "too_many_open_orders": [
        f"""
        INSERT INTO booking.{table} SELECT (jsonb_populate_record(row,
            jsonb_build_object('{key}', overlay(row.{key}::text placing n::text from 36)))).*
        FROM booking.{table} AS row, generate_series(0, 9) AS n
        WHERE row.{key} = :order AND n::text <> right(row.{key}::text, 1) AND n < 6
        """
        for table, key in (("orders", "id"), ("order_items", "order_id"))
    ],
    "order_of_cancelled_event": [
        "UPDATE booking.events SET orders_cancelled = true WHERE id = :event",
        "DELETE FROM booking.order_items WHERE order_id = :order",
        "DELETE FROM booking.orders WHERE id = :order",
    ],
    "money_due_back": ["UPDATE booking.orders SET paid = paid + 1 WHERE id = :paid"],
}
SUBJECTS = {
    "out_of_bounds": "ticket",
    "drift": "ticket",
    "overdue_cart": "cart",
    "several_active_carts": "user",
    "empty_active_cart": "cart",
    "line_without_cart": "other",
    "line_of_closed_cart": "cart",
    "line_that_expires_apart": "cart",
    "cart_without_outcome": "cart",
    "sold_drift": "ticket",
    "unpaid_order": "paid",
    "order_without_tickets": "paid",
    "overdue_order": "order",
    "item_that_expires_apart": "order",
    "order_sums": "paid",
    "too_many_open_orders": "buyer",
    "order_of_cancelled_event": "paid",
    "money_due_back": "paid",
}
WARNINGS = {check.name for check in CHECKS if check.is_warning}


def test_every_check_has_a_breakage() -> None:
    assert set(BREAKAGES) == {check.name for check in CHECKS}


async def test_books_that_balance_have_no_findings(harness: Harness, database_url: str) -> None:
    tickets = await harness.ticket_type()
    await harness.apply(*[reserve(user, {tickets: 2}) for user in await harness.users(3)])
    await harness.price(tickets, 500)
    await harness.order(await harness.user(), {tickets: 3})
    await harness.order(await harness.user(), {tickets: 2}, paid=1_000)
    report = await snapshot.take_snapshot(database_url)
    assert (report.balanced, report.findings, report.drift) == (True, [], {})
    assert report.warnings == []


@pytest.mark.parametrize("check", BREAKAGES)
async def test_what_is_wrong_is_found(harness: Harness, database_url: str, check: str) -> None:
    ticket, user, other = await harness.ticket_type(), await harness.user(), new_id()
    command = reserve(user, {ticket: 2})
    await harness.apply(command)
    await harness.price(ticket, 500)
    buyer = await harness.user()
    names = {
        "ticket": ticket,
        "user": user,
        "cart": command.command_id,
        "other": other,
        "event": harness.event,
        "buyer": buyer,
        "order": await harness.order(buyer, {ticket: 2}),
        "paid": await harness.order(await harness.user(), {ticket: 2}, paid=1_000),
    }
    connection = await asyncpg.connect(database_url)
    try:
        # Seen by the audit as it would be in a report, and gone with the transaction.
        transaction = connection.transaction(isolation="repeatable_read")
        await transaction.start()
        for statement in BREAKAGES[check]:
            await connection.execute(_literal(statement, names))
        report = await snapshot.audit_in_transaction(connection)
        await transaction.rollback()
    finally:
        await connection.close()
    found = report.warnings if check in WARNINGS else report.findings
    assert {finding.subject for finding in found if finding.check == check} == {
        names[SUBJECTS[check]]
    }
    assert report.counts[check] == 1
    assert report.balanced == (not report.findings)


def _literal(statement: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        statement = statement.replace(f":{name}", f"'{value}'")
    return statement


async def test_the_drift_is_told_in_tickets(harness: Harness, database_url: str) -> None:
    async with drifting(harness) as ticket:
        assert (await snapshot.take_snapshot(database_url)).drift == {ticket: 3}


async def test_there_are_only_so_many_examples(harness: Harness, database_url: str) -> None:
    tickets = await harness.ticket_types(snapshot.MAX_EXAMPLES + 5)
    async with harness.engine.begin() as connection:
        await connection.execute(SHIFT, {"ids": tickets, "by": 1})
    report = await snapshot.take_snapshot(database_url)
    async with harness.engine.begin() as connection:
        await connection.execute(SHIFT, {"ids": tickets, "by": -1})
    assert report.counts["drift"] == snapshot.MAX_EXAMPLES + 5
    assert len(report.findings) == snapshot.MAX_EXAMPLES
    assert report.drift == dict.fromkeys(tickets, 1), "a monitor watches each that drifts"


async def test_what_is_decided_meanwhile_is_no_drift(harness: Harness, database_url: str) -> None:
    tickets, users = await harness.ticket_types(3), await harness.users(40)

    async def buy() -> None:
        for user in users:
            await harness.apply(reserve(user, dict.fromkeys(tickets, 1)))

    buying = asyncio.create_task(buy())
    looks = 0
    connection = await snapshot.connect(database_url)
    while not buying.done():
        assert (await snapshot.audit(connection)).findings == []
        looks += 1
    await connection.close()
    await buying
    assert looks > 1


async def test_an_auditor_cannot_write(harness: Harness, database_url: str) -> None:
    connection = await snapshot.connect(database_url)
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await connection.execute("DELETE FROM booking.carts")
    await connection.close()


SHIFT = text("""
    UPDATE booking.ticket_types SET reserved = reserved + :by
    WHERE id = ANY (CAST(:ids AS uuid[]))
""")


class drifting:  # noqa: N801 (used as a context manager is)
    """A ticket type that has three tickets more reserved than lie in carts."""

    def __init__(self, harness: Harness) -> None:
        self._harness = harness

    async def __aenter__(self) -> str:
        self._ticket = await self._harness.ticket_type()
        await self._shift(3)
        return self._ticket

    async def __aexit__(self, *_: object) -> None:
        await self._shift(-3)

    async def _shift(self, by: int) -> None:
        async with self._harness.engine.begin() as connection:
            await connection.execute(SHIFT, {"ids": [self._ticket], "by": by})


def run(database_url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "worker.audit", *arguments],
        env=os.environ | {"HOLDFAST_DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


async def test_the_exit_code_tells_whether_the_books_balance(
    harness: Harness, database_url: str
) -> None:
    balanced = await asyncio.to_thread(run, database_url)
    assert (balanced.returncode, balanced.stderr) == (0, "")
    assert "The books balance." in balanced.stdout
    async with drifting(harness) as ticket:
        unbalanced = await asyncio.to_thread(run, database_url, "--json")
    assert unbalanced.returncode == 1
    report = json.loads(unbalanced.stdout)
    assert report["drift"] == {ticket: 3}
    assert [each["check"] for each in report["findings"]] == ["drift"]


def test_books_that_cannot_be_seen_are_not_balanced(database_url: str) -> None:
    nowhere = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    away = run(nowhere)
    assert away.returncode == 2
    assert "cannot be read" in away.stderr
    assert "nobody" not in away.stderr


async def test_watching_it_serves_the_drift(harness: Harness, database_url: str) -> None:
    port = free_port()
    async with drifting(harness) as ticket:
        watching = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "worker.audit", "--json", "--watch", "0.1"),
            *("--metrics", str(port)),
            env=os.environ | {"HOLDFAST_DATABASE_URL": database_url},
            stdout=subprocess.DEVNULL,
        )
        try:
            assert await eventually(lambda: drift_served(port)) == {ticket: 3.0}
        finally:
            watching.terminate()
            await watching.wait()


async def drift_served(port: int) -> dict[str, float]:
    async with httpx.AsyncClient(trust_env=False) as http:
        try:
            metrics = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
        except httpx.TransportError:
            return {}
    return {
        sample.labels["ticket_type_id"]: sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "holdfast_ticket_type_drift"
    }
