"""Receives the workers' replies on the gateway's own queue."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from json import JSONDecoder
from typing import Any

from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

from shared.ids import new_id
from shared.topology import REPLIES_PREFIX

_log = logging.getLogger(__name__)
_json = JSONDecoder()


@dataclass(frozen=True, slots=True)
class DecidedOutcome:
    """An outcome document as the worker wrote it, and the fields that the gateway reads."""

    document: str
    command_id: str | None
    submitted_at: datetime | None
    refusal: dict[str, Any] | None
    """None where the command succeeded."""


OnReply = Callable[[str, list[DecidedOutcome]], None]
"""Takes the correlation ID of a message and the outcomes of its commands, in their order."""


class Replies:
    """Consumes the reply queue, which is deleted with its connection."""

    def __init__(self, on_reply: OnReply, on_lost: Callable[[], None]) -> None:
        """`on_lost` is called when the connection is lost, and replies with it."""
        self.queue_name = REPLIES_PREFIX + new_id()
        self.connected = False
        self._on_reply = on_reply
        self._on_lost = on_lost

    async def serve(self, connection: AbstractConnection) -> None:
        """Consume until the connection or the queue is gone."""
        channel = await connection.channel(publisher_confirms=False)
        queue = await channel.declare_queue(self.queue_name, exclusive=True, auto_delete=True)
        # No acknowledgements: a reply that is lost is looked up in the read model instead.
        await queue.consume(self._receive, no_ack=True)
        self.connected = True
        try:
            await channel.closed()
        finally:
            self.connected = False
            self._on_lost()

    async def _receive(self, message: AbstractIncomingMessage) -> None:
        try:
            decided = list(read_reply(message.body))
        except (ValueError, KeyError, TypeError):
            _log.exception("a reply is malformed")
            return
        self._on_reply(message.correlation_id or "", decided)


def read_reply(body: bytes) -> Iterator[DecidedOutcome]:
    """Split a reply into its outcome documents, each with its text unchanged.

    Raises `ValueError`, `KeyError` or `TypeError` where `body` is no array of outcome documents.
    """
    text = body.decode()
    start = 1  # behind the opening bracket
    while start < len(text) - 1:
        outcome, end = _json.raw_decode(text, start)
        yield _decided(text[start:end], outcome)
        start = end + 1  # behind the comma, or the closing bracket


def read_document(document: str) -> DecidedOutcome:
    """Read one outcome document."""
    return _decided(document, _json.decode(document))


def _decided(document: str, outcome: dict[str, Any]) -> DecidedOutcome:
    submitted_at = outcome["submitted_at"] and datetime.fromisoformat(outcome["submitted_at"])
    return DecidedOutcome(document, outcome["command_id"], submitted_at, outcome["refusal"])
