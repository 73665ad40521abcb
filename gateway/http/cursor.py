"""Pages of a list: how long they are, and the position of the last item as an opaque text."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass
from hashlib import blake2b

from pydantic import TypeAdapter, ValidationError

from gateway.http.problems import invalid_request
from shared.fields import Instant
from shared.ids import Id

MAX_PAGE_ITEMS = 100
DEFAULT_PAGE_ITEMS = 50
FILTER_BYTES = 8
"""Length of a filter's hash. It detects a changed filter and is not a security measure."""


@dataclass(frozen=True, slots=True)
class ListPosition:
    """A position in a list that is ordered by a time and an ID."""

    at: Instant
    id: Id


@dataclass(frozen=True, slots=True)
class Cursor:
    """The position of the last item of a page, and the hash of the list's filter."""

    at: Instant
    id: Id
    filter: str


_CURSOR = TypeAdapter(Cursor)


def write_cursor(position: ListPosition, wanted: bytes) -> str:
    """Return the cursor of a position in the list that `wanted` describes."""
    cursor = Cursor(position.at, position.id, _hash(wanted))
    return urlsafe_b64encode(_CURSOR.dump_json(cursor)).decode().rstrip("=")


def read_cursor(text: str, wanted: bytes) -> ListPosition:
    """Return the position of a cursor. Raises `invalid_request`, also if the filter differs."""
    error = {"loc": ["query", "cursor"], "msg": "invalid cursor"}
    try:
        padded = text + "=" * (-len(text) % 4)
        cursor = _CURSOR.validate_json(urlsafe_b64decode(padded.encode("ascii")))
    except (NotBase64, UnicodeEncodeError, ValidationError):
        raise invalid_request([error]) from None
    if cursor.filter != _hash(wanted):
        raise invalid_request([error])
    return ListPosition(cursor.at, cursor.id)


def _hash(wanted: bytes) -> str:
    return blake2b(wanted, digest_size=FILTER_BYTES).hexdigest()
