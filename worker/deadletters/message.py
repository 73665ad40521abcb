"""A dead letter as an operator reads it: what it carries, why it is dead, and since when."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from aio_pika.abc import AbstractIncomingMessage
from pydantic import ValidationError

from shared import topology
from shared.commands import Command
from shared.ids import is_uuid7, unix_ms
from shared.messages import Unreadable, read_commands
from shared.outcomes import Outcome, decode_outcome

FIRST_DEATH_HEADER = "x-first-death-reason"
DEATHS_HEADER = "x-death"
DIGEST_BYTES = 8


@dataclass(frozen=True)
class DeadLetter:
    """One message of the dead-letter queue, held while it is looked at."""

    message: AbstractIncomingMessage

    @property
    def id(self) -> str:
        """The message ID; where its publisher gave none, a digest of the body."""
        digest = hashlib.blake2b(self.message.body, digest_size=DIGEST_BYTES).hexdigest()
        return self.message.message_id or f"body-{digest}"

    @property
    def headers(self) -> Mapping[str, Any]:
        return self.message.headers

    @cached_property
    def entries(self) -> list[Command | Unreadable]:
        return read_commands(self.message.body)

    @property
    def unreadable(self) -> list[Unreadable]:
        return [entry for entry in self.entries if isinstance(entry, Unreadable)]

    @property
    def command_ids(self) -> list[str]:
        return [entry.command_id for entry in self.entries if entry.command_id]

    @property
    def kinds(self) -> str:
        """The kinds of its commands, those that can be read: `reserve_tickets x3, end_event`."""
        kinds = Counter(str(entry.kind or "unreadable") for entry in self.entries)
        return ", ".join(f"{kind} x{n}" if n > 1 else kind for kind, n in kinds.items())

    @property
    def reason(self) -> str:
        """Ours, or the broker's: `delivery_limit` where the message came back too often."""
        given = self.headers.get(topology.REASON_HEADER) or self.headers.get(FIRST_DEATH_HEADER)
        return str(given or "unknown")

    @property
    def error(self) -> str:
        """What went wrong, in a line."""
        outcome = self._outcome
        if outcome is not None and outcome.refusal is not None:
            return outcome.refusal.detail
        if said := self.headers.get(topology.ERROR_HEADER):
            return str(said).partition("\n")[0]
        return "came back more often than the broker allows" if self._deaths else ""

    @property
    def is_recorded(self) -> bool:
        """Whether its command has an outcome, which it keeps, whatever is done to the letter."""
        return self._outcome is not None and self._outcome.decided_at is not None

    @property
    def died_at(self) -> datetime | None:
        """When it was set aside; None where nothing tells."""
        if topology.REASON_HEADER in self.headers and is_uuid7(self.message.message_id or ""):
            return datetime.fromtimestamp(unix_ms(self.message.message_id or "") / 1000, UTC)
        times = [death.get("time") for death in self._deaths]
        return next((time for time in times if isinstance(time, datetime)), None)

    @property
    def _deaths(self) -> list[dict[str, Any]]:
        deaths = self.headers.get(DEATHS_HEADER) or []
        return [death for death in deaths if isinstance(death, dict)]

    @cached_property
    def _outcome(self) -> Outcome | None:
        """The outcome that the worker left with it."""
        try:
            return decode_outcome(str(self.headers.get(topology.ERROR_HEADER, "")))
        except ValidationError:
            return None
