"""The gateway's metrics, and the ASGI middleware that observes requests."""

from time import perf_counter
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.commands import Kind

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_COMMANDS = (1, 2, 5, 10, 20, 50, 100)


class Metrics:
    """The metrics of one app, in a registry of its own: nothing is registered at import."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Histogram(
            "holdfast_http_request_seconds",
            "How long requests took, by route template, method and status.",
            ["route", "method", "status"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.request_times = RequestTimes(self.requests)
        self.commands = Counter(
            "holdfast_commands_submitted_total",
            "Commands submitted, by kind.",
            ["kind"],
            registry=self.registry,
        )
        self.commands_of = {kind: self.commands.labels(kind) for kind in get_args(Kind)}
        self.message_commands = Histogram(
            "holdfast_message_commands",
            "Commands in a message.",
            buckets=_COMMANDS,
            registry=self.registry,
        )
        self.publish_failures = Counter(
            "holdfast_publish_failures_total",
            "Messages or commands that the broker did not confirm, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.replies = Counter(
            "holdfast_replies_total", "Replies received.", registry=self.registry
        )
        self.awaiting_reply = Gauge(
            "holdfast_awaiting_reply",
            "Commands in flight whose outcome a request awaits.",
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "holdfast_commands_in_flight",
            "Commands queued or not answered by a worker; new ones are shed at 5,000.",
            registry=self.registry,
        )
        self.awaiting_outcome = Gauge(
            "holdfast_awaiting_outcome",
            "Command IDs whose outcome is polled from the read model.",
            registry=self.registry,
        )
        self.connections_in_use = Gauge(
            "holdfast_database_connections_in_use",
            "Connections to Postgres that the pool has lent out.",
            registry=self.registry,
        )

        self.shed = Counter(
            "holdfast_requests_shed_total",
            "Requests answered 503 overloaded.",
            registry=self.registry,
        )
        self.loop_lag = Gauge(
            "holdfast_loop_lag_seconds",
            "Delay of the event loop's timers.",
            registry=self.registry,
        )

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self.registry)


class RequestTimes:
    """Observes request times; caches each histogram, whose look-up costs more than observing."""

    def __init__(self, requests: Histogram) -> None:
        self._requests = requests
        self._observers: dict[tuple[str, str, int], Histogram] = {}

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        key = (route, method, status)
        observer = self._observers.get(key)
        if observer is None:
            observer = self._observers[key] = self._requests.labels(route, method, str(status))
        observer.observe(seconds)


class MetricsMiddleware:
    """Wraps an ASGI app and observes each request's duration and status."""

    def __init__(self, app: ASGIApp, request_times: RequestTimes) -> None:
        self._app = app
        self._request_times = request_times

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        status = 500

        async def observe_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, observe_status)
        finally:
            # The template, never the path itself: a path may hold any number of IDs.
            route = getattr(scope.get("route"), "path", "unmatched")
            self._request_times.observe(route, scope["method"], status, perf_counter() - started)
