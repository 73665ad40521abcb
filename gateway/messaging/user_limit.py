"""Bounds how many commands or waits a user may have in progress at one gateway."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from gateway.http.problems import ProblemError

MAX_COMMANDS_PER_USER = 100
"""Per gateway, until a worker has replied; repetitions count. A person needs a few, and a client
that sends one command a hundred times at once still gets a hundred equal responses."""
MAX_WAITS_PER_USER = 100
"""Streams and long polls, per gateway. Each holds a connection and is polled for until there is an
outcome, and a client may wait for any ID."""


class UserLimit:
    """Counts per user; users with a count of 0 take no memory."""

    def __init__(self, maximum: int, code: Literal["too_many_commands", "too_many_waits"]) -> None:
        self.maximum = maximum
        self._code: Literal["too_many_commands", "too_many_waits"] = code
        self._counts: dict[str, int] = {}

    @contextmanager
    def counted(self, user_id: str, command_id: str) -> Iterator[None]:
        """Count one more during the context. Raises as `enter` does."""
        self.enter(user_id, command_id)
        try:
            yield
        finally:
            self.leave(user_id)

    def enter(self, user_id: str, command_id: str) -> None:
        """Count one more. Raises the problem of the limit without counting."""
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
