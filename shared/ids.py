"""Makes and checks UUIDv7 (RFC 9562, section 5.7), and reads the time that one carries.

An ID is a string in the canonical lower-case form. Strings compare in the order of
the bytes, as Postgres orders `uuid`, so sorting them in Python sorts them as the
database does; every lock order relies on this.
"""

import os
import re
import time
from typing import Annotated

from pydantic import WithJsonSchema

from shared.fields import TextPattern

_HEX = "[0-9a-fA-F]"
_UUID = rf"^{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}$"
_UUID7 = rf"^{_HEX}{{8}}-{_HEX}{{4}}-7{_HEX}{{3}}-[89abAB]{_HEX}{{3}}-{_HEX}{{12}}$"
_UUID7_PATTERN = re.compile(_UUID7)

MAX_AHEAD_SECONDS = 30
"""How far ahead of the clock the time in a command ID may lie."""

Id = Annotated[
    str,
    TextPattern(_UUID, "must be a UUID", to_lower=True),
    WithJsonSchema({"type": "string", "format": "uuid"}),
]
"""A UUID of any version, in canonical form."""

CommandId = Annotated[
    str,
    TextPattern(_UUID7, "must be a UUIDv7", to_lower=True),
    WithJsonSchema({"type": "string", "format": "uuid", "description": "a UUIDv7 (RFC 9562)"}),
]
"""The ID of a command: a UUIDv7, in canonical form."""


def new_id() -> str:
    """Return a fresh UUIDv7: 48 bits of Unix milliseconds, then 74 random bits."""
    return id_at(time.time_ns() // 1_000_000)


def id_at(unix_ms: int) -> str:
    """Return a fresh UUIDv7 that carries the time `unix_ms` (milliseconds since 1970)."""
    random = int.from_bytes(os.urandom(10))
    value = (
        (unix_ms & 0xFFFF_FFFF_FFFF) << 80
        | 0x7 << 76
        | (random & 0xFFF) << 64
        | 0b10 << 62
        | random >> 18
    )
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def is_uuid7(text: str) -> bool:
    """Tell whether `text` is a UUID of version 7 and the RFC's variant."""
    return _UUID7_PATTERN.fullmatch(text) is not None


def unix_ms(uuid7: str) -> int:
    """Return the milliseconds since 1970 that a UUIDv7 carries."""
    return int(uuid7[:8] + uuid7[9:13], 16)


def first_id_at(unix_ms: int) -> str:
    """Return text that sorts after every UUIDv7 made before `unix_ms`, and before the others."""
    digits = f"{unix_ms:012x}"
    return f"{digits[:8]}-{digits[8:]}"
