"""The way of every command through HTTP: read the request, submit the command, answer.

An endpoint of this route is a plain function from envelope, path and body to a command.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from fastapi import Request
from starlette.responses import Response

from gateway.http.direct_route import DirectRoute
from gateway.http.json_response import JsonResponse
from gateway.http.openapi import KEY_HEADER, PREFER_HEADER
from gateway.http.prefer import Preferences, read_preferences
from gateway.http.problems import RETRY_AFTER_SECONDS, ProblemError, refusal_response
from gateway.messaging.submit import BrokerUnavailableError
from gateway.server.client_disconnects import ClientDisconnectedError, ending_on_disconnect
from gateway.services import services_of
from shared.commands import Command
from shared.outcomes import Outcome, encode_outcome


@dataclass(frozen=True, slots=True)
class Creation:
    """A command that creates something, and where that will be found."""

    command: Command
    location: str


class CommandRoute(DirectRoute):
    """Turns an endpoint that makes a command into a route that submits it."""

    default_wait_seconds: ClassVar[int] = 10
    """How long the outcome is awaited where the client does not say."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **declared: Any) -> None:
        declared["openapi_extra"] = {"parameters": [KEY_HEADER, PREFER_HEADER]}
        super().__init__(path, endpoint, **declared)

    async def answer(self, request: Request, made: Command | Creation) -> Response:
        """Submit the command, and tell what became of it."""
        command = made.command if isinstance(made, Creation) else made
        preferences = read_preferences(request.headers.getlist("prefer"))
        wait_seconds = preferences.wait_or(self.default_wait_seconds)
        services = services_of(request)
        services.overload.check_command(command.command_id)
        services.in_flight.enter(command.user_id, command.command_id)
        try:
            with ending_on_disconnect(request.receive):
                decided = await services.publisher.submit(command, wait_seconds)
        except ClientDisconnectedError:
            decided = None
        except BrokerUnavailableError:
            raise ProblemError("broker_unavailable", command_id=command.command_id) from None
        finally:
            services.in_flight.leave(command.user_id)
        if decided is None:
            return pending_response(command, preferences)
        headers = _applied(preferences, answered_async=False)
        if decided.refusal is not None:
            return self.refuse(command.command_id, decided.refusal, headers)
        if isinstance(made, Creation):
            headers["Location"] = made.location
            return JsonResponse(decided.document.encode(), 201, headers)
        return JsonResponse(decided.document.encode(), 200, headers)

    def refuse(self, command_id: str, refusal: dict[str, Any], headers: dict[str, str]) -> Response:
        """Tell that the command was refused, and why."""
        return refusal_response(command_id, refusal, headers)


def pending_response(command: Command, preferences: Preferences) -> Response:
    """Say that the command is on the broker's disk, and where its outcome will be."""
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
    headers["Location"] = f"/v1/commands/{command.command_id}"
    headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return JsonResponse(encode_outcome(outcome).encode(), 202, headers)


def _applied(preferences: Preferences, *, answered_async: bool) -> dict[str, str]:
    applied = preferences.applied(answered_async=answered_async)
    return {"Preference-Applied": applied} if applied else {}
