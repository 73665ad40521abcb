"""Privileges in Postgres: each role has exactly what its statements need."""

import asyncpg
import pytest

from migrations.privileges import RIGHTS
from shared.ids import new_id
from tests.migrations.conftest import Server, attempt, connect
from worker.storage.tables import metadata


@pytest.fixture(scope="module")
async def event_id(server: Server) -> str:
    """An event with a ticket type, a cart, an order and an outcome, as the worker writes them."""
    user, event, tickets, cart, order, command = (new_id() for _ in range(6))
    await attempt(
        server.accounts["worker"],
        f"""
        INSERT INTO booking.users VALUES ('{user}', 'ada@example.com', 'a hash', now());
        INSERT INTO booking.events VALUES
            ('{event}', '{user}', 'A concert', now(), now() + interval '1 day', 'active');
        INSERT INTO booking.ticket_types VALUES
            ('{tickets}', '{event}', 'Standing', 10, 1, 0, now(), now() + interval '1 day');
        INSERT INTO booking.carts VALUES ('{cart}', '{user}', 'active', now() + interval '1 day');
        INSERT INTO booking.cart_items VALUES ('{cart}', '{tickets}', 1, now());
        INSERT INTO booking.orders VALUES ('{order}', '{event}', '{user}', 'paid', 'EUR', 0, 0, 0,
            0, 0, 0, now(), now(), NULL);
        INSERT INTO booking.outcomes VALUES ('{command}', '{user}', 'f', '{{}}', now());
        """,
    )
    return event


REFUSED_TO_THE_WORKER = [
    "CREATE TABLE booking.more (id integer)",
    "CREATE TABLE public.more (id integer)",
    "CREATE TEMPORARY TABLE more (id integer)",
    "CREATE SCHEMA more",
    "CREATE INDEX ON booking.carts (expires_at)",
    "CREATE FUNCTION booking.more() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "CREATE ROLE more",
    "ALTER TABLE booking.ticket_types DROP CONSTRAINT ticket_types_availability_check",
    "ALTER TABLE booking.outcomes ADD COLUMN more integer",
    "DROP TABLE booking.cart_items",
    "DROP VIEW read_model.carts",
    "TRUNCATE booking.cart_items",
    "TRUNCATE booking.outcomes",
    "DELETE FROM booking.outcomes",
    "UPDATE booking.outcomes SET document = '{}'",
    "DELETE FROM booking.users",
    "UPDATE booking.users SET password_hash = 'another'",
    "UPDATE booking.users SET email = 'another@example.com'",
    "SELECT password_hash FROM booking.users",
    "DELETE FROM booking.events",
    "UPDATE booking.events SET organizer_id = organizer_id",
    "DELETE FROM booking.ticket_types",
    "UPDATE booking.ticket_types SET event_id = event_id",
    "UPDATE booking.carts SET user_id = user_id",
    "UPDATE booking.cart_items SET cart_id = cart_id",
    "SELECT booking.make_outcome_partition(current_date)",
    "SELECT * FROM read_model.credentials",
    "SELECT * FROM public.alembic_version",
    "SELECT rolpassword FROM pg_authid",
    "SET ROLE holdfast_migrator",
    "SET ROLE holdfast_gateway",
    "COPY booking.users TO PROGRAM 'true'",
]
REFUSED_TO_THE_GATEWAY = [
    *(f"SELECT * FROM booking.{table.name}" for table in metadata.sorted_tables),
    *(f"INSERT INTO booking.{table.name} DEFAULT VALUES" for table in metadata.sorted_tables),
    *(f"DELETE FROM booking.{table.name}" for table in metadata.sorted_tables),
    "UPDATE read_model.users SET email = 'another@example.com'",
    "DELETE FROM read_model.outcomes",
    "INSERT INTO read_model.outcomes SELECT * FROM read_model.outcomes",
    "UPDATE read_model.credentials SET password_hash = 'another'",
    "SELECT booking.drop_outcome_partitions(current_date - 10)",
    "SELECT booking.make_outcome_partitions(current_date)",
    "CREATE TABLE public.more (id integer)",
    "CREATE TEMPORARY TABLE more (id integer)",
    "SET ROLE holdfast_worker",
    "SET ROLE holdfast_migrator",
]
REFUSED_TO_THE_OPERATOR = [
    "UPDATE booking.ticket_types SET reserved = 0",
    "INSERT INTO booking.outcomes SELECT * FROM booking.outcomes",
    "DELETE FROM booking.carts",
    "SELECT email FROM booking.users",
    "SELECT password_hash FROM booking.users",
    "SELECT * FROM read_model.credentials",
    "SELECT booking.make_outcome_partitions(current_date)",
    "CREATE TABLE booking.more (id integer)",
]
FORBIDDEN = [
    *(("worker", statement) for statement in REFUSED_TO_THE_WORKER),
    *(("gateway", statement) for statement in REFUSED_TO_THE_GATEWAY),
    *(("operator", statement) for statement in REFUSED_TO_THE_OPERATOR),
]


@pytest.mark.parametrize(("account", "statement"), FORBIDDEN)
async def test_a_role_is_refused_what_it_has_no_right_to(
    server: Server, event_id: str, account: str, statement: str
) -> None:
    """Also after the account has removed its own read-only default."""
    connection = await connect(server.accounts[account])
    try:
        await connection.execute("SET default_transaction_read_only = off")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize("account", ["gateway", "operator"])
async def test_read_only_accounts_start_in_read_only_mode(server: Server, account: str) -> None:
    connection = await connect(server.accounts[account])
    try:
        assert await connection.fetchval("SHOW transaction_read_only") == "on"
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await connection.execute("CREATE TABLE more (id integer)")
    finally:
        await connection.close()


async def test_the_gateway_reads_every_view(server: Server, event_id: str) -> None:
    connection = await connect(server.accounts["gateway"])
    try:
        views = await connection.fetch(
            "SELECT viewname FROM pg_views WHERE schemaname = 'read_model'"
        )
        rows = {v[0]: await connection.fetch(f"SELECT * FROM read_model.{v[0]}") for v in views}
    finally:
        await connection.close()

    assert len(rows) == 7
    assert all(rows.values())


async def test_a_worker_makes_and_drops_partitions_through_guarded_functions(
    server: Server,
) -> None:
    """The worker may not make or drop any itself."""
    connection = await connect(server.accounts["worker"])
    try:
        await connection.execute("SELECT booking.make_outcome_partitions(current_date + 6)")
        await connection.execute("SELECT booking.drop_outcome_partitions(current_date - 10)")
        with pytest.raises(asyncpg.InvalidParameterValueError):
            await connection.execute("SELECT booking.drop_outcome_partitions(current_date + 1)")
    finally:
        await connection.close()


async def test_every_table_has_its_rights(server: Server) -> None:
    """A new table is closed to all roles until it has a row in the table of rights."""
    assert {f"booking.{table.name}" for table in metadata.sorted_tables} <= set(
        RIGHTS["holdfast_worker"]
    )
