"""Reads the workers' outcome documents, and keeps their original text."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from json import JSONDecoder
from typing import Any

_json = JSONDecoder()


@dataclass(frozen=True, slots=True)
class DecidedOutcome:
    """An outcome document in the worker's own text, and the fields that the gateway needs."""

    document: str
    command_id: str | None
    submitted_at: datetime | None
    refusal: dict[str, Any] | None
    """None if the command succeeded."""


def read_reply(body: bytes) -> Iterator[DecidedOutcome]:
    """Split a reply into its outcomes: each outcome document keeps its original text.

    Raises `ValueError`, `KeyError` or `TypeError` if `body` is not an array of outcome
    documents.
    """
    text = body.decode()
    start = 1  # after the opening bracket
    while start < len(text) - 1:
        outcome, end = _json.raw_decode(text, start)
        yield _decided(text[start:end], outcome)
        start = end + 1  # after the comma, or the closing bracket


def read_document(document: str) -> DecidedOutcome:
    """Read one outcome document."""
    return _decided(document, _json.decode(document))


def _decided(document: str, outcome: dict[str, Any]) -> DecidedOutcome:
    submitted_at = outcome["submitted_at"] and datetime.fromisoformat(outcome["submitted_at"])
    return DecidedOutcome(document, outcome["command_id"], submitted_at, outcome["refusal"])
