"""Wires the gateway into an ASGI app: services, routes, middleware and exception handlers."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sqlalchemy import QueuePool
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Match, Route
from starlette.staticfiles import StaticFiles

from gateway.http.problems import ProblemError, invalid_request
from gateway.identity.authentication import client_of
from gateway.identity.login_throttle import LoginThrottle
from gateway.identity.passwords import Passwords
from gateway.identity.tokens import Tokens
from gateway.identity.user_loader import UserLoader
from gateway.messaging.broker_connection import keep_connected
from gateway.messaging.publisher import Publisher
from gateway.messaging.replies import Replies
from gateway.messaging.user_limit import MAX_WAITS_PER_USER, UserLimit
from gateway.openapi_document import DESCRIPTION, TAGS, DescribedApi
from gateway.outcome_document import DecidedOutcome
from gateway.payment_provider import PaymentProvider
from gateway.read_model.outcome_poller import OutcomePoller
from gateway.read_model.queries import Queries, create_engine
from gateway.read_model.single_flight import SingleFlight
from gateway.routes import (
    accounts,
    cart,
    catalogue,
    commands,
    event_list,
    order_pages,
    orders,
    payments,
    service,
)
from gateway.server.cross_origin import allow_origins
from gateway.server.fast_path import FastPath
from gateway.server.load_shedding import LoadSheddingMiddleware
from gateway.server.overload import Overload
from gateway.server.request_heads import RequestHeadMiddleware
from gateway.services import Services
from gateway.settings import Settings
from gateway.telemetry import Metrics, MetricsMiddleware

ROUTERS = (
    cart.router,
    commands.router,
    event_list.router,
    catalogue.router,
    orders.router,
    order_pages.router,
    accounts.router,
    payments.router,
    service.router,
)
HOT_ENDPOINTS = (
    cart.reserve_tickets,
    cart.set_quantity,
    cart.release_item,
    cart.release_cart,
    cart.read_cart,
    commands.read_command,
    catalogue.read_event,
)
"""The endpoints that are called most during a sale: they take the fast path."""


def create_app(settings: Settings) -> FastAPI:
    """Create the app; it connects when it is started."""
    engine = create_engine(settings.read_database_url or settings.database_url)
    services = create_services(settings, engine)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with connected(services):
            yield
        await engine.dispose()

    app = DescribedApi(
        title="Holdfast",
        version="0.1.0",
        description=DESCRIPTION,
        openapi_tags=TAGS,
        lifespan=lifespan,
        redirect_slashes=False,
        # FastAPI's pages load scripts from another host.
        docs_url=None,
        redoc_url=None,
        # Our metrics are at /metrics; FastAPI's would read the environment at every request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.services = services
    # Before FastAPI's own, and not by include_router, which matches each request twice.
    routes = [route for router in ROUTERS for route in router.routes]
    app.router.routes[:0] = routes
    app.mount(service.STATIC_PATH, StaticFiles(directory=service.STATIC_DIRECTORY))
    add_head(routes)
    add_middleware(app, services)
    if settings.cors_origins:
        allow_origins(app, settings.cors_origins)
    register_exception_handlers(app)
    return app


def add_middleware(app: FastAPI, services: Services) -> None:
    """Add the middleware from the innermost to the outermost."""
    hot = [route for route in app.routes if getattr(route, "endpoint", None) in HOT_ENDPOINTS]
    request_times = services.metrics.request_times
    app.add_middleware(MetricsMiddleware, request_times=request_times)
    app.add_middleware(FastPath, routes=cast("list[APIRoute]", hot), request_times=request_times)
    app.add_middleware(RequestHeadMiddleware)
    app.add_middleware(LoadSheddingMiddleware, overload=services.overload, client_of=client_of)


def add_head(routes: Iterable[BaseRoute]) -> None:
    """Answer HEAD on every route with GET (RFC 9110, section 9.3.2); uvicorn drops the bodies."""
    for route in routes:
        # HEAD on a stream would be answered only after the stream has ended.
        if not isinstance(route, APIRoute) or route.response_class is StreamingResponse:
            continue
        if route.methods and "GET" in route.methods:
            route.methods.add("HEAD")


def create_services(settings: Settings, engine: AsyncEngine) -> Services:
    """Wire the services to each other."""
    metrics = Metrics()
    metrics.connections_in_use.set_function(cast("QueuePool", engine.pool).checkedout)
    queries = Queries(engine)
    outcome_poller = OutcomePoller(queries.outcomes, metrics)

    def on_reply(correlation_id: str, answers: list[DecidedOutcome]) -> None:
        metrics.replies.inc()
        publisher.on_reply(correlation_id, answers)
        outcome_poller.notify(answer.command_id for answer in answers)

    replies = Replies(on_reply, lambda: publisher.on_replies_lost())
    publisher = Publisher(replies.queue_name, outcome_poller, metrics)
    return Services(
        settings=settings,
        queries=queries,
        catalogue=SingleFlight(),
        outcome_poller=outcome_poller,
        user_waits=UserLimit(MAX_WAITS_PER_USER, "too_many_waits"),
        publisher=publisher,
        overload=Overload(
            metrics,
            in_flight=lambda: publisher.in_flight,
            idle=lambda: outcome_poller.idle,
        ),
        replies=replies,
        tokens=Tokens(
            settings.jwt_secret, UserLoader(queries.users).find, settings.jwt_accepted_secrets
        ),
        passwords=Passwords(settings.jwt_secret),
        login_throttle=LoginThrottle(settings.wrong_passwords_per_address),
        payment_provider=PaymentProvider(settings.payments_url),
        metrics=metrics,
    )


@asynccontextmanager
async def connected(services: Services) -> AsyncIterator[None]:
    """Keep two connections to the broker, for commands and for replies, during the context.

    Returns before they are up; `/health/ready` reports whether they are.
    """
    broker_url = services.settings.broker_url
    links = [
        asyncio.create_task(keep_connected(broker_url, "holdfast-replies", services.replies.serve)),
        asyncio.create_task(
            keep_connected(broker_url, "holdfast-gateway", services.publisher.serve)
        ),
    ]
    services.overload.start()
    try:
        yield
    finally:
        services.overload.stop()
        services.outcome_poller.close()
        await services.publisher.drain()
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)
        services.passwords.close()
        await services.payment_provider.close()


def register_exception_handlers(app: FastAPI) -> None:
    """Answer each failure with a problem document."""

    @app.exception_handler(ProblemError)
    async def problem(request: Request, error: ProblemError) -> Response:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return invalid_request(error.errors()).response()

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        match error.status_code:
            case 404:
                return ProblemError("not_found").response()
            case 405:
                # Starlette names the methods of the first route only; RFC 9110 asks for all.
                allow = {"Allow": allowed(request)}
                return ProblemError("method_not_allowed", headers=allow).response()
            case _:
                return ProblemError("invalid_request", errors=[]).response()

    # Starlette raises the error again after the response, so that uvicorn logs the traceback.
    @app.exception_handler(Exception)
    async def internal(request: Request, error: Exception) -> Response:
        return ProblemError("internal").response()


def allowed(request: Request) -> str:
    """Return the methods that the path of the request has."""
    scope = {**request.scope, "method": ""}
    methods = [
        method
        for route in request.app.routes
        if isinstance(route, Route) and route.matches(scope)[0] != Match.NONE
        for method in route.methods or ()
    ]
    return ", ".join(sorted(methods))
