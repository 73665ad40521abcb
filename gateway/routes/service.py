"""The routes of the service itself: root, documentation, health and metrics."""

import asyncio
import re
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import RedirectResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic_core import to_json

from gateway.http.json_response import NO_STORE, JsonResponse
from gateway.http.openapi import problem_responses
from gateway.http.problems import ProblemError
from gateway.services import Services, services_of

PING_TIMEOUT_SECONDS = 2
STATIC_PATH = "/static"
STATIC_DIRECTORY = Path(__file__).parents[1] / "static"
SWAGGER_UI = f"{STATIC_PATH}/swagger-ui"
DOCUMENTATION = "/docs"
OPENAPI = "/openapi.json"
_REFUSED = re.compile(r"q\s*=\s*0(\.0*)?")
"""A weight of 0 means that the media range is not acceptable."""

router = APIRouter(tags=["service"])
OK = JsonResponse(b'{"status":"ok"}')


@router.get("/", include_in_schema=False)
async def read_root(request: Request) -> Response:
    """Redirect to the documentation; give a client that accepts only JSON the links as JSON."""
    headers = {"Cache-Control": NO_STORE, "Vary": "Accept"}
    if not _accepts_only_json(request.headers.getlist("accept")):
        return RedirectResponse(DOCUMENTATION, headers=headers)
    document = {
        "name": request.app.title,
        "version": request.app.version,
        "documentation": DOCUMENTATION,
        "openapi": OPENAPI,
    }
    return JsonResponse(to_json(document), headers={"Vary": "Accept"})


@router.get(DOCUMENTATION, include_in_schema=False)
async def documentation(request: Request) -> Response:
    """Swagger UI, served from local files: it works without internet access."""
    page = get_swagger_ui_html(
        openapi_url=OPENAPI,
        title="Holdfast",
        swagger_js_url=f"{SWAGGER_UI}/swagger-ui-bundle.js",
        swagger_css_url=f"{SWAGGER_UI}/swagger-ui.css",
        swagger_favicon_url=f"{SWAGGER_UI}/favicon-32x32.png",
    )
    page.headers["Cache-Control"] = NO_STORE
    return page


@router.get("/health/live", summary="Liveness", response_model=dict[str, str])
async def live() -> Response:
    return OK


@router.get(
    "/health/ready",
    summary="Readiness",
    response_model=dict[str, str],
    responses=problem_responses("not_ready"),
)
async def ready(request: Request) -> Response:
    """200 if Postgres responds and the broker is connected; else a 503 that lists what fails."""
    services = services_of(request)
    failing = [
        *([] if await _database_answers(services) else ["postgres"]),
        *([] if services.publisher.connected else ["broker"]),
        *([] if services.replies.connected else ["replies"]),
    ]
    if failing:
        raise ProblemError("not_ready", f"Not available: {', '.join(failing)}.", failing=failing)
    return OK


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    exposition = services_of(request).metrics.exposition()
    return Response(exposition, headers={"Cache-Control": NO_STORE}, media_type=CONTENT_TYPE_LATEST)


def _accepts_only_json(accept: list[str]) -> bool:
    """Return whether Accept (RFC 9110, section 12.5.1) allows JSON and not HTML."""
    takes: dict[str, bool] = {}
    for media_range in ",".join(accept).lower().split(","):
        name, *parameters = (part.strip() for part in media_range.split(";"))
        takes[name] = not any(_REFUSED.fullmatch(parameter) for parameter in parameters)

    def taken(*ranges: str) -> bool:
        return next((takes[name] for name in ranges if name in takes), False)

    return taken("application/json", "application/*", "*/*") and not taken(
        "text/html", "text/*", "*/*"
    )


async def _database_answers(services: Services) -> bool:
    try:
        async with asyncio.timeout(PING_TIMEOUT_SECONDS):
            await services.queries.ping()
    except (ProblemError, TimeoutError):
        return False
    return True
