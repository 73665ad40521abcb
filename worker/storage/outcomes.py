"""Recalls the outcomes of commands that were decided before."""

from collections.abc import Sequence

from shared.commands import Command
from worker.domain.batch import Recorded
from worker.storage.driver import Driver, fetch
from worker.storage.statements import RECALL


async def recall(driver: Driver, commands: Sequence[Command]) -> dict[str, Recorded]:
    """Return what is recorded under the commands' IDs.

    Only under the locks of the commands' users is this the truth: a duplicate in flight
    has the same user, and has committed by the time the lock is ours.
    """
    if not commands:
        return {}
    ids = [command.command_id for command in commands]
    rows = await fetch(driver, RECALL, {"ids": ids, "lowest": min(ids), "highest": max(ids)})
    return {row[0]: Recorded(row[1], row[2]) for row in rows}
