"""Looks at the books once, in one snapshot.

What is found is wrong whatever commands are decided meanwhile. Nothing is locked that a
command waits for.
"""

import time
from dataclasses import dataclass
from typing import Any

import asyncpg

from worker.audit.checks import CHECKS, DRIFT

CONNECT_SECONDS = 5
STATEMENT_SECONDS = 30
"""A check that takes longer gives way to the commands."""
MAX_EXAMPLES = 20
"""Of each kind of finding; the others are counted."""

CANNOT_LOOK = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)

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
    """What one look at the books showed."""

    counts: dict[str, int]
    """How many findings each check has."""
    findings: list[Finding]
    """Up to `MAX_EXAMPLES` of each check."""
    drift: dict[str, int]
    """By ticket type: tickets reserved that lie in no active cart. All that drift, no others."""
    seconds: float

    @property
    def balanced(self) -> bool:
        return not self.findings


async def audit(connection: Connection) -> Report:
    """Look at the books in one snapshot. Raises one of `CANNOT_LOOK`."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await audit_in_transaction(connection)


async def audit_in_transaction(connection: Connection) -> Report:
    """The same, in a transaction of the caller's: it should be REPEATABLE READ."""
    started = time.perf_counter()
    counts: dict[str, int] = {}
    findings: list[Finding] = []
    for check in CHECKS:
        rows = await connection.fetch(
            f"SELECT subject, detail, count(*) OVER () FROM ({check.statement}) AS found"
            f" ORDER BY subject LIMIT {MAX_EXAMPLES}"
        )
        counts[check.name] = rows[0][2] if rows else 0
        findings += [Finding(check.name, row[0], row[1]) for row in rows]
    drift = dict(await connection.fetch(DRIFT)) if counts["drift"] else {}
    return Report(counts, findings, drift, time.perf_counter() - started)


async def connect(database_url: str) -> Connection:
    """Connect as an auditor: nothing can be written, and no statement takes for ever."""
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


async def look(database_url: str) -> Report:
    """Connect, look once, and leave. Raises one of `CANNOT_LOOK`."""
    connection = await connect(database_url)
    try:
        return await audit(connection)
    finally:
        connection.terminate()
