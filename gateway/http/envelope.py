"""What every command carries beside what it asks for: who asks, when, and under which ID."""

import time
from datetime import UTC, datetime
from typing import Annotated, NotRequired, TypedDict

from fastapi import Depends, Request

from gateway.http.problems import ProblemError
from gateway.identity.authentication import ShowsAuthorize
from gateway.services import services_of
from gateway.settings import Settings
from shared.ids import MAX_AHEAD_SECONDS, is_uuid7, new_id, unix_ms


class Envelope(TypedDict):
    command_id: str
    user_id: str
    submitted_at: datetime
    deadline: NotRequired[datetime]


async def by_current_user(request: Request, _: ShowsAuthorize = None) -> Envelope:
    """Address a command as that of the user whose token the request bears.

    Raises `unauthenticated`, `invalid_command_id` or `stale_command`.
    """
    services = services_of(request)
    user_id = await services.tokens.user_of(request.headers.get("authorization"))
    command_id = _command_id(request, services.settings)
    return Envelope(command_id=command_id, user_id=user_id, submitted_at=datetime.now(UTC))


async def by_buyer(request: Request, _: ShowsAuthorize = None) -> Envelope:
    """Address a command that takes tickets: who has long given up waiting must not get them.

    Raises what `by_current_user` does.
    """
    envelope = await by_current_user(request)
    services = services_of(request)
    envelope["deadline"] = envelope["submitted_at"] + services.settings.command_deadline
    return envelope


async def by_new_user(request: Request) -> Envelope:
    """Address a command as that of a user to be: the ID of the command becomes the user's.

    Raises `invalid_command_id` or `stale_command`.
    """
    command_id = _command_id(request, services_of(request).settings)
    return Envelope(command_id=command_id, user_id=command_id, submitted_at=datetime.now(UTC))


ByCurrentUser = Annotated[Envelope, Depends(by_current_user)]
ByBuyer = Annotated[Envelope, Depends(by_buyer)]
ByNewUser = Annotated[Envelope, Depends(by_new_user)]


def read_command_id(text: str) -> str:
    """Return a command ID in canonical form.

    Raises `invalid_command_id` for what is no UUIDv7 or lies ahead of the clock.
    """
    if not is_uuid7(text) or _age_seconds(text) < -MAX_AHEAD_SECONDS:
        raise ProblemError("invalid_command_id")
    return text.lower()


def is_stale(command_id: str, window_seconds: int) -> bool:
    """Tell whether the ID is too old to be accepted still."""
    return _age_seconds(command_id) > window_seconds


def _command_id(request: Request, settings: Settings) -> str:
    """Return the ID that the Idempotency-Key header gives the command, or a fresh one."""
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return new_id()
    if len(keys) > 1:
        raise ProblemError("invalid_command_id", "A request carries one command, and one key.")
    # draft-ietf-httpapi-idempotency-key-header: a string of structured fields is in quotes.
    command_id = read_command_id(keys[0].removeprefix('"').removesuffix('"'))
    if is_stale(command_id, settings.command_window_seconds):
        raise ProblemError("stale_command", command_id=command_id)
    return command_id


def _age_seconds(command_id: str) -> float:
    return time.time() - unix_ms(command_id) / 1_000
