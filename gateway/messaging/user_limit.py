"""Bounds how much of one thing a user may have in progress at one gateway."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from gateway.http.problems import ProblemError

MAX_COMMANDS_PER_USER = 100
"""Of one gateway, repetitions included, until a worker has answered. A person needs a few; a
client that sends one command a hundred times at once still gets as many equal answers."""
MAX_WAITS_PER_USER = 100
"""Streams and long polls of one gateway. Each holds a connection, and is looked up for as long as
there is no outcome, which a client may ask for under any ID."""


class UserLimit:
    """Counts what each user has, if anything."""

    def __init__(self, maximum: int, code: Literal["too_many_commands", "too_many_waits"]) -> None:
        self.maximum = maximum
        self._code: Literal["too_many_commands", "too_many_waits"] = code
        self._counts: dict[str, int] = {}

    @contextmanager
    def counted(self, user_id: str, command_id: str) -> Iterator[None]:
        """Count one more for as long as the context lasts. Raises as `enter` does."""
        self.enter(user_id, command_id)
        try:
            yield
        finally:
            self.leave(user_id)

    def enter(self, user_id: str, command_id: str) -> None:
        """Count one more. Raises the problem of the limit, and then counts nothing."""
        count = self._counts.get(user_id, 0)
        if count >= self.maximum:
            raise ProblemError(self._code, command_id=command_id)
        self._counts[user_id] = count + 1

    def leave(self, user_id: str) -> None:
        """Count one less."""
        count = self._counts[user_id] - 1
        if count:
            self._counts[user_id] = count
        else:
            del self._counts[user_id]
