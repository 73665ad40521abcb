"""Encodes and decodes the AMQP frames of the hot path as bytes: publishes and replies."""

import re
import struct
from collections.abc import Iterator

from shared.topology import MERGE_REPLIES_HEADER

METHOD, CONTENT_HEADER, BODY = 1, 2, 3
FRAME_END = b"\xce"
ENVELOPE_BYTES = 8
"""The overhead of a frame: seven bytes before its payload and one after it."""

_BASIC_PUBLISH = b"\x00\x3c\x00\x28"
_BASIC = b"\x00\x3c\x00\x00"
_MANDATORY = b"\x01"
_PERSISTENT = b"\x02"
_CONTENT_TYPE, _HEADERS, _MODE = 1 << 15, 1 << 13, 1 << 12
_CORRELATION_ID, _REPLY_TO, _MESSAGE_ID, _USER_ID = 1 << 10, 1 << 9, 1 << 7, 1 << 4
_PROPERTIES = struct.pack(
    ">H", _CONTENT_TYPE | _HEADERS | _MODE | _CORRELATION_ID | _REPLY_TO | _MESSAGE_ID | _USER_ID
)


class PublishFrames:
    """Writes messages for one exchange: persistent, mandatory, with a merged reply wanted."""

    def __init__(
        self,
        channel: int,
        exchange: str,
        routing_key: str,
        reply_to: str,
        user: str,
        max_frame_bytes: int,
    ) -> None:
        self._channel = channel
        self._max_body_bytes = max_frame_bytes - ENVELOPE_BYTES
        names = _short(exchange) + _short(routing_key)
        self._publish = self._frame(METHOD, _BASIC_PUBLISH + b"\x00\x00" + names + _MANDATORY)
        merge = _short(MERGE_REPLIES_HEADER) + b"t\x01"
        headers = len(merge).to_bytes(4) + merge
        self._fixed = _PROPERTIES + _short("application/json") + headers + _PERSISTENT
        self._reply_to = _short(reply_to)
        self._user = _short(user)

    def message(self, name: str, body: bytes) -> bytes:
        """Return the frames of a message with `name` as its correlation and message ID."""
        short = _short(name)
        header = (
            _BASIC,
            len(body).to_bytes(8),
            self._fixed,
            short,
            self._reply_to,
            short,
            self._user,
        )
        step = self._max_body_bytes
        bodies = [self._frame(BODY, body[at : at + step]) for at in range(0, len(body), step)]
        return b"".join((self._publish, self._frame(CONTENT_HEADER, b"".join(header)), *bodies))

    def _frame(self, kind: int, payload: bytes) -> bytes:
        head = struct.pack(">BHI", kind, self._channel, len(payload))
        return b"".join((head, payload, FRAME_END))


class FrameReader:
    """Splits received bytes into frames; an incomplete frame waits for its rest."""

    def __init__(self) -> None:
        self._received = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Return the complete frames, with their headers and end bytes."""
        received = self._received
        received += data
        at, end = 0, len(received)
        while end - at >= ENVELOPE_BYTES:
            (size,) = struct.unpack_from(">I", received, at + 3)
            stop = at + size + ENVELOPE_BYTES
            if stop > end:
                break
            yield bytes(received[at:stop])
            at = stop
        del received[:at]


def method_id(frame: bytes) -> int:
    """Return class and method of a method frame as one number."""
    return int.from_bytes(frame[7:11])


def confirm(frame: bytes) -> tuple[int, bool]:
    """Read Basic.Ack or Basic.Nack: the delivery tag, and whether all before it are included."""
    return int.from_bytes(frame[11:19]), bool(frame[19] & 1)


def body_size(frame: bytes) -> int:
    """Read a content header: how many bytes of body follow."""
    return int.from_bytes(frame[11:19])


def replies(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Split a merged reply: the array of outcomes of each message, by its name.

    As text, because there are thousands of outcomes and this needs no JSON parser: no
    member of an outcome is named by an ID.
    """
    members = list(_MEMBER.finditer(body))
    starts_of_next = [member.start() for member in members[1:]] + [len(body)]
    for member, start_of_next in zip(members, starts_of_next, strict=True):
        yield member[1].decode(), body[member.end() : start_of_next].rstrip(b", }")


_MEMBER = re.compile(rb'"([0-9a-f]{8}-[0-9a-f-]{27}(?:\.\d+)?)" ?: ?(?=\[)')


def _short(text: str) -> bytes:
    encoded = text.encode()
    return bytes((len(encoded),)) + encoded
