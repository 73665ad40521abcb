"""The services that the routes use, created once for each app."""

from dataclasses import dataclass

from fastapi import Request
from starlette.responses import Response

from gateway.identity.login_throttle import LoginThrottle
from gateway.identity.passwords import Passwords
from gateway.identity.tokens import Tokens
from gateway.messaging.publisher import Publisher
from gateway.messaging.replies import Replies
from gateway.messaging.user_limit import UserLimit
from gateway.payment_provider import PaymentProvider
from gateway.read_model.outcome_poller import OutcomePoller
from gateway.read_model.queries import Queries
from gateway.read_model.single_flight import SingleFlight
from gateway.server.overload import Overload
from gateway.settings import Settings
from gateway.telemetry import Metrics


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    queries: Queries
    catalogue: SingleFlight[Response]
    """Responses of public pages."""
    outcome_poller: OutcomePoller
    user_waits: UserLimit
    """Counts streams and long polls."""
    publisher: Publisher
    overload: Overload
    replies: Replies
    tokens: Tokens
    passwords: Passwords
    login_throttle: LoginThrottle
    payment_provider: PaymentProvider
    metrics: Metrics


def services_of(request: Request) -> Services:
    """Return the services of the app that serves this request."""
    services: Services = request.scope["app"].state.services
    return services
