"""Classifies errors as transient, which a retry may cure, or permanent."""

from collections.abc import Iterator

from asyncpg import InterfaceError, InternalClientError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

TRANSIENT_CLASSES = (
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

CONNECTION_ERRORS = (
    InterfaceError,
    InternalClientError,
    PoolTimeoutError,
    OSError,
    TimeoutError,
)
"""The connection is lost, or there was none."""

CONFLICT = "23505"
"""Unique violation: another worker has just recorded the same ID or e-mail address."""
INSUFFICIENT_PRIVILEGE, UNDEFINED_TABLE = "42501", "42P01"
"""Rights are being granted, or a table is being restored. No command can cause either."""
TRANSIENT_STATES = (CONFLICT, INSUFFICIENT_PRIVILEGE, UNDEFINED_TABLE)
CANCELED = "57014"
"""A statement timed out, or an operator cancelled it."""


def is_transient(error: BaseException) -> bool:
    """Return whether the same transaction may succeed later."""
    for cause in _chain(error):
        state = sqlstate(cause)
        if state is not None:
            return state.startswith(TRANSIENT_CLASSES) or state in TRANSIENT_STATES
        if isinstance(cause, DBAPIError) and cause.connection_invalidated:
            return True
        if isinstance(cause, CONNECTION_ERRORS):
            return True
    return False


def took_too_long(error: BaseException) -> bool:
    """Return whether a smaller transaction might have finished in time."""
    return sqlstate(error) == CANCELED or any(
        isinstance(cause, TimeoutError) for cause in _chain(error)
    )


def sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE of an error or of one of its causes."""
    for cause in _chain(error):
        state = getattr(cause, "sqlstate", None)
        if isinstance(state, str):
            return state
    return None


def first_line(error: Exception) -> str:
    """Return the type and the first line of an error: the rest quotes statements and parameters."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and its causes."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = getattr(seen, "orig", None) or seen.__cause__
