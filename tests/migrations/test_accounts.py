"""Making a deployment's accounts, and migrating without the right to make roles."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator

import asyncpg
import pytest

from dev.addresses import with_last_part
from dev.servers.private_postgres import USER as ADMINISTRATOR
from migrations.privileges import ROLES
from tests.accounts import as_user, run_accounts
from tests.conftest import migrate
from tests.migrations.conftest import Server, attempt, connect


async def test_the_migrator_owns_everything_and_is_not_an_administrator(server: Server) -> None:
    connection = await connect(server.administrator)
    try:
        owners = await connection.fetch("""
            SELECT DISTINCT relowner::regrole::text FROM pg_class
            WHERE relnamespace IN ('booking'::regnamespace, 'read_model'::regnamespace)
               OR relname = 'alembic_version'
            UNION SELECT nspowner::regrole::text FROM pg_namespace
            WHERE nspname IN ('booking', 'read_model')
            UNION SELECT proowner::regrole::text FROM pg_proc
            WHERE pronamespace = 'booking'::regnamespace
            UNION SELECT datdba::regrole::text FROM pg_database WHERE datname = 'holdfast'
        """)
        administrators = await connection.fetch("""
            SELECT rolname FROM pg_roles
            WHERE rolname ~ '^(holdfast_.*|migrator|worker|gateway|operator)$'
              AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication)
        """)
    finally:
        await connection.close()

    assert [row[0] for row in owners] == ["holdfast_migrator"]
    assert administrators == []


async def test_the_server_logs_no_rows_for_any_of_them(server: Server) -> None:
    """A row that violates a constraint would be quoted, with its e-mail address."""
    for url in server.accounts.values():
        connection = await connect(url)
        try:
            assert await connection.fetchval("SHOW log_error_verbosity") == "terse"
        finally:
            await connection.close()


async def test_a_wrong_password_is_refused(server: Server) -> None:
    """Only the given password of an account is accepted."""
    with pytest.raises(asyncpg.InvalidPasswordError):
        await connect(as_user(server.administrator, "gateway", "another password"))


async def test_made_again_the_accounts_have_their_new_passwords(server: Server) -> None:
    new = {name: as_user(url, name, "a new one") for name, url in server.accounts.items()}
    await asyncio.to_thread(run_accounts, server.administrator, new)
    try:
        for url in new.values():
            await (await connect(url)).close()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await connect(server.accounts["worker"])
    finally:
        await asyncio.to_thread(run_accounts, server.administrator, server.accounts)


def test_an_administrator_is_refused_as_an_account(server: Server) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run_accounts(server.administrator, server.accounts | {"gateway": server.administrator})

    assert "HOLDFAST_GATEWAY_DATABASE_URL: its user is an administrator" in failed.value.stderr


async def test_the_migrator_becomes_the_owner_of_what_an_administrator_migrated(
    server: Server,
) -> None:
    url = server.database("handed_over")
    await asyncio.to_thread(migrate, url)
    urls = {name: with_last_part(each, "handed_over") for name, each in server.accounts.items()}

    await asyncio.to_thread(run_accounts, url, urls)
    await asyncio.to_thread(migrate, urls["migrator"])

    await attempt(urls["migrator"], "ALTER TABLE booking.carts ADD COLUMN note text")
    await attempt(urls["migrator"], "DROP VIEW read_model.users")
    await attempt(urls["migrator"], "ALTER FUNCTION booking.make_outcome_partitions(date) COST 10")
    await attempt(urls["worker"], "SELECT id FROM booking.users FOR NO KEY UPDATE")


async def test_the_next_migration_restores_lost_rights_and_revokes_added_ones(
    server: Server,
) -> None:
    await attempt(
        server.accounts["migrator"],
        """
        GRANT DELETE ON booking.outcomes TO holdfast_worker;
        GRANT UPDATE (email) ON booking.users TO holdfast_worker;
        REVOKE SELECT ON booking.carts FROM holdfast_worker;
        """,
    )
    await asyncio.to_thread(migrate, server.accounts["migrator"])

    worker = server.accounts["worker"]
    await attempt(worker, "SELECT id FROM booking.carts")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await attempt(worker, "DELETE FROM booking.outcomes")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await attempt(worker, "UPDATE booking.users SET email = 'another@example.com'")


@pytest.fixture
async def without_roles(server: Server) -> AsyncIterator[None]:
    """As on a server without the roles."""
    for role in ROLES:
        await attempt(server.administrator, f"ALTER ROLE {role} RENAME TO {role}_away")
    yield
    for role in ROLES:
        await attempt(server.administrator, f"ALTER ROLE {role}_away RENAME TO {role}")


async def an_owner(server: Server, database: str) -> str:
    """Make a database and an owner with no other right; return the owner's URL."""
    url = server.database(database)
    await attempt(server.administrator, f"CREATE ROLE owner_of_{database} LOGIN PASSWORD 'owns it'")
    await attempt(url, f"ALTER DATABASE {database} OWNER TO owner_of_{database}")
    return as_user(url, f"owner_of_{database}", "owns it")


