"""Messages: how commands travel, 1 to 100 at a time, and how a message is read when it is bad."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from shared.commands import Command, Kind, Line
from shared.fields import Instant
from shared.ids import CommandId

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


def encode_commands(commands: list[Command]) -> bytes:
    """Return the body of a message that carries `commands`."""
    return _MESSAGE.dump_json(commands)


def read_commands(body: bytes) -> list[Command | Unreadable]:
    """Read the body of a message, one entry for each command in it, in order.

    A body that is no array of 1 to 100 entries gives a single `Unreadable`.
    """
    if len(body) > MAX_MESSAGE_BYTES:
        return [Unreadable(f"a message of more than {MAX_MESSAGE_BYTES} bytes", body)]
    try:
        return list(_MESSAGE.validate_json(body))
    except ValidationError:
        return list(_read_one_by_one(body))


def _read_one_by_one(body: bytes) -> Iterator[Command | Unreadable]:
    """Tell the good commands of a message from the bad: one bad one spoils only itself."""
    try:
        entries = from_json(body)
    except ValueError as error:
        yield Unreadable(f"not JSON: {error}", body)
        return
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_COMMANDS_A_MESSAGE:
        yield Unreadable(f"not an array of 1 to {MAX_COMMANDS_A_MESSAGE} commands", body)
        return
    for entry in entries:
        try:
            yield _COMMAND.validate_json(to_json(entry))
        except ValidationError as error:
            yield _unreadable(entry, error)


class _Envelope(BaseModel):
    """The fields that let the sender of an unreadable command recognise it."""

    command_id: CommandId | None = None
    kind: Kind | None = None
    submitted_at: Instant | None = None


def _unreadable(entry: Any, error: ValidationError) -> Unreadable:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    text = "; ".join(_sentence(problem["loc"], problem["msg"]) for problem in problems[:5])
    known: dict[str, Any] = {}
    if isinstance(entry, dict):
        for name in _Envelope.model_fields:
            try:
                readable = _Envelope.model_validate_json(to_json({name: entry.get(name)}))
            except ValidationError:
                continue
            known[name] = getattr(readable, name)
    return Unreadable(text, to_json([entry]), **known)


def _sentence(location: tuple[int | str, ...], message: str) -> str:
    """Say what is wrong, and never quote: the input may hold an e-mail address or a password."""
    if not location and message.startswith("Input tag"):
        return "kind: is not that of a command"
    path = [str(step) if step in _OUR_WORDS or isinstance(step, int) else "?" for step in location]
    return f"{'.'.join(path)}: {message}" if path else message


_OUR_WORDS = {
    word
    for command in get_args(Command)
    for word in (*command.model_fields, command.model_fields["kind"].default)
} | set(Line.model_fields)
