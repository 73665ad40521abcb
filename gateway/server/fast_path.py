"""Takes the hot requests past FastAPI's router, straight to their endpoints.

FastAPI's router, its exit stacks and its dependencies cost more than half of a reservation's own
work, and a sale is a rush on a handful of routes. An endpoint here is an ordinary route's endpoint
that asks for its request alone, so both ways give the same response. Only `MetricsMiddleware` is
further in, and the fast path observes request times itself, which is cheaper than one more layer.
Whatever else is added to the app (CORS, traces) also sees the hot requests.
"""

from collections.abc import Iterable
from time import perf_counter

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.http.problems import ProblemError
from gateway.telemetry import RequestTimes


class FastPath:
    """Finds a hot route by its method and path; passes every other request on."""

    def __init__(
        self, app: ASGIApp, routes: Iterable[APIRoute], request_times: RequestTimes
    ) -> None:
        self._app = app
        self._request_times = request_times
        self._fixed: dict[tuple[str, str], APIRoute] = {}
        """By method and path."""
        self._with_id: dict[tuple[str, str], tuple[APIRoute, str]] = {}
        """By method and the path without its last segment, which is the named parameter."""
        for route in routes:
            before, _, last = route.path.rpartition("/")
            for method in route.methods or ():
                if last.startswith("{"):
                    self._with_id[method, before] = (route, last.strip("{}"))
                else:
                    self._fixed[method, route.path] = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._find(scope) if scope["type"] == "http" else None
        if route is None:
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        status = 500  # of a bug, and of a request that is cancelled
        try:
            try:
                response = await route.endpoint(Request(scope, receive))
            except ProblemError as problem:
                response = problem.response()
            status = response.status_code
            await response(scope, receive, send)
        finally:
            seconds = perf_counter() - started
            self._request_times.observe(route.path, scope["method"], status, seconds)

    def _find(self, scope: Scope) -> APIRoute | None:
        """Return the hot route of the request, and put what the router would into the scope."""
        method, path = scope["method"], scope["path"]
        path_params: dict[str, str] = {}
        route = self._fixed.get((method, path))
        if route is None:
            before, _, last = path.rpartition("/")
            found = self._with_id.get((method, before))
            if found is None or not last:
                return None
            route, name = found
            path_params[name] = last
        scope["route"] = route
        scope["path_params"] = path_params
        return route
