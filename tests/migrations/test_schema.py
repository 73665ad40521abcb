"""The migrations produce the declared schema."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from dev.services import database
from tests.conftest import migrate
from worker.storage.engine import create_engine
from worker.storage.tables import metadata

FOLDER = Path(__file__).parents[2] / "migrations"


@pytest.fixture(scope="module")
async def migrated() -> AsyncIterator[tuple[AsyncEngine, str]]:
    """A migrated database for this module."""
    with database("tests") as url:
        migrate(url)
        engine = create_engine(url, 3)
        yield engine, url
        await engine.dispose()


PARTITION = re.compile(r"outcomes_\d{8}")


async def content(engine: AsyncEngine) -> list[str]:
    """Every relation, column, constraint and index of the two schemas, as text.

    Without the partitions: which there are depends on the day.
    """
    statement = text(rf"""
        SELECT format('%s.%s.%s %s %s', table_schema, table_name, column_name, data_type,
                      is_nullable)
        FROM information_schema.columns
        WHERE table_schema IN ('booking', 'read_model') AND table_name !~ '^{PARTITION.pattern}$'
        UNION ALL
        SELECT format('%s %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint
        WHERE connamespace = 'booking'::regnamespace
          AND conrelid NOT IN (SELECT inhrelid FROM pg_inherits)
        UNION ALL
        SELECT indexdef FROM pg_indexes
        WHERE schemaname = 'booking' AND tablename !~ '^{PARTITION.pattern}$'
        UNION ALL
        SELECT format('%s by %s', partrelid::regclass, pg_get_partkeydef(partrelid))
        FROM pg_partitioned_table
        ORDER BY 1
    """)
    async with engine.connect() as connection:
        return list((await connection.execute(statement)).scalars())


async def test_the_head_equals_the_declared_tables(migrated: tuple[AsyncEngine, str]) -> None:
    def differences(connection: Connection) -> list[object]:
        options = {
            "compare_type": True,
            "compare_server_default": True,
            "include_schemas": True,
            "include_name": lambda name, kind, _: (
                name == "booking" if kind == "schema" else not PARTITION.fullmatch(name or "")
            ),
        }
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, metadata))

    async with migrated[0].connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_each_declared_constraint_is_there_under_its_name(
    migrated: tuple[AsyncEngine, str],
) -> None:
    """The comparison above does not cover checks and the predicates of partial indexes."""
    migrated_content = [line for line in await content(migrated[0]) if "read_model" not in line]
    with database("tests") as url:
        engine = create_engine(url, 1)
        async with engine.begin() as connection:
            await connection.execute(text("CREATE SCHEMA booking"))
            await connection.run_sync(metadata.create_all)
        declared_content = await content(engine)
        await engine.dispose()

    assert sorted(migrated_content) == sorted(declared_content)


def test_there_is_one_head() -> None:
    scripts = ScriptDirectory(str(FOLDER))

    assert len(scripts.get_heads()) == 1
    assert len(scripts.get_bases()) == 1


async def test_migrating_again_changes_nothing(migrated: tuple[AsyncEngine, str]) -> None:
    engine, url = migrated
    before = await content(engine)

    await asyncio.to_thread(migrate, url)

    assert await content(engine) == before


async def test_migrating_twice_at_once_is_harmless() -> None:
    """Two machines of one deployment start together."""
    with database("tests") as url:
        await asyncio.gather(*(asyncio.to_thread(migrate, url) for _ in range(2)))
        engine = create_engine(url, 1)
        async with engine.connect() as connection:
            versions = await connection.execute(text("SELECT version_num FROM alembic_version"))
            assert len(versions.all()) == 1
        await engine.dispose()
