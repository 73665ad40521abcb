"""Databases and services for single tests or modules, copied from a migrated database."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg

from dev.addresses import last_part, with_last_part
from dev.services import Services, services


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


@asynccontextmanager
async def services_with_copy_of(database_url: str) -> AsyncIterator[Services]:
    """Yield a vhost and a copy of the database, both dropped at the end."""
    with services("tests") as own:
        async with copy_of(database_url) as url:
            yield replace(own, database_url=url)
