"""Lets pages of other origins use the gateway from a browser (Fetch standard, CORS)."""

from collections.abc import Sequence

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "Last-Event-ID",
    "Prefer",
)
RESPONSE_HEADERS = ("ETag", "Location", "Preference-Applied", "Retry-After", "WWW-Authenticate")


def allow_origins(app: FastAPI, origins: Sequence[str]) -> None:
    """Let scripts of these origins (`*`: of all) call the app and read every answer.

    Middleware that is added with `add_middleware` does not see the answer to an unhandled error,
    which Starlette makes outside of it. A script could not read that answer.
    """
    build = app.build_middleware_stack

    def build_with_cors() -> ASGIApp:
        return CORSMiddleware(
            build(),
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=RESPONSE_HEADERS,
        )

    app.build_middleware_stack = build_with_cors  # type: ignore[method-assign]  # Starlette has no hook for it
