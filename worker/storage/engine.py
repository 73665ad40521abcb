"""The worker's connections to Postgres, with a timeout for every wait."""

from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

CONNECT_TIMEOUT_SECONDS = 5
COMMAND_TIMEOUT_SECONDS = 6
"""The client's timeout for a statement. Only a dead connection exceeds it."""

SERVER_SETTINGS = {
    "application_name": "holdfast worker",
    "lock_timeout": "2s",
    "statement_timeout": "5s",
    "idle_in_transaction_session_timeout": "10s",
    # None of the above ends a connection whose client vanished while it prepared a statement, and
    # the locks of its transaction would stop every sale.
    "tcp_keepalives_idle": "3",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
    # Every statement looks rows up by key. With only such plans allowed, the planner cannot keep
    # a plan that was good for empty tables, and it plans each statement once.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}


def create_engine(database_url: str, connections: int) -> AsyncEngine:
    """Return an engine of at most `connections` connections; it connects when first used."""
    return create_async_engine(
        make_url(database_url).set(drivername="postgresql+asyncpg"),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_SECONDS,
        # Most recently used first, so that a lone command gets a warm connection.
        pool_use_lifo=True,
        connect_args={
            "timeout": CONNECT_TIMEOUT_SECONDS,
            "command_timeout": COMMAND_TIMEOUT_SECONDS,
            "server_settings": SERVER_SETTINGS,
        },
    )
