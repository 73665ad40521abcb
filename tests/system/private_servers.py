"""Private servers for one module of tests, which may kill and freeze them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import TypeVar

import pytest

from dev.servers.discovery import Unavailable

Server = TypeVar("Server")


@asynccontextmanager
async def started_or_skipped(
    server: Callable[[], AbstractContextManager[Server]],
) -> AsyncIterator[Server]:
    """Start it, and stop it at the end; skip the tests where it cannot run."""
    context = server()
    try:
        started = await asyncio.to_thread(context.__enter__)
    except Unavailable as reason:
        pytest.skip(str(reason))
    yield started
    await asyncio.to_thread(context.__exit__, None, None, None)
