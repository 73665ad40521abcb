"""Submits the command of a request, and makes the HTTP response from its outcome."""

from fastapi import Request
from starlette.responses import Response

from gateway.http.ids import submission_id
from gateway.http.json_response import JsonResponse
from gateway.http.prefer import Preferences, read_preferences
from gateway.http.problems import DEFAULT_RETRY_AFTER_SECONDS, ProblemError, refusal_problem
from gateway.messaging.publisher import BrokerUnavailableError
from gateway.outcome_document import DecidedOutcome
from gateway.server.client_disconnects import ClientDisconnectedError, ending_on_disconnect
from gateway.services import services_of
from shared.commands import Command
from shared.outcomes import Outcome, encode_outcome

DEFAULT_WAIT_SECONDS = 10
"""How long the outcome is awaited if neither the client nor the route says."""


async def submit(
    request: Request,
    command: Command,
    *,
    wait_seconds: int = DEFAULT_WAIT_SECONDS,
    location: str | None = None,
) -> Response:
    """Submit the command; respond 200 or 201 with its outcome, or 202 while it is undecided.

    The Prefer header overrides `wait_seconds`. `location` is the URL of the resource that the
    command creates; with it, success is a 201. Raises `ProblemError` for a refusal, and if the
    command was not accepted: `overloaded`, `too_many_commands`, `broker_unavailable`.
    """
    preferences = read_preferences(request.headers.getlist("prefer"))
    decided = await _submit_and_wait(request, command, preferences.wait_or(wait_seconds))
    if decided is None:
        is_key_given = "idempotency-key" in request.headers
        return pending_response(command, preferences, is_key_given=is_key_given)
    headers = _applied(preferences, answered_async=False)
    if decided.refusal is not None:
        raise refusal_problem(command.command_id, decided.refusal, headers)
    if location is not None:
        headers["Location"] = location
    return JsonResponse(decided.document.encode(), 201 if location else 200, headers)


async def _submit_and_wait(
    request: Request, command: Command, wait_seconds: float
) -> DecidedOutcome | None:
    services = services_of(request)
    services.overload.check_command(command.command_id)
    try:
        # A departed client is noticed when the poll begins: a watch from the start costs too much.
        watch = ending_on_disconnect(request.receive)
        return await services.publisher.submit(command, wait_seconds, watch)
    except ClientDisconnectedError:
        return None
    except BrokerUnavailableError:
        raise ProblemError("broker_unavailable", command_id=command.command_id) from None


def pending_response(command: Command, preferences: Preferences, *, is_key_given: bool) -> Response:
    """Return the 202: the command is on the broker's disk, and `Location` has the outcome's URL.

    A key from the client may be in use by another command. So the Location then contains the
    fingerprint too, and no client takes the other command's outcome for its own.
    """
    outcome = Outcome(
        command_id=command.command_id,
        kind=command.kind,
        status="pending",
        submitted_at=command.submitted_at,
        decided_at=None,
        result=None,
        refusal=None,
    )
    headers = _applied(preferences, answered_async=True)
    submission = submission_id(command) if is_key_given else command.command_id
    headers["Location"] = f"/v1/commands/{submission}"
    headers["Retry-After"] = str(DEFAULT_RETRY_AFTER_SECONDS)
    return JsonResponse(encode_outcome(outcome).encode(), 202, headers)


def _applied(preferences: Preferences, *, answered_async: bool) -> dict[str, str]:
    applied = preferences.applied(answered_async=answered_async)
    return {"Preference-Applied": applied} if applied else {}
