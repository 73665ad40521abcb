"""Receives the workers' replies on the gateway's own queue."""

import logging
from collections.abc import Callable

from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

from gateway.outcome_document import DecidedOutcome, read_reply
from shared.ids import new_id
from shared.topology import REPLIES_PREFIX

_log = logging.getLogger(__name__)


OnReply = Callable[[str, list[DecidedOutcome]], None]
"""Takes the correlation ID of a message and the outcomes of its commands, in their order."""


class Replies:
    """Consumes the reply queue, which the broker deletes with its connection."""

    def __init__(self, on_reply: OnReply, on_lost: Callable[[], None]) -> None:
        """`on_lost` is called when the connection closes: replies may be lost."""
        self.queue_name = REPLIES_PREFIX + new_id()
        self.connected = False
        self._on_reply = on_reply
        self._on_lost = on_lost

    async def serve(self, connection: AbstractConnection) -> None:
        """Consume until the connection or the queue is lost."""
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
