"""Audits the database every 250 ms while faults run, and keeps the findings."""

import asyncio
import time
from typing import Self

from reliability.chaos.checks.database import Database
from worker.audit.snapshot import SNAPSHOT_ERRORS

EVERY_SECONDS = 0.25
MAX_FINDINGS = 50
ONLY_AT_THE_END = frozenset({"overdue_cart", "overdue_order"})
"""Without a running worker, no sweep ends what is due."""
IDLE_SECONDS = 11.0
"""Ten are allowed, and Postgres needs a moment to end a session that exceeds them."""
MAX_LOOKS_IDLE = 8
"""After a freeze, all clocks have jumped; Postgres then ends the sessions that are over."""


class Monitor:
    def __init__(self, database: Database) -> None:
        self.looks = 0
        self.failed_looks = 0
        """Postgres was away."""
        self.slowest_look_seconds = 0.0
        self.deadlocks = 0
        self.findings: list[str] = []
        self._database = database
        self._deadlocks_seen = 0
        self._idle_looks: dict[int, int] = {}
        self._is_over = False
        self._task: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True  # a look whose time runs out as it is cancelled forgets the latter
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()

    async def _run(self) -> None:
        next_at = time.monotonic()
        while not self._is_over:
            try:
                await self._look()
            except SNAPSHOT_ERRORS:
                self.failed_looks += 1
            # After a look that took longer, at once.
            next_at = max(next_at + EVERY_SECONDS, time.monotonic())
            await asyncio.sleep(next_at - time.monotonic())

    async def _look(self) -> None:
        started = time.monotonic()
        report = await self._database.audit()
        for finding in report.findings:
            if finding.check not in ONLY_AT_THE_END:
                self._note(f"I1, I2: {finding.check} {finding.subject}: {finding.detail}")
        await self._look_at_sessions()
        deadlocks = await self._database.deadlocks()
        if deadlocks > self._deadlocks_seen:
            self.deadlocks += deadlocks - self._deadlocks_seen
            self._note(f"I13: {deadlocks - self._deadlocks_seen} deadlocks")
        self._deadlocks_seen = deadlocks
        self.looks += 1
        self.slowest_look_seconds = max(self.slowest_look_seconds, time.monotonic() - started)

    async def _look_at_sessions(self) -> None:
        idle = {}
        for session in await self._database.sessions():
            if session.state.startswith("idle in transaction") and session.seconds > IDLE_SECONDS:
                idle[session.pid] = self._idle_looks.get(session.pid, 0) + 1
                if idle[session.pid] == MAX_LOOKS_IDLE:
                    self._note(f"I13: {session.application} idles in a transaction")
        self._idle_looks = idle

    def _note(self, finding: str) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(f"{time.strftime('%H:%M:%S')} {finding}")
