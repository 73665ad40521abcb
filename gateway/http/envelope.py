"""Makes the envelope of a command: its ID, user, time of submission and deadline."""

from datetime import UTC, datetime
from typing import NotRequired, TypedDict

from fastapi import Request

from gateway.http.ids import read_idempotency_key
from gateway.identity.authentication import command_sender
from gateway.services import services_of


class Envelope(TypedDict):
    command_id: str
    user_id: str
    submitted_at: datetime
    deadline: NotRequired[datetime]


async def command_envelope(request: Request, *, with_deadline: bool = False) -> Envelope:
    """Return the envelope of a command by the user whose token the request bears.

    A command that takes tickets has a deadline, so that a client that has given up does not get
    them. Raises `unauthenticated`, `invalid_command_id` or `stale_command`.
    """
    user_id = command_sender(request)
    settings = services_of(request).settings
    command_id = read_idempotency_key(request, settings.command_window_seconds)
    now = datetime.now(UTC)
    envelope = Envelope(command_id=command_id, user_id=user_id, submitted_at=now)
    if with_deadline:
        envelope["deadline"] = now + settings.command_deadline
    return envelope


def new_user_envelope(request: Request) -> Envelope:
    """Return the envelope of a registration: the command's ID becomes the ID of the new user.

    Raises `invalid_command_id` or `stale_command`.
    """
    window_seconds = services_of(request).settings.command_window_seconds
    command_id = read_idempotency_key(request, window_seconds)
    return Envelope(command_id=command_id, user_id=command_id, submitted_at=datetime.now(UTC))
