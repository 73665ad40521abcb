"""Databases for single tests, copied from a migrated one."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from dev.addresses import last_part, with_last_part


@asynccontextmanager
async def copy_of(database_url: str) -> AsyncIterator[str]:
    """Yield the URL of a copy, dropped at the end. The original must have no connections."""
    original = last_part(database_url)
    name = f"{original}_{secrets.token_hex(4)}"
    administrator = await asyncpg.connect(with_last_part(database_url, "postgres"))
    try:
        await administrator.execute(f'CREATE DATABASE "{name}" TEMPLATE "{original}"')
        try:
            yield with_last_part(database_url, name)
        finally:
            await administrator.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await administrator.close()
