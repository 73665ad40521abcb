"""The worker's connections to Postgres, with every limit that a wait needs."""

from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

CONNECT_TIMEOUT_SECONDS = 5
COMMAND_TIMEOUT_SECONDS = 6
"""The client's own patience with a statement: only a dead connection exceeds it."""

SERVER_SETTINGS = {
    "application_name": "holdfast worker",
    "lock_timeout": "2s",
    "statement_timeout": "5s",
    "idle_in_transaction_session_timeout": "10s",
    # A connection that dies without a word, in the middle of a statement's preparation, is ended
    # by none of the above, and the locks of its transaction would stop every sale.
    "tcp_keepalives_idle": "3",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
    # Every statement looks rows up by key. Told so, the planner cannot settle on a plan that
    # was good while the tables were empty, and needs to plan each statement only once.
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
        # Most recently used first, so that a lone command meets a warm connection.
        pool_use_lifo=True,
        connect_args={
            "timeout": CONNECT_TIMEOUT_SECONDS,
            "command_timeout": COMMAND_TIMEOUT_SECONDS,
            "server_settings": SERVER_SETTINGS,
        },
    )
