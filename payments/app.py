"""The payments process as an ASGI app: payment pages for orders, the provider's reports, health."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from payments.demo.adapter import DemoProvider
from payments.engine import Engine, EngineUnavailableError, amount_due
from payments.provider import NotPayableError, Provider, ProviderUnavailableError, Session
from payments.request_body import read_body
from payments.settings import Settings
from payments.stripe.adapter import StripeCheckout
from payments.telemetry import SESSIONS
from shared.ids import Id
from shared.orders import Order

STATUSES = {
    "order_not_found": HTTPStatus.NOT_FOUND,
    "order_not_pending": HTTPStatus.CONFLICT,
    "payment_overdue": HTTPStatus.CONFLICT,
    "no_online_payment": HTTPStatus.CONFLICT,
}

_log = logging.getLogger(__name__)


class _SessionRequest(BaseModel):
    order_id: Id


def create_app(settings: Settings) -> Starlette:
    """Put the process together; it connects when it is started."""
    engine = Engine(settings.gateway_url, *settings.account)
    provider = create_provider(settings, engine)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(engine.stay_logged_in())] if provider else []
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if provider:
            await provider.close()
        await engine.close()

    return Starlette(
        routes=[
            *service_routes(engine, provider),
            *session_routes(engine, provider),
            *(provider.routes if provider else ()),
        ],
        lifespan=lifespan,
    )


def create_provider(settings: Settings, engine: Engine) -> Provider | None:
    """Return the provider that the settings switch on; None where they switch on none."""
    if settings.has_stripe:
        return StripeCheckout(settings, engine)
    if settings.demo_payments:
        _log.warning("demo payments are on: orders are marked as paid, and no money moves")
        return DemoProvider(settings, engine)
    return None


def session_routes(engine: Engine, provider: Provider | None) -> list[Route]:
    """Return the routes for the gateway. They name an order and trust nothing else of a caller."""

    async def describe(request: Request) -> Response:
        if provider is None:
            return JSONResponse({"provider": None, "is_real": False, "payment_agent_id": None})
        if engine.agent_id is None:
            return _unavailable()
        return JSONResponse(
            {
                "provider": provider.name,
                "is_real": provider.is_real,
                "payment_agent_id": engine.agent_id,
            }
        )

    async def open_for(order_id: str) -> Session:
        if provider is None:
            raise NotPayableError("no_online_payment")
        return await provider.open_session(payable(await engine.order(order_id)))

    async def open_session(request: Request) -> Response:
        try:
            wanted = _SessionRequest.model_validate_json(await read_body(request))
        except ValidationError:
            return JSONResponse({"code": "invalid_request"}, HTTPStatus.UNPROCESSABLE_ENTITY)
        try:
            session = await open_for(wanted.order_id)
        except NotPayableError as error:
            SESSIONS.labels(error.reason).inc()
            problem = {"code": error.reason, "order_status": error.order_status}
            return JSONResponse(problem, STATUSES[error.reason])
        except (EngineUnavailableError, ProviderUnavailableError) as error:
            SESSIONS.labels("unavailable").inc()
            _log.warning("no payment page for order %s: %s", wanted.order_id, error)
            return _unavailable()
        SESSIONS.labels("opened").inc()
        expires_at = session.expires_at.isoformat() if session.expires_at else None
        return JSONResponse({"url": session.url, "expires_at": expires_at})

    return [Route("/provider", describe), Route("/sessions", open_session, methods=["POST"])]


def payable(order: Order | None) -> Order:
    """Return an order for which a payment page may be opened. Raises `NotPayableError`."""
    if order is None:
        raise NotPayableError("order_not_found")
    if order.status != "pending_payment" or not amount_due(order):
        raise NotPayableError("order_not_pending", order.status)
    if order.pay_by <= datetime.now(UTC):
        raise NotPayableError("payment_overdue")
    return order


def service_routes(engine: Engine, provider: Provider | None) -> list[Route]:
    """Return `/health/live`, `/health/ready` and `/metrics`."""

    async def live(request: Request) -> Response:
        return _json({"status": "live"})

    async def ready(request: Request) -> Response:
        if provider is not None and not engine.is_logged_in:
            return _json({"status": "not_ready"}, HTTPStatus.SERVICE_UNAVAILABLE)
        return _json({"status": "ready"})

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    routes: list[tuple[str, Callable[[Request], Any]]] = [
        ("/health/live", live),
        ("/health/ready", ready),
        ("/metrics", metrics),
    ]
    return [Route(path, endpoint) for path, endpoint in routes]


def _json(document: dict[str, str], status: HTTPStatus = HTTPStatus.OK) -> Response:
    return JSONResponse(document, status, {"Cache-Control": "no-store"})


def _unavailable() -> Response:
    return JSONResponse({"code": "payments_unavailable"}, HTTPStatus.SERVICE_UNAVAILABLE)
