"""Formats dead letters, as lines or as JSON documents, and masks secrets in them."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from pydantic_core import from_json

from shared.bodies import Line
from shared.commands import Command
from worker.deadletters.queue import HeldDeadLetter

MAX_ERROR_CHARACTERS = 100
"""In a line of `list`; `show` prints the whole error."""
MAX_SHOWN_CHARACTERS = 300_000
"""In a body: more than the largest message that can be read."""


def table(letters: list[HeldDeadLetter], now: datetime) -> Iterator[str]:
    """Yield a heading, then a line for each letter."""
    rows = [("#", "ID", "AGE", "REASON", "COMMANDS", "ERROR")]
    for number, letter in enumerate(letters, 1):
        error = mask_text(letter.error)[:MAX_ERROR_CHARACTERS]
        rows.append((str(number), letter.id, _age(letter, now), letter.reason, letter.kinds, error))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(cells).rstrip()


def summary(letter: HeldDeadLetter) -> dict[str, Any]:
    """Return what `list --json` prints of a letter."""
    return {
        "id": letter.id,
        "reason": letter.reason,
        "kinds": letter.kinds,
        "command_ids": letter.command_ids,
        "set_aside_at": letter.died_at.isoformat() if letter.died_at else None,
        "error": mask_text(letter.error),
        "outcome_is_recorded": letter.is_recorded,
    }


def details(letter: HeldDeadLetter, *, reveal: bool) -> dict[str, Any]:
    """Return what `show` prints of a letter, with its secrets only if `reveal`."""
    headers = json.loads(json.dumps(dict(letter.headers), default=_plain))
    if not reveal:
        headers = {name: _mask_header(content) for name, content in headers.items()}
    return summary(letter) | {
        "correlation_id": letter.message.correlation_id,
        "bytes": len(letter.message.body),
        "headers": headers,
        "unreadable": [entry.error for entry in letter.unreadable],
        "body": _body(letter.message.body, reveal=reveal),
    }


def _body(body: bytes, *, reveal: bool) -> Any:
    if len(body) <= MAX_SHOWN_CHARACTERS:
        try:
            content = from_json(body)
        except ValueError:
            pass
        else:
            return content if reveal else masked(content)
    if not reveal:
        return f"{len(body)} bytes, no JSON, or too long; --reveal prints them"
    return body[:MAX_SHOWN_CHARACTERS].decode(errors="replace")


def _mask_header(content: Any) -> Any:
    if isinstance(content, list):
        return [_mask_header(one) for one in content]
    if isinstance(content, dict):
        return {name: _mask_header(one) for name, one in content.items()}
    return mask_text(content) if isinstance(content, str) else content


def _plain(content: Any) -> str:
    if isinstance(content, datetime):
        return content.astimezone(UTC).isoformat()
    return content.decode(errors="replace") if isinstance(content, bytes) else str(content)


def _age(letter: HeldDeadLetter, now: datetime) -> str:
    """Return the time since it was dead-lettered, in its largest whole unit."""
    if letter.died_at is None:
        return "?"
    seconds = max((now - letter.died_at) // timedelta(seconds=1), 0)
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


# --- secrets: e-mail addresses and password hashes ------------------------------------------

MASK = "***"
SECRET_FIELDS = {"email", "password_hash"}
SHOWN_FIELDS = {field for kind in get_args(Command) for field in kind.model_fields}.union(
    Line.model_fields
) - SECRET_FIELDS

_SECRET = re.compile(r"[^\s\"'<>@]+@[^\s\"'<>@]+|\$argon2\S*")


def masked(value: Any) -> Any:
    """Return JSON content without its secrets.

    An unreadable command may hold a secret anywhere, so text in a field that no command has is
    masked as a whole.
    """
    if isinstance(value, dict):
        return {mask_text(name): _masked_field(name, content) for name, content in value.items()}
    if isinstance(value, list):
        return [masked(content) for content in value]
    return mask_text(value) if isinstance(value, str) else value


def mask_text(text: str) -> str:
    """Return a text without e-mail addresses and password hashes."""
    return _SECRET.sub(MASK, text)


def _masked_field(name: str, content: Any) -> Any:
    if name in SHOWN_FIELDS or isinstance(content, dict):
        return masked(content)
    if isinstance(content, list):
        return [_masked_field(name, one) for one in content]
    return MASK if isinstance(content, str) else content
