"""Notes that a command is about to be tried alone: where that ends the worker, the note remains."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from shared.commands import Command
from worker.storage.driver import transaction


class SoloAttempts:
    """The tries of commands under suspicion, on disk."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def earlier(self, commands: Sequence[Command]) -> list[int]:
        """Return how often each command was tried alone before."""
        async with transaction(self._engine) as driver:
            rows = await driver.fetch(READ_TRIES, _ids(commands))
        tries: dict[str, int] = {row[0]: row[1] for row in rows}
        return [tries.get(command.command_id, 0) for command in commands]

    async def note(self, commands: Sequence[Command]) -> None:
        """Note a try of each command; it counts from the return on, whatever happens then."""
        async with transaction(self._engine) as driver:
            await driver.fetch(NOTE_TRY, _ids(commands))


def _ids(commands: Sequence[Command]) -> list[str]:
    return sorted({command.command_id for command in commands})


READ_TRIES = """
    SELECT command_id::text, tries FROM booking.trials
    WHERE command_id = ANY ($1::uuid[])
"""

NOTE_TRY = """
    INSERT INTO booking.trials (command_id, tries, tried_at)
    SELECT id, 1, statement_timestamp() FROM unnest($1::uuid[]) AS id
    ON CONFLICT (command_id) DO UPDATE
    SET tries = trials.tries + 1, tried_at = excluded.tried_at
"""
