"""The record of the clients: every command, and every answer to it."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from shared.ids import new_id

Document = dict[str, Any]
Way = Literal["http", "queue"]
CartCommandKind = Literal["reserve_tickets", "set_quantity", "release_item", "release_cart"]
"""The commands that buyers send."""


@dataclass(slots=True)
class Entry:
    """A command, and all that was heard of it."""

    user_id: str
    kind: CartCommandKind
    fields: Document
    """What it asks for, as on the wire."""
    way: Way
    id: str = field(default_factory=new_id)
    submitted_at: str | None = None
    """Where the client says so: on the queue."""
    deadline: str | None = None
    began_at: float = field(default_factory=time.monotonic)
    accepted: bool = False
    """Confirmed by the broker, or answered 2xx: from then on it must not get lost."""
    unknown: int = 0
    """How many attempts had no definite answer."""
    documents: set[str] = field(default_factory=set)
    """The distinct outcome documents that clients got: exactly one, if the invariant holds."""
    refusals: list[Document] = field(default_factory=list)
    """The problem documents of a refusal."""
    turned_away: int = 0
    """The status of a definite refusal at the door: the command never entered the queue."""

    @property
    def is_known(self) -> bool:
        return bool(self.documents or self.refusals or self.turned_away)


@dataclass(frozen=True, slots=True)
class PendingReply:
    """What a gateway said to a command that was handed in."""

    entry: Entry
    status: int
    at: float


class Record:
    """What the clients of one round did and heard."""

    def __init__(self, on_success: Callable[[Entry], None] = lambda entry: None) -> None:
        self.entries: dict[str, Entry] = {}
        self.by_user: dict[str, list[Entry]] = {}
        """In the order in which each user asked; a next one only after the last was answered."""
        self.reused: set[str] = set()
        """IDs that were given to another payload, too."""
        self.prepared: set[str] = set()
        """IDs of commands by which the round was prepared."""
        self.unreadable: set[str] = set()
        """IDs of commands on the queue that no worker can read."""
        self.answers: Counter[str] = Counter()
        self.at_the_door: list[PendingReply] = []
        """Those of the gateways to commands, in the order in which they came."""
        self.strange: list[str] = []
        """Answers that the contract does not know, and commands that were never answered."""
        self._on_success = on_success

    def begin(self, entry: Entry) -> Entry:
        self.entries[entry.id] = entry
        self.by_user.setdefault(entry.user_id, []).append(entry)
        return entry

    def answered(self, entry: Entry, status: int) -> None:
        """Record a gateway's response to a submitted command."""
        self.at_the_door.append(PendingReply(entry, status, time.monotonic()))

    def hear(self, entry: Entry, document: str) -> None:
        """Record an outcome document that a client received."""
        first = not entry.documents
        entry.accepted = True
        entry.documents.add(document)
        if first and SUCCEEDED in document:
            self._on_success(entry)

    def doubt(self, entry: Entry, why: str) -> None:
        """Note that an attempt has no definite answer."""
        entry.unknown += 1
        self.answers[why] += 1

    @property
    def known(self) -> int:
        return sum(entry.is_known for entry in self.entries.values())


SUCCEEDED = '"status":"succeeded"'
