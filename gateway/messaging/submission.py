"""One command in flight: its JSON, whether the broker confirmed it, and its outcome."""

import asyncio
from collections.abc import Callable

from gateway.outcome_document import DecidedOutcome
from shared.commands import Command


class Submission:
    """A command from its arrival at the gateway to its reply."""

    __slots__ = (
        "_listener",
        "_on_finish",
        "awaited",
        "command",
        "confirmed",
        "decided",
        "text",
    )

    def __init__(
        self, command: Command, *, awaited: bool, on_finish: Callable[[str], None]
    ) -> None:
        """`on_finish` is called once, with the user's ID, when no reply is expected any more."""
        self.command = command
        self.text = command.model_dump_json().encode()
        self.awaited = awaited
        """Whether a request waits for the outcome, and not for the confirm alone."""
        self.confirmed: bool | None = None
        """Whether the broker has the command on disk; None while that is unknown."""
        self.decided: DecidedOutcome | None = None
        """The outcome in the reply. It may come just after the listener has timed out."""
        self._listener: asyncio.Future[DecidedOutcome | None] | None = None
        self._on_finish: Callable[[str], None] | None = on_finish

    def listen(self) -> asyncio.Future[DecidedOutcome | None]:
        """Return a future of the next event: the outcome, or None for a confirm or a failure."""
        self._listener = asyncio.get_running_loop().create_future()
        return self._listener

    def confirm(self, *, confirmed: bool) -> None:
        """Record whether the broker has the command on disk."""
        if self.confirmed is None:
            self.confirmed = confirmed
        # A request that awaits the outcome needs no confirm; without one there is no outcome.
        if not (self.awaited and confirmed):
            self._notify(None)
        if not confirmed:
            self.finish()

    def resolve(self, decided: DecidedOutcome) -> None:
        """Record the outcome of the command."""
        # A reply proves that the broker had the command, also when it overtakes the confirm.
        self.confirmed = True
        self.decided = decided
        self._notify(decided)

    def finish(self) -> None:
        """Record that no reply is expected: it has arrived, or counts as lost."""
        if self._on_finish is not None:
            on_finish, self._on_finish = self._on_finish, None
            on_finish(self.command.user_id)

    def _notify(self, decided: DecidedOutcome | None) -> None:
        if self._listener is not None and not self._listener.done():
            self._listener.set_result(decided)
