"""Recalls the outcomes of commands that were decided before, and records the fresh ones."""

from collections.abc import Sequence

from sqlalchemy import text

from shared.commands import Command
from worker.domain.batch import Fresh, Recorded
from worker.storage.driver import Driver, fetch


async def recall(driver: Driver, commands: Sequence[Command]) -> dict[str, Recorded]:
    """Return what is recorded under the commands' IDs.

    Only under the locks of the commands' users is this the truth: a duplicate in flight
    has the same user, and has committed by the time the lock is ours.
    """
    rows = await fetch(driver, RECALL, {"ids": [command.command_id for command in commands]})
    return {row[0]: Recorded(row[1], row[2]) for row in rows}


async def record(driver: Driver, fresh: Sequence[Fresh]) -> None:
    """Record the outcomes of commands that were decided for the first time."""
    if fresh:
        # Sorted, as commands of users that do not exist are serialised by no lock.
        fresh = sorted(fresh, key=lambda one: one.command.command_id)
        await fetch(
            driver,
            RECORD,
            {
                "command_ids": [one.command.command_id for one in fresh],
                "user_ids": [one.command.user_id for one in fresh],
                "fingerprints": [one.fingerprint for one in fresh],
                "documents": [one.document for one in fresh],
                "decided_at": fresh[0].outcome.decided_at,
            },
        )


RECALL = text("""
    SELECT command_id::text, fingerprint, document FROM booking.outcomes
    WHERE command_id = ANY (CAST(:ids AS uuid[]))
""")

RECORD = text("""
    INSERT INTO booking.outcomes (command_id, user_id, fingerprint, document, decided_at)
    SELECT fresh.*, CAST(:decided_at AS timestamptz)
    FROM unnest(CAST(:command_ids AS uuid[]), CAST(:user_ids AS uuid[]),
                CAST(:fingerprints AS bytea[]), CAST(:documents AS text[])) AS fresh
""")
