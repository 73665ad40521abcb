"""Says what is in dead letters: lines for people, documents for machines."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic_core import from_json

from worker.deadletters.masking import mask_text, masked
from worker.deadletters.message import DeadLetter

MAX_ERROR_CHARACTERS = 100
"""Of a line; the whole error is in `show`."""
MAX_SHOWN_CHARACTERS = 300_000
"""Of a body: more than the largest message that can be read."""


def table(letters: list[DeadLetter], now: datetime) -> Iterator[str]:
    """A line for each letter below one with the names of the columns."""
    rows = [("#", "ID", "AGE", "REASON", "COMMANDS", "ERROR")]
    for number, letter in enumerate(letters, 1):
        error = mask_text(letter.error)[:MAX_ERROR_CHARACTERS]
        rows.append((str(number), letter.id, _age(letter, now), letter.reason, letter.kinds, error))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(cells).rstrip()


def summary(letter: DeadLetter) -> dict[str, Any]:
    """What `list` tells of a letter."""
    return {
        "id": letter.id,
        "reason": letter.reason,
        "kinds": letter.kinds,
        "command_ids": letter.command_ids,
        "set_aside_at": letter.died_at.isoformat() if letter.died_at else None,
        "error": mask_text(letter.error),
        "outcome_is_recorded": letter.is_recorded,
    }


def page(letter: DeadLetter, *, reveal: bool) -> dict[str, Any]:
    """All that is known of a letter; its secrets only where they are to be revealed."""
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
        return f"{len(body)} bytes, no JSON or too much of it; --reveal shows them"
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


def _age(letter: DeadLetter, now: datetime) -> str:
    """How long it has been dead, in the largest unit that counts at least one."""
    if letter.died_at is None:
        return "?"
    seconds = max((now - letter.died_at) // timedelta(seconds=1), 0)
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