async def test_without_the_right_to_create_roles_a_migration_warns_and_goes_on(
    server: Server, without_roles: None
) -> None:
    url = await an_owner(server, "alone")

    said = await asyncio.to_thread(migration_output, url)

    assert "owner_of_alone may not create roles: no rights were granted" in said
    assert all(role in said for role in ROLES)
    await attempt(url, "SELECT FROM booking.outcomes")
    await attempt(url, "SELECT FROM read_model.outcomes")


async def test_without_the_right_to_create_roles_existing_roles_get_their_rights(
    server: Server,
) -> None:
    url = await an_owner(server, "together")

    (said,) = (await asyncio.to_thread(migration_output, url)).splitlines()

    assert "ALTER DATABASE together SET log_error_verbosity = terse" in said
    await attempt(
        with_last_part(server.accounts["worker"], "together"), "SELECT FROM booking.carts"
    )


def migration_output(url: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "migrations"],
        env=os.environ | {"HOLDFAST_DATABASE_URL": url},
        check=True,
        capture_output=True,
        text=True,
    ).stderr


async def drop_roles(server: Server, databases: list[str], *others: str) -> None:
    """Drop the roles that a test made, and everything they own in these databases."""
    roles = [*ROLES, *others]
    for url in databases:
        await attempt(url, f"DROP OWNED BY {', '.join(roles)} CASCADE")
    for role in roles:
        await attempt(server.administrator, f"DROP ROLE {role}")


async def test_two_databases_of_a_server_may_be_migrated_at_once(
    server: Server, without_roles: None
) -> None:
    """Roles belong to the server: both migrations find them missing and make them."""
    url = server.database("second")
    first = await connect(server.administrator)
    try:
        async with first.transaction():
            for role in ROLES:
                await first.execute(f"CREATE ROLE {role}")
            second = asyncio.create_task(asyncio.to_thread(migrate, url))
            async with asyncio.timeout(WAIT_SECONDS):
                while not await first.fetchval(IS_ANY_SESSION_WAITING):
                    await asyncio.sleep(0.05)
        await second
    finally:
        await first.close()
        await drop_roles(server, [url])


WAIT_SECONDS = 30
IS_ANY_SESSION_WAITING = """
    SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'
"""


async def test_an_administrator_need_not_be_a_superuser(
    server: Server, without_roles: None
) -> None:
    """A managed Postgres has none to give: rights to create roles and databases suffice."""
    url = await an_owner(server, "rented")
    await attempt(server.administrator, "ALTER ROLE owner_of_rented CREATEROLE CREATEDB")
    accounts = {name: as_user(url, f"rented_{name}") for name in server.accounts}
    try:
        await asyncio.to_thread(run_accounts, url, accounts)
        await asyncio.to_thread(migrate, accounts["migrator"])
        await attempt(accounts["worker"], "SELECT id FROM booking.users FOR NO KEY UPDATE")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await attempt(accounts["worker"], "CREATE TEMPORARY TABLE more (id integer)")
    finally:
        given = with_last_part(server.administrator, "rented")
        await attempt(given, f"ALTER DATABASE rented OWNER TO {ADMINISTRATOR}")
        logins = [f"rented_{name}" for name in server.accounts]
        await drop_roles(server, [given], *logins, "owner_of_rented")
