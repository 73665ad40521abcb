"""Middleware that answers 503 `overloaded` to the requests that `Overload` refuses.

uvicorn's `limit_concurrency` is no substitute: it counts idle connections too, refuses every path,
even the outcomes of accepted commands, and sends neither a problem document nor `Retry-After`.
"""

import asyncio
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.http.problems import ProblemError
from gateway.server.overload import RETRY_AFTER_CHOICES_SECONDS, Overload
from gateway.server.retry_times import RetryTimes

MAX_PAUSE_SECONDS = 5.0
"""The longest delay of a refusal. A refusal is delayed if its client retries sooner than
`Retry-After` told it and the process has no time to refuse each such client at once."""
MIN_PAUSE_SECONDS = 0.02
"""A shorter pause is skipped: its timer would cost more than it saves."""


class LoadSheddingMiddleware:
    """Refuses requests under overload; counts the others while they are in progress."""

    def __init__(self, app: ASGIApp, overload: Overload, client_of: Callable[[Scope], str]) -> None:
        """`client_of` returns what identifies the client of a request."""
        self._app = app
        self._overload = overload
        self._client_of = client_of
        self._retry_times = RetryTimes()
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
            client = self._client_of(scope)
            await self._delay_if_early(client, time.monotonic())
            retry_after_seconds = overload.count_refusal()
            self._retry_times.tell(client, time.monotonic() + retry_after_seconds)
            await self._refusals[retry_after_seconds](scope, receive, send)
        else:
            overload.in_progress += 1
            try:
                await self._app(scope, receive, send)
            finally:
                overload.in_progress -= 1

    async def _delay_if_early(self, client: str, now: float) -> None:
        if self._retry_times.is_early(client, now):
            pause_seconds = self._take_turn(now)
            if pause_seconds > MIN_PAUSE_SECONDS:
                await asyncio.sleep(pause_seconds)

    def _take_turn(self, now: float) -> float:
        """Return how many seconds the next delayed refusal has to wait."""
        seconds_each = 1 / self._overload.refusals_per_second
        self._next_refusal_at = max(self._next_refusal_at, now) + seconds_each
        # The bound keeps the number of delayed refusals finite.
        self._next_refusal_at = min(self._next_refusal_at, now + MAX_PAUSE_SECONDS)
        return self._next_refusal_at - now
