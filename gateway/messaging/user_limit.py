"""Bounds how many commands of one user may be in flight at the same time."""

from gateway.http.problems import ProblemError

MAX_COMMANDS_PER_USER = 100
"""Of one gateway, repetitions included, until a worker has answered. A person needs a few; a
client that sends one command a hundred times at once still gets as many equal answers."""


class UserCommandLimit:
    """Counts the commands of each user that has some."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def enter(self, user_id: str, command_id: str) -> None:
        """Count one more. Raises `too_many_commands`, and then counts nothing."""
        count = self._counts.get(user_id, 0)
        if count >= MAX_COMMANDS_PER_USER:
            raise ProblemError("too_many_commands", command_id=command_id)
        self._counts[user_id] = count + 1

    def leave(self, user_id: str) -> None:
        """Count one less."""
        count = self._counts[user_id] - 1
        if count:
            self._counts[user_id] = count
        else:
            del self._counts[user_id]
