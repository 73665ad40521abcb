"""JSON rules that pydantic does not check: repeated members, and arrays with a broken entry.

RFC 8259, section 4, leaves open what a repeated member means; readers disagree on which one counts.
"""

import json
import re
from typing import Any

_WHITESPACE = b" \t\n\r"
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[][{},]', re.DOTALL)
"""A string, or a character that matters for where an entry ends."""
_SPACED_COLONS = (b" :", b"\t:", b"\n:", b"\r:")


def repeats_member(body: bytes, distinct_members: int | None = None) -> bool:
    """Tell whether an object in `body`, which must be valid JSON, names a member twice.

    `distinct_members` is how many members all objects have after repetitions have been merged.
    With it the common case needs no second parse: each member ends with `":` or with a spaced
    colon, so without spaced colons there are at most as many members as there are `":`.
    """
    if (
        distinct_members is not None
        and body.count(b'":') == distinct_members
        and not any(colon in body for colon in _SPACED_COLONS)
    ):
        return False
    try:
        _CHECK.decode(body.decode())
    except _RepeatedMemberError:
        return True
    return False


def split_array(body: bytes) -> list[bytes] | None:
    """Return the text of each entry of a JSON array; None where `body` is no array.

    Only strings and brackets are looked at: an entry may be anything but unbalanced, so that a
    broken entry does not hide where the next one begins.
    """
    body = body.strip(_WHITESPACE)
    if not body.startswith(b"["):
        return None
    depth, start, entries = 0, 1, []
    for token in _TOKEN.finditer(body):
        match token.group():
            case b"[" | b"{":
                depth += 1
            case b"]" | b"}":
                depth -= 1
            case b"," if depth == 1:
                entries.append(body[start : token.start()].strip(_WHITESPACE))
                start = token.end()
        if depth == 0:
            last = body[start : token.start()].strip(_WHITESPACE)
            if token.end() != len(body) or token.group() != b"]":
                return None
            entries += [last] if last or entries else []
            return entries if all(entries) else None
    return None


class _RepeatedMemberError(Exception):
    """An object names a member twice."""


def _check(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) != len({name for name, _ in pairs}):
        raise _RepeatedMemberError


_CHECK = json.JSONDecoder(object_pairs_hook=_check)
