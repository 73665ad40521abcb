"""Routes that read requests and answer them themselves, instead of through FastAPI.

FastAPI documents such a route from its endpoint's signature; at run time the route reads what the
endpoint asks for: FastAPI's own way costs twice as much, and reads bodies less strictly.
"""

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any, get_type_hints

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from gateway.http.problems import ProblemError, invalid_request
from gateway.http.request_body import read_json


class RouteWithHead(APIRoute):
    """A route that has HEAD where it has GET (RFC 9110, section 9.3.2): the server drops bodies."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **declared: Any) -> None:
        super().__init__(path, endpoint, **declared)
        methods = self.methods or set()
        # A stream would have to come to its end first.
        if "GET" in methods and self.response_class is not StreamingResponse:
            methods.add("HEAD")


class DirectRoute(RouteWithHead):
    """A route whose endpoint asks for the request, the user, IDs in the path, or a JSON body."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **declared: Any) -> None:
        super().__init__(path, endpoint, **declared)
        asked_for = get_type_hints(endpoint, include_extras=True)
        self._endpoint_awaits = iscoroutinefunction(endpoint)
        self._takes_request = "request" in asked_for
        self._body_model = get_type_hints(endpoint).get("body")
        self._path_types = [
            (name, TypeAdapter[Any](asked_for[name])) for name in self.param_convertors
        ]
        # by_current_user and its like: they take the request.
        self._dependencies = [
            (str(each.name), each.call) for each in self.dependant.dependencies if each.call
        ]
        if self.dependant.query_params or self.dependant.header_params:
            raise TypeError(
                f"{path}: a direct route reads no query and no headers for its endpoint"
            )
        # In place of FastAPI's own, with its exit stacks for dependencies and its error handler
        # beside the app's: these routes need neither.
        self.app = self._serve

    async def respond(self, request: Request) -> Response:
        """Return the answer, a problem too. Raises only what nobody expects."""
        arguments: dict[str, Any] = {}
        try:
            for name, depend_on in self._dependencies:
                arguments[name] = await depend_on(request)
            for name, path_type in self._path_types:
                arguments[name] = _read_from_path(request, name, path_type)
            if self._takes_request:
                arguments["request"] = request
            if self._body_model is not None:
                arguments["body"] = await read_json(request, self._body_model)
            made = self.endpoint(**arguments)
            if self._endpoint_awaits:
                made = await made
            return await self.answer(request, made)
        except ProblemError as problem:
            return problem.response()

    async def answer(self, request: Request, made: Any) -> Response:
        """Turn what the endpoint made into the answer."""
        response: Response = made
        return response

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self.respond(Request(scope, receive))
        await response(scope, receive, send)


def _read_from_path(request: Request, name: str, path_type: TypeAdapter[Any]) -> Any:
    try:
        return path_type.validate_python(request.path_params[name])
    except ValidationError as error:
        raise invalid_request([{"loc": ["path", name], "msg": error.errors()[0]["msg"]}]) from None
