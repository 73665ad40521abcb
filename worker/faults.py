"""Tells faults of the infrastructure, which pass, from bugs, which stay."""

import asyncio
from collections.abc import Iterator

from asyncpg import InterfaceError, InternalClientError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

PASSING_CLASSES = (
    "08",  # connection exception
    "25",  # invalid transaction state: read-only while a standby is promoted
    "28",  # invalid authorization: a password that is being changed
    "3D",  # invalid catalog name: a database that is being restored
    "3F",  # invalid schema name: the same
    "40",  # transaction rollback: deadlock, serialization failure
    "53",  # insufficient resources: disk full, too many connections
    "55",  # object not in prerequisite state: lock time-out
    "57",  # operator intervention: shutdown, cancelled statement
    "58",  # system error
)

LOST = (InterfaceError, InternalClientError, PoolTimeoutError, OSError, asyncio.TimeoutError)
"""No answer: the connection has gone, or there was none."""

CONFLICT = "23505"
"""Unique violation: another worker has just recorded the same ID or e-mail address."""
NOT_ALLOWED, NO_TABLE = "42501", "42P01"
"""Rights that are being granted, and a table that is being restored: never a command's doing."""
PASSING_STATES = (CONFLICT, NOT_ALLOWED, NO_TABLE)
CANCELED = "57014"
"""A statement exceeded its time, or an operator ended it."""


def is_transient(error: BaseException) -> bool:
    """Tell whether the same transaction may succeed when it is run again later."""
    for cause in _chain(error):
        state = sqlstate(cause)
        if state is not None:
            return state.startswith(PASSING_CLASSES) or state in PASSING_STATES
        if isinstance(cause, DBAPIError) and cause.connection_invalidated:
            return True
        if isinstance(cause, LOST):
            return True
    return False


def took_too_long(error: BaseException) -> bool:
    """Tell whether less to do might have been done in time."""
    return sqlstate(error) == CANCELED or any(
        isinstance(cause, TimeoutError) for cause in _chain(error)
    )


def sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE that an error carries, at any depth."""
    for cause in _chain(error):
        state = getattr(cause, "sqlstate", None)
        if isinstance(state, str):
            return state
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it was raised from."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = getattr(seen, "orig", None) or seen.__cause__
