"""Checks the books in one snapshot of the database.

Findings are wrong whatever commands are decided meanwhile. No command waits for a lock of the
audit.
"""

import time
from dataclasses import dataclass
from typing import Any

import asyncpg

from worker.audit.checks import CHECKS, DRIFT

CONNECT_SECONDS = 5
STATEMENT_SECONDS = 30
"""A check that takes longer is cancelled, so that it does not slow commands down."""
MAX_EXAMPLES = 20
"""Listed for each check; further findings are only counted."""

SNAPSHOT_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)

Connection = Any
"""An asyncpg connection; the package is not typed."""


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    subject: str
    """The ID of what breaks the rule."""
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """What one snapshot of the books showed."""

    counts: dict[str, int]
    """How many findings each check has."""
    findings: list[Finding]
    """What is wrong: up to `MAX_EXAMPLES` of each check."""
    warnings: list[Finding]
    """What is not wrong yet, and needs somebody to act; likewise."""
    drift: dict[str, int]
    """Reserved tickets that are in no active cart or pending order, by ID of the ticket type."""
    seconds: float

    @property
    def balanced(self) -> bool:
        return not self.findings


async def audit(connection: Connection) -> Report:
    """Check the books in one snapshot. Raises one of `SNAPSHOT_ERRORS`."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await audit_in_transaction(connection)


async def audit_in_transaction(connection: Connection) -> Report:
    """Check the books in a transaction of the caller, which should be REPEATABLE READ."""
    started = time.perf_counter()
    counts: dict[str, int] = {}
    findings: list[Finding] = []
    warnings: list[Finding] = []
    for check in CHECKS:
        rows = await connection.fetch(
            f"SELECT subject, detail, count(*) OVER () FROM ({check.statement}) AS found"
            f" ORDER BY subject LIMIT {MAX_EXAMPLES}"
        )
        counts[check.name] = rows[0][2] if rows else 0
        found = warnings if check.is_warning else findings
        found += [Finding(check.name, row[0], row[1]) for row in rows]
    drift = dict(await connection.fetch(DRIFT)) if counts["drift"] else {}
    return Report(counts, findings, warnings, drift, time.perf_counter() - started)


async def connect(database_url: str) -> Connection:
    """Connect read-only, with a timeout for each statement."""
    return await asyncpg.connect(
        database_url,
        timeout=CONNECT_SECONDS,
        command_timeout=STATEMENT_SECONDS + 1,
        server_settings={
            "application_name": "holdfast audit",
            "default_transaction_read_only": "on",
            "statement_timeout": f"{STATEMENT_SECONDS}s",
        },
    )


async def take_snapshot(database_url: str) -> Report:
    """Connect, check the books once, and disconnect. Raises one of `SNAPSHOT_ERRORS`."""
    connection = await connect(database_url)
    try:
        return await audit(connection)
    finally:
        connection.terminate()
