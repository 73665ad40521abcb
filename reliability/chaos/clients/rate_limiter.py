"""Limits all clients together to a rate of commands a second."""

import asyncio
import time

MAX_BEHIND_SECONDS = 1.0
"""What a fault has held up is not caught up on in one burst."""


class RateLimiter:
    def __init__(self, commands_per_second: float) -> None:
        self._seconds_a_command = 1 / commands_per_second
        self._next_at = time.monotonic()

    async def wait_for(self, commands: int) -> None:
        """Wait until so many more may be sent."""
        now = time.monotonic()
        self._next_at = max(self._next_at, now - MAX_BEHIND_SECONDS)
        start_at = self._next_at
        self._next_at += commands * self._seconds_a_command
        await asyncio.sleep(max(0.0, start_at - now))
