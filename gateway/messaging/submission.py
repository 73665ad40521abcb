"""A command on its way to the broker, and the one who waits to hear of it."""

import asyncio

from gateway.messaging.replies import DecidedOutcome
from shared.commands import Command


class Submission:
    """A command on its way: what it is on the wire, and who is to hear what becomes of it."""

    __slots__ = (
        "_listener",
        "awaited",
        "command",
        "confirmed",
        "decided",
        "text",
    )

    def __init__(self, command: Command, *, awaited: bool) -> None:
        self.command = command
        # As encode_commands does, which first finds out what kind each command is.
        self.text = type(command).__pydantic_serializer__.to_json(command)
        self.awaited = awaited
        """Whether somebody waits for the outcome, and not for the confirm alone."""
        self.confirmed: bool | None = None
        """Whether the broker has the command on disk; None while that is not known."""
        self.decided: DecidedOutcome | None = None
        """What a reply said: it may come just as whoever listens has lost patience."""
        self._listener: asyncio.Future[DecidedOutcome | None] | None = None

    def listen(self) -> asyncio.Future[DecidedOutcome | None]:
        """Return what resolves when there is news: with the outcome, or None for other news."""
        self._listener = asyncio.get_running_loop().create_future()
        return self._listener

    def settle(self, *, confirmed: bool) -> None:
        """Say whether the broker has the command on disk."""
        if self.confirmed is None:
            self.confirmed = confirmed
        # Who awaits the outcome need not know of the confirm; without one there is no outcome.
        if not (self.awaited and confirmed):
            self._tell(None)

    def decide(self, decided: DecidedOutcome) -> None:
        """Say what became of the command."""
        # A reply proves that the broker had the command, also when it overtakes the confirm.
        self.confirmed = True
        self.decided = decided
        self._tell(decided)

    def _tell(self, decided: DecidedOutcome | None) -> None:
        if self._listener is not None and not self._listener.done():
            self._listener.set_result(decided)
