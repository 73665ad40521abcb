"""The documentation page, health and metrics."""

import asyncio
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from prometheus_client import CONTENT_TYPE_LATEST

from gateway.http.json_response import JsonResponse
from gateway.http.openapi import problem_responses
from gateway.http.problems import ProblemError
from gateway.services import Services, services_of

PING_TIMEOUT_SECONDS = 2
STATIC_PATH = "/static"
STATIC_DIRECTORY = Path(__file__).parents[1] / "static"
SWAGGER_UI = f"{STATIC_PATH}/swagger-ui"

router = APIRouter(tags=["service"])
WELL = JsonResponse(b'{"status":"ok"}')


@router.get("/docs", include_in_schema=False)
async def documentation(request: Request) -> Response:
    """Swagger UI, from files of this process: it works without the internet."""
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="Holdfast",
        swagger_js_url=f"{SWAGGER_UI}/swagger-ui-bundle.js",
        swagger_css_url=f"{SWAGGER_UI}/swagger-ui.css",
        swagger_favicon_url=f"{SWAGGER_UI}/favicon-32x32.png",
    )


@router.get("/health/live", summary="Does the process run?", response_model=dict[str, str])
async def live() -> Response:
    return WELL


@router.get(
    "/health/ready",
    summary="Can it serve?",
    response_model=dict[str, str],
    responses=problem_responses("not_ready"),
)
async def ready(request: Request) -> Response:
    """Whether Postgres answers and the broker is connected; else a 503 that names what is not."""
    services = services_of(request)
    failing = [
        *([] if await _database_answers(services) else ["postgres"]),
        *([] if services.publisher.connected else ["broker"]),
        *([] if services.replies.connected else ["replies"]),
    ]
    if failing:
        raise ProblemError("not_ready", f"Not available: {', '.join(failing)}.", failing=failing)
    return WELL


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    return Response(services_of(request).metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


async def _database_answers(services: Services) -> bool:
    try:
        async with asyncio.timeout(PING_TIMEOUT_SECONDS):
            await services.queries.ping()
    except (ProblemError, TimeoutError):
        return False
    return True
