"""A client for single HTTP requests, used before and after a run."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import urlencode

from loadtest.http.connection import HttpConnection, Target, request
from loadtest.queue.client import PreparationError

ANSWER_SECONDS = 40.0
TRIES = 5
RETRY_SECONDS = 1.0
_UNAVAILABLE = 503


class HttpClient:
    """A connection to the gateway for the preparation and the checks of a run."""

    def __init__(self, url: str) -> None:
        try:
            self._target = Target(url)
        except ValueError as error:
            raise PreparationError(str(error)) from None
        self._url = url
        self._connection: HttpConnection
        self._answer: asyncio.Future[tuple[int, bytes]]

    async def get(self, path: str) -> Any:
        """Return the JSON at `path`. Raises `PreparationError` as all of these do."""
        return await self._ask("GET", path, {}, b"")

    async def outcome(self, command_id: str, token: str) -> Any:
        """Await and return the outcome of a command."""
        headers = {"Prefer": "wait=30"} | _bearer(token)
        return await self._ask("GET", f"/v1/commands/{command_id}", headers, b"")

    async def post(self, path: str, body: Mapping[str, Any], token: str | None = None) -> Any:
        """Return the result of a command that must succeed."""
        headers = {"Content-Type": "application/json", "Prefer": "wait=30"} | _bearer(token)
        outcome = await self._ask("POST", path, headers, json.dumps(body).encode())
        if outcome["status"] != "succeeded":
            raise PreparationError(f"{path} is still {outcome['status']}. Does a worker run?")
        return outcome["result"]

    async def log_in(self, email: str, password: str) -> str:
        """Return a token."""
        form = urlencode({"username": email, "password": password}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await self._ask("POST", "/v1/tokens", headers, form)
        return str(answer["access_token"])

    async def __aenter__(self) -> Self:
        await self._connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._connection.abort()

    async def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        text = request(self._target, method, path, headers, body)
        for _ in range(TRIES):
            status, answer = await self._exchange(text)
            if status < 300:
                return json.loads(answer)
            if status != _UNAVAILABLE:
                break
            await asyncio.sleep(RETRY_SECONDS)
        raise PreparationError(f"{method} {path} was answered {status}: {answer[:300].decode()}")

    async def _exchange(self, text: bytes) -> tuple[int, bytes]:
        if not self._connection.is_open:
            await self._connect()
        self._answer = asyncio.get_running_loop().create_future()
        self._connection.send(text)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._answer
        except TimeoutError:
            raise PreparationError(
                f"{self._url} did not answer within {ANSWER_SECONDS:g} s."
            ) from None

    async def _connect(self) -> None:
        self._connection = HttpConnection(self._on_answer, self._on_lost)
        try:
            await self._connection.open(self._target)
        except (OSError, TimeoutError) as error:
            raise PreparationError(f"No gateway at {self._url}: {error or 'no answer'}.") from None

    def _on_answer(self, status: int, body: bytes) -> None:
        if not self._answer.done():
            self._answer.set_result((status, body))

    def _on_lost(self, reason: str) -> None:
        if not self._answer.done():
            self._answer.set_exception(
                PreparationError(f"{self._url} closed the connection ({reason}).")
            )


def _bearer(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}
