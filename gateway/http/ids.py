"""Reads the IDs that a request carries in its path and its Idempotency-Key."""

import re
import time

from fastapi import Request
from pydantic import TypeAdapter, ValidationError

from gateway.http.problems import ProblemError, invalid_request
from shared.commands import FINGERPRINT_BYTES, Command
from shared.ids import MAX_AHEAD_SECONDS, Id, is_uuid7, new_id, unix_ms

_ID = TypeAdapter[str](Id)
_FINGERPRINT = re.compile(f"[0-9a-f]{{{2 * FINGERPRINT_BYTES}}}")


def read_id(request: Request, name: str) -> str:
    """Return the path parameter `name`, which must be a UUID. Raises `invalid_request`."""
    try:
        return _ID.validate_python(request.path_params[name])
    except ValidationError as error:
        raise invalid_request([{"loc": ["path", name], "msg": error.errors()[0]["msg"]}]) from None


def read_command_id(text: str) -> str:
    """Return a command ID in canonical form.

    Raises `invalid_command_id` if it is not a UUIDv7, or its time is in the future.
    """
    if not is_uuid7(text) or _age_seconds(text) < -MAX_AHEAD_SECONDS:
        raise ProblemError("invalid_command_id")
    return text.lower()


def read_idempotency_key(request: Request, window_seconds: int) -> str:
    """Return the command ID of the Idempotency-Key header, or a new one without it.

    Raises `invalid_command_id`, or `stale_command` if the ID is older than the window.
    """
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return new_id()
    if len(keys) > 1:
        raise ProblemError("invalid_command_id", "Idempotency-Key must occur once.")
    # draft-ietf-httpapi-idempotency-key-header: the value is a quoted string.
    command_id = read_command_id(keys[0].removeprefix('"').removesuffix('"'))
    if is_stale(command_id, window_seconds):
        raise ProblemError("stale_command", command_id=command_id)
    return command_id


def submission_id(command: Command) -> str:
    """Return the ID of this submission: it differs for another command under the same ID."""
    return f"{command.command_id}.{command.fingerprint().hex()}"


def read_submission_id(text: str) -> tuple[str, bytes | None]:
    """Return the command ID and the fingerprint, or None without one.

    Raises `invalid_command_id`.
    """
    command_id, separator, digits = text.partition(".")
    if separator and not _FINGERPRINT.fullmatch(digits):
        raise ProblemError("invalid_command_id")
    return read_command_id(command_id), bytes.fromhex(digits) if separator else None


def is_stale(command_id: str, window_seconds: int) -> bool:
    """Return whether the ID is too old to be accepted."""
    return _age_seconds(command_id) > window_seconds


def _age_seconds(command_id: str) -> float:
    return time.time() - unix_ms(command_id) / 1_000
