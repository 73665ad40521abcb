"""Answers 503 `overloaded`, before a request is read, where `Overload` refuses it.

uvicorn's `limit_concurrency` counts idle connections too, refuses whatever comes, the outcomes of
accepted commands included, and sends neither a problem document nor `Retry-After`.
"""

import asyncio
import time

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.http.problems import ProblemError
from gateway.server.overload import RETRY_AFTER_SECONDS, Overload

MAX_PAUSE_SECONDS = 5.0
"""How late a refusal is at most, where clients retry sooner than Retry-After says and the process
has no time left to refuse each of them at once."""
UNNOTICED_SECONDS = 0.02
"""A pause below this is not made: its timer would cost more than it spares."""


class LoadSheddingMiddleware:
    """Refuses requests that are too much; counts the others while they are in progress."""

    def __init__(self, app: ASGIApp, overload: Overload) -> None:
        self._app = app
        self._overload = overload
        self._next_refusal_at = 0.0
        self._refusals = {
            seconds: ProblemError("overloaded", headers={"Retry-After": str(seconds)}).response()
            for seconds in RETRY_AFTER_SECONDS
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        overload = self._overload
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif overload.refuses_request(scope["method"], scope["path"]):
            refusal = self._refusals[overload.count_refusal()]
            pause_seconds = self._take_turn(time.monotonic())
            if pause_seconds > UNNOTICED_SECONDS:
                await asyncio.sleep(pause_seconds)
            await refusal(scope, receive, send)
        else:
            overload.in_progress += 1
            try:
                await self._app(scope, receive, send)
            finally:
                overload.in_progress -= 1

    def _take_turn(self, now: float) -> float:
        """Return how many seconds the next refusal has to wait for its turn."""
        seconds_each = 1 / self._overload.refusals_per_second
        self._next_refusal_at = max(self._next_refusal_at, now) + seconds_each
        # A turn further away than the longest pause would only grow: what is paused is bounded.
        self._next_refusal_at = min(self._next_refusal_at, now + MAX_PAUSE_SECONDS)
        return self._next_refusal_at - now
