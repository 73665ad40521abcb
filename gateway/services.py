"""What the routes work with, put together once for each app."""

from dataclasses import dataclass

from fastapi import FastAPI, Request
from starlette.responses import Response

from gateway.awaiting import Watch
from gateway.in_flight import CommandsInFlight
from gateway.login_throttle import LoginThrottle
from gateway.passwords import Passwords
from gateway.queries import Queries
from gateway.replies import Replies
from gateway.settings import Settings
from gateway.shared_reads import SharedReads
from gateway.submit import Publisher
from gateway.telemetry import Metrics
from gateway.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    queries: Queries
    catalogue: SharedReads[Response]
    """Pages that anybody may read, as they are sent."""
    watch: Watch
    publisher: Publisher
    in_flight: CommandsInFlight
    replies: Replies
    tokens: Tokens
    passwords: Passwords
    login_throttle: LoginThrottle
    metrics: Metrics


def services_of(request: Request) -> Services:
    """Return the services of the app that serves this request."""
    app: FastAPI = request.app
    services: Services = app.state.services
    return services
