"""Ways to have a command decided, whatever happens meanwhile: by the queue, and over HTTP."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import httpx

from reliability.chaos.checks.database import Database
from reliability.chaos.checks.record import Document
from reliability.chaos.clients.queue_client import QueueClient

REPLY_SECONDS = 1.5
RETRY_SECONDS = 0.15
GIVE_UP_SECONDS = 120.0
ACCEPTED, TOO_MANY, UNAVAILABLE = 202, 429, 503
ENVELOPE = ("kind", "command_id", "user_id", "submitted_at")


class NotDecidedError(Exception):
    """An answer that is no outcome, or none at all."""


class Delivery(Protocol):
    async def decide(self, command: Document) -> Document:
        """Return the outcome document, of a refusal at least `refusal`. Raises `NotDecidedError`.

        A command that was accepted is not sent again: it must not get lost.
        """


class ByQueue:
    def __init__(self, queue_client: QueueClient, database: Database) -> None:
        self._queue_client = queue_client
        self._database = database

    async def decide(self, command: Document) -> Document:
        id, body = command["command_id"], json.dumps([command]).encode()
        heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def hear(documents: list[str]) -> None:
            if not heard.done():
                heard.set_result(documents[0])

        give_up_at = time.monotonic() + GIVE_UP_SECONDS
        confirmed = False
        while time.monotonic() < give_up_at:
            confirmed = confirmed or await self._queue_client.publish(body, hear)
            await asyncio.wait([heard], timeout=REPLY_SECONDS if confirmed else RETRY_SECONDS)
            if heard.done():
                return dict(json.loads(heard.result()))
            documents = await self._database.documents_or_none([id])
            if id in documents:
                return dict(json.loads(documents[id]))
        raise NotDecidedError(f"{command['kind']} {id} was never decided")


class OverHttp:
    def __init__(
        self,
        token: Callable[[str], str],
        urls: Sequence[str],
        http: httpx.AsyncClient,
        rng: random.Random,
    ) -> None:
        """`token` makes one of a user."""
        self._token = token
        self._urls = urls
        self._http = http
        self._rng = rng

    async def decide(self, command: Document) -> Document:
        id = command["command_id"]
        headers = {
            "Authorization": f"Bearer {self._token(command['user_id'])}",
            "Prefer": "wait=2",
        }
        give_up_at = time.monotonic() + GIVE_UP_SECONDS
        accepted = False
        while time.monotonic() < give_up_at:
            url = self._rng.choice(self._urls)
            try:
                if accepted:
                    answer = await self._http.get(f"{url}/v1/commands/{id}", headers=headers)
                else:
                    path, body = route(command)
                    named = headers | {"Idempotency-Key": id}
                    answer = await self._http.post(f"{url}{path}", headers=named, json=body)
            except httpx.TransportError:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if answer.status_code in (TOO_MANY, UNAVAILABLE):
                await asyncio.sleep(RETRY_SECONDS)
                continue
            document = dict(answer.json())
            if answer.status_code == ACCEPTED or document.get("status") == "pending":
                accepted = True
            elif answer.is_success:
                return document
            elif "command_id" in document:
                return {"status": "refused", "refusal": document}
            else:
                raise NotDecidedError(f"{answer.status_code} to {command['kind']}: {answer.text}")
        raise NotDecidedError(f"{command['kind']} {id} was never decided")


def route(command: Document) -> tuple[str, Document]:
    """Path and body of a command over HTTP."""
    body = {name: value for name, value in command.items() if name not in ENVELOPE}
    if command["kind"] == "reserve_tickets":
        return "/v1/reservations", body
    if command["kind"] == "check_out":
        return "/v1/orders", body
    verbs = {"record_payment": "payments", "record_refund": "refunds", "cancel_order": "cancel"}
    return f"/v1/orders/{body.pop('order_id')}/{verbs[command['kind']]}", body
