"""Makes the database accounts of a deployment: for migrations, workers, gateways and operators.

An administrator of the server runs it before the migrations; no later step needs one. A second run
updates the passwords.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
from urllib.parse import unquote, urlsplit

from pydantic import Field
from sqlalchemy import Connection, make_url, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

from migrations import settings
from migrations.privileges import (
    GATEWAY,
    IS_SUPERUSER,
    MIGRATOR,
    OPERATOR,
    SETTINGS,
    WORKER,
    create_roles,
    keep_rows_out_of_the_log,
)
from shared.environment import PostgresUrl, read_settings

SCRAM_ITERATIONS = 4096
"""Postgres's own default; random passwords need no more."""


class Settings(settings.Settings):
    """`database_url` is the administrator's; the processes use the others."""

    migrator_database_url: PostgresUrl = Field(repr=False)
    worker_database_url: PostgresUrl = Field(repr=False)
    gateway_database_url: PostgresUrl = Field(repr=False)
    operator_database_url: PostgresUrl = Field(repr=False)


def main() -> None:
    asyncio.run(connect_and_make_accounts(read_settings(Settings)))


async def connect_and_make_accounts(given: Settings) -> None:
    url = make_url(given.database_url).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url, poolclass=pool.NullPool)
    async with engine.begin() as connection:
        await connection.run_sync(make_accounts, given)
    await engine.dispose()


def make_accounts(connection: Connection, given: Settings) -> None:
    """Make the roles and one account in each, and make the migrator the owner of the database.

    Raises `SystemExit`, with the variable to correct, if an account cannot be made.
    """
    if missing := create_roles(connection):
        raise SystemExit(f"HOLDFAST_DATABASE_URL: may not create the roles {', '.join(missing)}")
    for role, url in (
        (MIGRATOR, given.migrator_database_url),
        (WORKER, given.worker_database_url),
        (GATEWAY, given.gateway_database_url),
        (OPERATOR, given.operator_database_url),
    ):
        _make_account(connection, role, url)
    keep_rows_out_of_the_log(connection)
    if not connection.scalar(IS_SUPERUSER):
        # An owner may hand an object only to a role that it is a member of.
        _execute(connection, f"GRANT {MIGRATOR} TO CURRENT_USER")
    _execute(connection, CHANGE_OWNER)
    database = connection.scalar(text("SELECT quote_ident(current_database())"))
    # PUBLIC has these by default.
    _execute(connection, f"REVOKE CREATE, TEMPORARY ON DATABASE {database} FROM PUBLIC")
    _execute(connection, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    _execute(connection, f"GRANT USAGE, CREATE ON SCHEMA public TO {MIGRATOR}")


def _make_account(connection: Connection, role: str, url: str) -> None:
    """Make the user of `url`, with its password, a member of the role."""
    parts = urlsplit(url)
    name, password = unquote(parts.username or ""), unquote(parts.password or "")
    variable = f"HOLDFAST_{role.removeprefix('holdfast_').upper()}_DATABASE_URL"
    if not name or not password or not password.isascii():
        raise SystemExit(f"{variable}: must name a user and a password in ASCII")
    found = connection.execute(FIND_ACCOUNT, {"name": name}).one_or_none()
    if found and (found.rolsuper or found.rolname == found.current_user):
        raise SystemExit(f"{variable}: its user is an administrator")
    quoted = connection.dialect.identifier_preparer.quote_identifier(name)
    if not found:
        _execute(connection, f"CREATE ROLE {quoted}")
    # A verifier, so that a server that logs its statements does not log the password.
    _execute(connection, f"ALTER ROLE {quoted} LOGIN PASSWORD '{scram_verifier(password)}'")
    _execute(connection, f"GRANT {role} TO {quoted}")
    for setting, value in SETTINGS.get(role, {}).items():
        _execute(connection, f"ALTER ROLE {quoted} SET {setting} = {value}")


FIND_ACCOUNT = text("SELECT rolname, rolsuper, current_user FROM pg_roles WHERE rolname = :name")

CHANGE_OWNER = f"""
    DO $$
    DECLARE statement text;
    BEGIN
        FOR statement IN
            SELECT format('ALTER DATABASE %I OWNER TO {MIGRATOR}', datname)
            FROM pg_database
            WHERE datname = current_database() AND datdba <> '{MIGRATOR}'::regrole
            UNION ALL
            SELECT format('ALTER SCHEMA %I OWNER TO {MIGRATOR}', nspname)
            FROM pg_namespace
            WHERE nspname IN ('booking', 'read_model') AND nspowner <> '{MIGRATOR}'::regrole
            UNION ALL
            SELECT format('ALTER %s %s OWNER TO {MIGRATOR}',
                          CASE relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, oid::regclass)
            FROM pg_class
            WHERE relkind IN ('r', 'p', 'v') AND relowner <> '{MIGRATOR}'::regrole
              AND (relnamespace IN (SELECT oid FROM pg_namespace
                                    WHERE nspname IN ('booking', 'read_model'))
                   OR oid = to_regclass('public.alembic_version'))
            UNION ALL
            SELECT format('ALTER ROUTINE %s OWNER TO {MIGRATOR}', oid::regprocedure)
            FROM pg_proc
            WHERE pronamespace = to_regnamespace('booking')
              AND proowner <> '{MIGRATOR}'::regrole
        LOOP
            EXECUTE statement;
        END LOOP;
    END $$
"""
"""Covers a database that an administrator migrated before these accounts existed."""


def scram_verifier(password: str) -> str:
    """Return the SCRAM-SHA-256 verifier that Postgres stores for a password (RFC 5803)."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(each).decode() for each in (salt, stored, server)]
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{encoded[0]}${encoded[1]}:{encoded[2]}"


def _execute(connection: Connection, statement: str) -> None:
    connection.exec_driver_sql(statement)


if __name__ == "__main__":
    main()
