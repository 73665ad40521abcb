"""What was handed to the broker and is not answered yet: how far the workers are behind."""

from time import monotonic

from gateway.messaging.submission import Submission

FORGOTTEN_AFTER_SECONDS = 60.0
"""A reply that takes longer is taken for lost: what it would have answered holds up nobody."""


class InFlightMessages:
    """Messages on their way, each with the commands that it carries, in the order they left."""

    def __init__(self) -> None:
        self._messages: dict[str, tuple[float, list[Submission]]] = {}
        """By correlation ID: when it left, and what it carries."""
        self._commands = 0

    def __len__(self) -> int:
        """Return how many messages are unanswered."""
        return len(self._messages)

    @property
    def commands(self) -> int:
        while self._messages:
            correlation_id, (left_at, _) = next(iter(self._messages.items()))
            if monotonic() - left_at < FORGOTTEN_AFTER_SECONDS:
                break
            self.take(correlation_id)
        return self._commands

    @property
    def awaited(self) -> int:
        """Of the commands, those whose client waits to hear of them."""
        return sum(each.awaited for _, load in self._messages.values() for each in load)

    def add(self, correlation_id: str, load: list[Submission]) -> None:
        self._messages[correlation_id] = (monotonic(), load)
        self._commands += len(load)

    def take(self, correlation_id: str) -> list[Submission]:
        """Return what the message carries, which is answered now; nothing where that is known."""
        _, load = self._messages.pop(correlation_id, (0.0, []))
        self._commands -= len(load)
        return load

    def forget(self) -> None:
        """Expect no answers any more: the connection is lost on which they would have come."""
        self._messages.clear()
        self._commands = 0
