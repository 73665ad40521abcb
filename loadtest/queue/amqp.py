"""A minimal AMQP 0-9-1 client that publishes commands with confirms and consumes replies.

The load shares its machine with what it measures, and here a message with its reply costs
about a tenth of what it costs through aio-pika. pamqp reads and writes the rare frames.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Self, TypeVar, cast
from urllib.parse import unquote, urlsplit

from pamqp import commands, frame
from pamqp.base import Frame
from pamqp.header import ProtocolHeader
from pamqp.heartbeat import Heartbeat

from loadtest.queue import frames
from shared.topology import COMMANDS_EXCHANGE, COMMANDS_ROUTING_KEY

CONNECT_SECONDS = 10.0
FAREWELL_SECONDS = 1.0
FLUSH_EVERY_SECONDS = 0.001
HEARTBEAT_SECONDS = 10
MISSED_HEARTBEATS = 3
MAX_FRAME_BYTES = 128 * 1024
CHANNEL = 1

_DELIVER, _RETURN = commands.Basic.Deliver.index, commands.Basic.Return.index
_ACK, _NACK = commands.Basic.Ack.index, commands.Basic.Nack.index
_HEARTBEAT_FRAME = 8

OnReply = Callable[[str, bytes], None]
"""Takes the name of a message, and the array of the outcomes of its commands."""
OnConfirm = Callable[[int, bool, bool], None]
"""Takes the number of a publish, whether all before it are included, and whether it was acked."""
Answer = TypeVar("Answer", bound=Frame)


class BrokerError(Exception):
    """The broker cannot be reached, or closed the connection; the message says why."""


class CommandsLink(asyncio.Protocol):
    """One connection with one channel, for publishing commands and consuming replies."""

    def __init__(self, on_reply: OnReply, on_confirm: OnConfirm) -> None:
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[BrokerError] = self._loop.create_future()
        """Resolved with the reason when the connection is lost."""
        self.returned = 0
        """Messages that were returned because no queue is bound for them."""
        self._on_reply = on_reply
        self._on_confirm = on_confirm
        self._transport: asyncio.Transport
        self._reader = frames.FrameReader()
        self._frames: frames.PublishFrames
        self._published = 0
        self._outgoing: list[bytes] = []
        self._flushed_at = 0.0
        self._answers: asyncio.Queue[Any] = asyncio.Queue()
        self._delivered = 0
        """The method of the content being received: Deliver or Return."""
        self._missing_bytes = 0
        self._body: list[bytes] = []
        self._heard = True
        self._heart: asyncio.Task[None] | None = None

    def publish(self, name: str, body: bytes) -> int:
        """Publish `body` with `name` as its correlation and message ID; return its number."""
        if self.lost.done():
            raise self.lost.result()
        if not self._outgoing:
            # A lone message leaves at once, a stream of them a thousand times a second: a system
            # call costs ten times what a message does.
            self._loop.call_at(self._flushed_at + FLUSH_EVERY_SECONDS, self._flush)
        self._outgoing.append(self._frames.message(name, body))
        self._published += 1
        return self._published

    async def close(self) -> None:
        """Close the connection in order, without waiting long for the broker."""
        if self._heart is not None:
            self._heart.cancel()
        if not self.lost.done():
            self._send(commands.Connection.Close(200, "done", 0, 0), channel=0)
            await asyncio.wait([self.lost], timeout=FAREWELL_SECONDS)
        self._transport.abort()

    async def open(self, vhost: str, user: str, password: str) -> Self:
        """Open the connection and the channel."""
        self._transport.write(frame.marshal(ProtocolHeader(0, 9, 1), 0))
        await self._answer(commands.Connection.Start)
        self._send(
            commands.Connection.StartOk(
                {
                    "connection_name": "holdfast-loadtest",
                    # The broker sends this before it closes a connection with a wrong password.
                    "capabilities": {"authentication_failure_close": True},
                },
                "PLAIN",
                f"\0{user}\0{password}",
            ),
            channel=0,
        )
        tune = await self._answer(commands.Connection.Tune)
        max_frame_bytes = min(MAX_FRAME_BYTES, tune.frame_max or MAX_FRAME_BYTES)
        tuned = commands.Connection.TuneOk(tune.channel_max, max_frame_bytes, HEARTBEAT_SECONDS)
        self._send(tuned, channel=0)
        self._send(commands.Connection.Open(vhost), channel=0)
        await self._answer(commands.Connection.OpenOk)
        self._heart = asyncio.create_task(self._beat())
        await self._ask(commands.Channel.Open(), commands.Channel.OpenOk)
        await self._ask(
            commands.Exchange.Declare(exchange=COMMANDS_EXCHANGE, passive=True),
            commands.Exchange.DeclareOk,
        )
        await self._ask(commands.Confirm.Select(), commands.Confirm.SelectOk)
        queue = await self._ask(
            commands.Queue.Declare(exclusive=True, auto_delete=True), commands.Queue.DeclareOk
        )
        await self._ask(
            commands.Basic.Consume(queue=queue.queue or "", no_ack=True), commands.Basic.ConsumeOk
        )
        self._frames = frames.PublishFrames(
            CHANNEL,
            COMMANDS_EXCHANGE,
            COMMANDS_ROUTING_KEY,
            queue.queue or "",
            user,
            max_frame_bytes,
        )
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._lose(f"The connection to the broker was lost ({error or 'closed by the broker'}).")

    def data_received(self, data: bytes) -> None:
        self._heard = True
        for received in self._reader.feed(data):
            kind = received[0]
            if kind == frames.METHOD:
                self._on_method(received)
            elif kind == frames.CONTENT_HEADER:
                self._missing_bytes = frames.body_size(received)
                self._body.clear()
                self._end_content()
            elif kind == frames.BODY:
                self._body.append(received[7:-1])
                self._missing_bytes -= len(received) - frames.ENVELOPE_BYTES
                self._end_content()
            elif kind != _HEARTBEAT_FRAME:
                self._lose(f"The broker sent a frame of the unknown kind {kind}.")

    def _flush(self) -> None:
        self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()
        self._flushed_at = self._loop.time()

    def _on_method(self, received: bytes) -> None:
        method = frames.method_id(received)
        if method in (_ACK, _NACK):
            self._on_confirm(*frames.confirm(received), method == _ACK)
        elif method in (_DELIVER, _RETURN):
            self._delivered = method
        else:
            self._on_rare_method(frame.unmarshal(received)[2])

    def _on_rare_method(self, method: Any) -> None:
        match method:
            case commands.Connection.Close() | commands.Channel.Close():
                self._lose(f"The broker says: {method.reply_code} {method.reply_text}")
            case commands.Connection.CloseOk():
                self._lose("The connection was closed.")
            case commands.Basic.Cancel():
                self._lose("The reply queue has gone.")
            case _:
                self._answers.put_nowait(method)

    def _end_content(self) -> None:
        if self._missing_bytes > 0:
            return
        if self._delivered == _RETURN:
            self.returned += 1
            self._lose("A message came back: no queue takes commands. Is a worker running?")
        else:
            for name, outcomes in frames.replies(b"".join(self._body)):
                self._on_reply(name, outcomes)
        self._body.clear()

    def _send(self, method: Frame | Heartbeat, channel: int = CHANNEL) -> None:
        self._transport.write(frame.marshal(method, channel))

    async def _ask(self, method: Frame, answer: type[Answer]) -> Answer:
        self._send(method)
        return await self._answer(answer)

    async def _answer(self, expected: type[Answer]) -> Answer:
        waiting = asyncio.ensure_future(self._answers.get())
        await asyncio.wait([waiting, self.lost], return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            raise self.lost.result()
        answer = waiting.result()
        if not isinstance(answer, expected):
            raise BrokerError(f"The broker answered {answer.name} instead of {expected.name}.")
        return answer

    def _lose(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(BrokerError(reason))

    async def _beat(self) -> None:
        """Send heartbeats, and notice if those of the broker are missing."""
        missed = 0
        while missed < MISSED_HEARTBEATS and not self.lost.done():
            await asyncio.sleep(HEARTBEAT_SECONDS / 2)
            self._send(Heartbeat(), channel=0)
            missed = 0 if self._heard else missed + 1
            self._heard = False
        self._lose(f"The broker has been silent for {missed * HEARTBEAT_SECONDS / 2:.0f} s.")


async def connect(broker_url: str, on_reply: OnReply, on_confirm: OnConfirm) -> CommandsLink:
    """Connect to the broker that `broker_url` names. Raises `BrokerError`."""
    url = urlsplit(broker_url)
    secure = url.scheme == "amqps"
    address = (url.hostname or "127.0.0.1", url.port or (5671 if secure else 5672))
    user, password = unquote(url.username or "guest"), unquote(url.password or "guest")
    vhost = unquote(url.path[1:]) or "/"
    link = CommandsLink(on_reply, on_confirm)
    tls = ssl.create_default_context() if secure else None
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await asyncio.get_running_loop().create_connection(lambda: link, *address, ssl=tls)
            try:
                return await link.open(vhost, user, password)
            except BaseException:
                await link.close()
                raise
    except (OSError, TimeoutError) as error:
        reason = str(error) or f"no answer within {CONNECT_SECONDS:g} s"
        raise BrokerError(f"No broker at {address[0]}:{address[1]}: {reason}.") from None
