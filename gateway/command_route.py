"""The way of every command through HTTP: read the request, submit the command, answer.

An endpoint of this route is a plain function from envelope, path and body to a command. FastAPI
documents it from its signature; at run time the route itself reads what the endpoint asks for,
because FastAPI's own way costs twice as much and reads bodies less strictly.
"""

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, ClassVar, get_type_hints

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.envelope import Envelope
from gateway.openapi import KEY_HEADER, PREFER_HEADER
from gateway.prefer import Preferences, read_preferences
from gateway.problems import (
    RETRY_AFTER_SECONDS,
    ProblemError,
    invalid_request,
    refusal_response,
)
from gateway.request_body import read_json
from gateway.services import services_of
from gateway.submit import BrokerUnavailableError
from shared.commands import Command
from shared.ids import Id
from shared.outcomes import Outcome, encode_outcome

ReadEnvelope = Callable[[Request], Awaitable[Envelope]]
_ID: TypeAdapter[str] = TypeAdapter(Id)


@dataclass(frozen=True, slots=True)
class Creation:
    """A command that creates something, and where that will be found."""

    command: Command
    location: str


class CommandRoute(APIRoute):
    """Turns an endpoint that makes a command into a route that submits it."""

    default_wait_seconds: ClassVar[int] = 10
    """How long the outcome is awaited where the client does not say."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **declared: Any) -> None:
        declared["openapi_extra"] = {"parameters": [KEY_HEADER, PREFER_HEADER]}
        super().__init__(path, endpoint, **declared)
        handle = self.get_route_handler()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            response = await handle(Request(scope, receive))
            await response(scope, receive, send)

        # In place of FastAPI's own, with its exit stacks for dependencies and its error handler
        # beside the app's: a command needs neither.
        self.app = app

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        endpoint = self.endpoint
        takes = get_type_hints(endpoint)
        body_model = takes.get("body")
        read_envelope: ReadEnvelope = self.dependant.dependencies[0].call  # type: ignore[assignment]  # declared so
        path_names = tuple(self.param_convertors)

        async def handle(request: Request) -> Response:
            arguments: dict[str, Any] = {"envelope": await read_envelope(request)}
            for name in path_names:
                arguments[name] = _path_id(request, name)
            if "request" in takes:
                arguments["request"] = request
            if body_model is not None:
                arguments["body"] = await read_json(request, body_model)
            made = endpoint(**arguments)
            if isawaitable(made):
                made = await made
            return await self._submit(request, made)

        return handle

    async def _submit(self, request: Request, made: Command | Creation) -> Response:
        command = made.command if isinstance(made, Creation) else made
        preferences = read_preferences(request.headers.getlist("prefer"))
        wait_seconds = preferences.wait_or(self.default_wait_seconds)
        try:
            decided = await services_of(request).publisher.submit(command, wait_seconds)
        except BrokerUnavailableError:
            raise ProblemError("broker_unavailable", command_id=command.command_id) from None
        if decided is None:
            return pending_response(command, preferences)
        headers = _applied(preferences, answered_async=False)
        if decided.refusal is not None:
            return refusal_response(command.command_id, decided.refusal, headers)
        if isinstance(made, Creation):
            headers["Location"] = made.location
            return Response(decided.document, 201, headers, "application/json")
        return Response(decided.document, 200, headers, "application/json")


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
    return Response(encode_outcome(outcome), 202, headers, "application/json")


def _applied(preferences: Preferences, *, answered_async: bool) -> dict[str, str]:
    applied = preferences.applied(answered_async=answered_async)
    return {"Preference-Applied": applied} if applied else {}


def _path_id(request: Request, name: str) -> str:
    try:
        return _ID.validate_python(request.path_params[name])
    except ValidationError as error:
        raise invalid_request([{"loc": ["path", name], "msg": error.errors()[0]["msg"]}]) from None
