"""Keeps the clients together at so many commands a second."""

import asyncio
import time

MAX_BEHIND_SECONDS = 1.0
"""What a fault has held up is not caught up on in one burst."""


class Pace:
    def __init__(self, commands_per_second: float) -> None:
        self._seconds_a_command = 1 / commands_per_second
        self._next_at = time.monotonic()

    async def wait_for(self, commands: int) -> None:
        """Wait until so many more may go."""
        now = time.monotonic()
        self._next_at = max(self._next_at, now - MAX_BEHIND_SECONDS)
        start_at = self._next_at
        self._next_at += commands * self._seconds_a_command
        await asyncio.sleep(max(0.0, start_at - now))
