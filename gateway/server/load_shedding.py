"""Middleware that answers 503 `overloaded` to the requests that `Overload` refuses.

uvicorn's `limit_concurrency` is no substitute: it counts idle connections too, refuses every path,
even the outcomes of accepted commands, and sends neither a problem document nor `Retry-After`.
"""

import asyncio
import time

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.http.problems import ProblemError
from gateway.server.overload import RETRY_AFTER_CHOICES_SECONDS, Overload

MAX_PAUSE_SECONDS = 5.0
"""The longest delay of a refusal. Refusals are delayed if clients retry sooner than Retry-After
says and the process has no time to refuse each of them at once."""
MIN_PAUSE_SECONDS = 0.02
"""A shorter pause is skipped: its timer would cost more than it saves."""


class LoadSheddingMiddleware:
    """Refuses requests under overload; counts the others while they are in progress."""

    def __init__(self, app: ASGIApp, overload: Overload) -> None:
        self._app = app
        self._overload = overload
        self._next_refusal_at = 0.0
        self._refusals = {
            seconds: ProblemError("overloaded", headers={"Retry-After": str(seconds)}).response()
            for seconds in RETRY_AFTER_CHOICES_SECONDS
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        overload = self._overload
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif overload.refuses_request(scope["method"], scope["path"]):
            refusal = self._refusals[overload.count_refusal()]
            pause_seconds = self._take_turn(time.monotonic())
            if pause_seconds > MIN_PAUSE_SECONDS:
                await asyncio.sleep(pause_seconds)
            await refusal(scope, receive, send)
        else:
            overload.in_progress += 1
            try:
                await self._app(scope, receive, send)
            finally:
                overload.in_progress -= 1

    def _take_turn(self, now: float) -> float:
        """Return how many seconds the next refusal has to wait."""
        seconds_each = 1 / self._overload.refusals_per_second
        self._next_refusal_at = max(self._next_refusal_at, now) + seconds_each
        # The bound keeps the number of delayed refusals finite.
        self._next_refusal_at = min(self._next_refusal_at, now + MAX_PAUSE_SECONDS)
        return self._next_refusal_at - now
