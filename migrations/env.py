"""Runs the migrations on the database that `HOLDFAST_DATABASE_URL` names."""

import asyncio

from alembic import context
from sqlalchemy import Connection, make_url, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

from migrations.privileges import grant_rights, keep_rows_out_of_the_log
from migrations.settings import Settings
from shared.environment import read_settings
from worker.storage.tables import metadata

ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtext('holdfast migrations'))")


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_schemas=True,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        connection.execute(ONE_AT_A_TIME)
        context.run_migrations()
        grant_rights(connection)
        keep_rows_out_of_the_log(connection)


async def connect_and_migrate() -> None:
    url = make_url(read_settings(Settings).database_url).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url, poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


asyncio.run(connect_and_migrate())
