"""Messages: how commands travel, 1 to 100 at a time, and how a malformed message is read."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from shared.bodies import Line
from shared.commands import Command, Kind, unread_fingerprint
from shared.fields import Instant
from shared.ids import CommandId, Id
from shared.strict_json import repeats_member, split_array

MAX_COMMANDS_A_MESSAGE = 100
MAX_MESSAGE_BYTES = 256 * 1024

_COMMAND: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="kind")])

Message = Annotated[
    list[Annotated[Command, Field(discriminator="kind")]],
    Field(min_length=1, max_length=MAX_COMMANDS_A_MESSAGE),
]
"""The body of a message: 1 to 100 commands."""

_MESSAGE: TypeAdapter[list[Command]] = TypeAdapter(Message)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What stood where a command should: why it is none, and what could be read of it."""

    error: str
    body: bytes
    """What was read, as an array again, so that it can be handed in again."""
    command_id: str | None = None
    kind: Kind | None = None
    submitted_at: datetime | None = None
    reason: Literal["unreadable", "not_allowed"] = "unreadable"


@dataclass(frozen=True, slots=True)
class UnreadCommand:
    """The envelope of a command that ends the process that reads all of it."""

    command_id: str
    user_id: str
    kind: Kind
    submitted_at: datetime

    def fingerprint(self) -> bytes:
        """Return 16 bytes that stand for each payload of the user."""
        return unread_fingerprint(self.user_id)


def encode_commands(commands: list[Command]) -> bytes:
    """Return the body of a message that carries `commands`."""
    return _MESSAGE.dump_json(commands)


def read_commands(body: bytes) -> list[Command | Unreadable]:
    """Read the body of a message, one entry for each command in it, in order.

    A body that is no array of 1 to 100 entries gives a single `Unreadable`. Raises nothing.
    """
    if len(body) > MAX_MESSAGE_BYTES:
        return [Unreadable(f"a message of more than {MAX_MESSAGE_BYTES} bytes", body)]
    try:
        commands = _MESSAGE.validate_json(body)
    except ValidationError:
        return list(_read_one_by_one(body))
    if repeats_member(body, sum(command.member_count() for command in commands)):
        return list(_read_one_by_one(body))
    return list(commands)


def read_unread(body: bytes) -> UnreadCommand | None:
    """Return the envelope of the only command of a message, without reading the rest.

    None unless each field of the envelope can be read, and is named once. Parses with Python's
    `json`, and validates only the fields of the envelope: what ends the parser of
    `read_commands`, or the validation of another field, does not end this.
    """
    entries = split_array(body) if len(body) <= MAX_MESSAGE_BYTES else None
    if entries is None or len(entries) != 1:
        return None
    fields = _read_envelope(entries[0], _WholeEnvelope)
    if None in fields.values() or len(fields) < len(_WholeEnvelope.model_fields):
        return None
    return UnreadCommand(**fields)


def _read_one_by_one(body: bytes) -> Iterator[Command | Unreadable]:
    """Tell the good commands of a message from the bad: a bad one affects no other."""
    entries = split_array(body)
    if entries is None or not 1 <= len(entries) <= MAX_COMMANDS_A_MESSAGE:
        yield Unreadable(_why_no_array(body), body)
        return
    for entry in entries:
        try:
            command = _COMMAND.validate_json(entry)
        except ValidationError as error:
            yield _unreadable(entry, _describe(error))
        else:
            if repeats_member(entry):
                yield _unreadable(entry, "an object names a member twice")
            else:
                yield command


def _why_no_array(body: bytes) -> str:
    try:
        from_json(body)
    except ValueError as error:
        return f"not JSON: {error}"
    return f"not an array of 1 to {MAX_COMMANDS_A_MESSAGE} commands"


def _describe(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(_sentence(problem["loc"], problem["msg"]) for problem in problems[:5])


class _Envelope(BaseModel):
    """The fields that let the sender of an unreadable command recognise it."""

    command_id: CommandId | None = None
    kind: Kind | None = None
    submitted_at: Instant | None = None


class _WholeEnvelope(_Envelope):
    """The fields without which no outcome can be recorded."""

    user_id: Id | None = None


def _unreadable(entry: bytes, error: str) -> Unreadable:
    return Unreadable(error, b"[%b]" % entry, **_read_envelope(entry))


def _read_envelope(entry: bytes, envelope: type[_Envelope] = _Envelope) -> dict[str, Any]:
    """Return the fields of the envelope that can be read, also beside others that cannot."""
    try:
        # Not pydantic's parser, which refuses an entry whole for a lone surrogate.
        members = _LENIENT.decode(entry.decode())
    except (ValueError, RecursionError):
        return {}
    known: dict[str, Any] = {}
    for name in envelope.model_fields if isinstance(members, dict) else ():
        try:
            text = json.dumps({name: members.get(name)})
            known[name] = getattr(envelope.model_validate_json(text), name)
        except (ValidationError, RecursionError):
            continue
    return known


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object without the members that it names twice: which one counts is unknown."""
    counts = Counter(name for name, _ in pairs)
    return {name: value for name, value in pairs if counts[name] == 1}


_LENIENT = json.JSONDecoder(object_pairs_hook=_unambiguous, parse_int=float)
"""Reads any number of digits: Python refuses to convert more than 4,300 to an int."""


def _sentence(location: tuple[int | str, ...], message: str) -> str:
    """Say what is wrong, and never quote: the input may hold an e-mail address or a password."""
    if not location and message.startswith("Input tag"):
        return "kind: unknown command kind"
    path = [str(step) if step in _OUR_WORDS or isinstance(step, int) else "?" for step in location]
    return f"{'.'.join(path)}: {message}" if path else message


_OUR_WORDS = {
    word
    for command in get_args(Command)
    for word in (*command.model_fields, command.model_fields["kind"].default)
} | set(Line.model_fields)
