"""Published messages that no worker has answered yet: the backlog of the workers."""

from time import monotonic

from gateway.messaging.submission import Submission

REPLY_LOST_AFTER_SECONDS = 60.0
"""A later reply counts as lost, so that its commands do not fill the gateway."""


class InFlightMessages:
    """Published messages, each with the submissions that it carries, oldest first."""

    def __init__(self) -> None:
        self._messages: dict[str, tuple[float, list[Submission]]] = {}
        """By correlation ID: when it was published, and what it carries."""
        self._commands = 0

    def __len__(self) -> int:
        """Return the number of messages."""
        return len(self._messages)

    @property
    def commands(self) -> int:
        """The number of commands. Reading it removes messages whose reply counts as lost."""
        while self._messages:
            correlation_id, (published_at, _) = next(iter(self._messages.items()))
            if monotonic() - published_at < REPLY_LOST_AFTER_SECONDS:
                break
            self.take(correlation_id)
        return self._commands

    @property
    def awaited(self) -> int:
        """The number of commands whose request waits for the outcome."""
        return sum(each.awaited for _, batch in self._messages.values() for each in batch)

    def add(self, correlation_id: str, batch: list[Submission]) -> None:
        self._messages[correlation_id] = (monotonic(), batch)
        self._commands += len(batch)

    def take(self, correlation_id: str) -> list[Submission]:
        """Remove a message and return its submissions, finished; empty if already removed."""
        _, batch = self._messages.pop(correlation_id, (0.0, []))
        self._commands -= len(batch)
        for submission in batch:
            submission.finish()
        return batch

    def clear(self) -> None:
        """Remove all messages: the connection that would carry their replies is lost."""
        for correlation_id in list(self._messages):
            self.take(correlation_id)
