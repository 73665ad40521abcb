"""Reads the entries of a message, as the tests of reading need them."""

import json
from typing import Any

from shared.commands import Command
from shared.messages import Unreadable, encode_commands, read_commands
from tests.contracts.examples import COMMANDS

SALT, HASH = "A" * 22, "A" * 43
CANARY = "canary ann@example.com hunter2"
"""Text that no error may quote."""


def body_of(kind: str) -> dict[str, Any]:
    (body,) = json.loads(encode_commands([COMMANDS[kind]]))
    return body


def read(*entries: Any) -> list[Command | Unreadable]:
    return read_commands(json.dumps(entries).encode())


def error_of(entry: Any) -> str:
    (unreadable,) = read(entry)
    assert isinstance(unreadable, Unreadable), unreadable
    return unreadable.error


def label(value: Any) -> str:
    return repr(value)[:40]
