"""Takes messages whose properties cannot be read, as whoever publishes may send them.

pamqp decodes the properties before anybody sees the message, and aiormq ends the connection over
what it cannot decode (a time stamp in microseconds, a text that is no UTF-8, headers nested too
deeply): all that is in hand comes back, with a delivery counted, until the broker gives it up.
"""

from pamqp.commands import Basic
from pamqp.header import ContentHeader

UNREADABLE_PROPERTIES = "x-unreadable-properties"
"""Stands in the headers in place of all properties. No broker ever carries it."""

_decode = ContentHeader.unmarshal


def tolerate_unreadable_properties() -> None:
    """Have such messages delivered, for the life of the process."""
    ContentHeader.unmarshal = _decode_any  # type: ignore[method-assign]  # nowhere else to ask


def _decode_any(self: ContentHeader, data: bytes) -> None:
    try:
        _decode(self, data)
    except Exception:
        if self.class_id is None:  # not even the size of the body
            raise
        self.properties = Basic.Properties(headers={UNREADABLE_PROPERTIES: True})
