"""Buyers at the gateways: await, poll, retry under the same key, disconnect early, poll again."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, assert_never

import httpx

from reliability.chaos.checks.record import CartCommandKind, Document, Entry, Record
from reliability.chaos.clients.rate_limiter import RateLimiter
from reliability.chaos.clients.workload import Workload

PREFERENCES = ("wait=2", "wait=2", "respond-async", None)
REQUEST_SECONDS = 8.0
RETRY_SECONDS = 0.15
GIVE_UP_SECONDS = 120.0
ACCEPTED, INVALID_REQUEST, TOO_MANY, UNAVAILABLE = 202, 422, 429, 503

DISCONNECTING_EARLY = 0.05
DISCONNECTS_AFTER_SECONDS = 0.02
REPEATED = 0.2
IN_PARALLEL = 0.03
CLICKS = 5
REUSED = 0.05
INVALID = 0.03

REUSED_CODE = '"code":"command_id_reused"'
DECIDED_REFUSALS = frozenset(
    {"ticket_type_not_found", "item_not_in_cart", "insufficient_availability", "deadline_passed"}
)
"""What a worker says to the commands that these buyers send."""


class HttpBuyer:
    """One user, at one gateway after the other."""

    def __init__(
        self,
        user_id: str,
        token: str,
        gateway_urls: Sequence[str],
        http: httpx.AsyncClient,
        workload: Workload,
        record: Record,
        rng: random.Random,
    ) -> None:
        self._user_id = user_id
        self._headers = {"Authorization": f"Bearer {token}"}
        self._urls = gateway_urls
        self._http = http
        self._workload = workload
        self._record = record
        self._rng = rng

    async def buy(self, is_open: Callable[[], bool], rate_limiter: RateLimiter) -> None:
        rng = self._rng
        while is_open():
            await rate_limiter.wait_for(1)
            kind, fields = self._workload.next_command(rng)
            entry = self._record.begin(Entry(self._user_id, kind, fields, "http"))
            if rng.random() < INVALID:
                await self._send_invalid(entry)
            elif rng.random() < IN_PARALLEL:
                await asyncio.gather(*(self._submit_until_decided(entry) for _ in range(CLICKS)))
            else:
                await self._submit_until_decided(entry)
            if entry.documents or entry.refusals:
                if rng.random() < REPEATED:
                    await self._repeat(entry)
                if rng.random() < REUSED:
                    await self._reuse(entry)

    async def _submit_until_decided(self, entry: Entry) -> None:
        """Submit until accepted, then only poll: an accepted command must not get lost."""
        give_up_at = time.monotonic() + GIVE_UP_SECONDS
        if self._rng.random() < DISCONNECTING_EARLY:
            await self._disconnect_early(entry)
        submitted = False
        while time.monotonic() < give_up_at:
            answer = await (self._poll(entry) if submitted else self._submit(entry))
            if answer is None:
                pass
            elif answer.status_code == ACCEPTED:
                submitted = entry.accepted = True
                continue
            elif self._note(entry, answer):
                return
            await asyncio.sleep(RETRY_SECONDS)
        self._record.strange.append(f"{entry.id} was never answered")

    async def _submit(self, entry: Entry, prefer: str | None = "") -> httpx.Response | None:
        if prefer == "":
            prefer = self._rng.choice(PREFERENCES)
        return await self._send(entry, entry.kind, entry.fields, prefer)

    async def _poll(self, entry: Entry) -> httpx.Response | None:
        return await self._request(
            entry, "GET", f"/v1/commands/{entry.id}", {"Prefer": "wait=2"}, None
        )

    async def _send(
        self, entry: Entry, kind: CartCommandKind, fields: Document, prefer: str | None
    ) -> httpx.Response | None:
        method, path, body = route(kind, fields)
        headers = {"Idempotency-Key": entry.id} | ({"Prefer": prefer} if prefer else {})
        answer = await self._request(entry, method, path, headers, body)
        if answer is not None:
            self._record.answered(entry, answer.status_code)
        return answer

    async def _request(
        self, entry: Entry, method: str, path: str, headers: dict[str, str], body: Any
    ) -> httpx.Response | None:
        """Send a request to any gateway; None without a response."""
        url = self._rng.choice(self._urls)
        try:
            answer = await self._http.request(
                method, f"{url}{path}", headers=self._headers | headers, json=body
            )
        except httpx.TransportError as error:
            self._record.doubt(entry, type(error).__name__)
            return None
        self._record.answers[str(answer.status_code)] += 1
        return answer

    def _note(self, entry: Entry, answer: httpx.Response) -> bool:
        """Record a response; return whether it is the outcome."""
        status = answer.status_code
        if status in (UNAVAILABLE, TOO_MANY):
            entry.unknown += 1
            if "retry-after" not in answer.headers:
                self._record.strange.append(f"{status} without Retry-After: {answer.text}")
            return False
        if answer.is_success:
            return self._note_document(entry, answer.text)
        problem = answer.json()
        if problem.get("code") in DECIDED_REFUSALS:
            entry.accepted = True
            entry.refusals.append(problem)
        else:
            self._record.strange.append(f"{status} to {entry.kind}: {answer.text}")
            entry.turned_away = status
        return True

    def _note_document(self, entry: Entry, document: str) -> bool:
        if '"status":"pending"' in document:
            return False
        self._record.hear(entry, document)
        return True

    async def _repeat(self, entry: Entry) -> None:
        """Submit a decided command again: every gateway gives the same outcome."""
        answer = await self._submit(entry, "wait=5")
        if answer is not None and answer.status_code != ACCEPTED:
            self._note(entry, answer)

    async def _reuse(self, entry: Entry) -> None:
        """Give the ID of a decided command to another payload: that changes nothing."""
        self._record.reused.add(entry.id)
        answer = await self._send(entry, *self._workload.other_payload(entry.kind), "wait=5")
        if answer is None or answer.status_code in (UNAVAILABLE, TOO_MANY, ACCEPTED):
            return
        if (
            answer.status_code != INVALID_REQUEST
            or answer.json().get("code") != "command_id_reused"
        ):
            self._record.strange.append(f"another payload under a known ID got {answer.text}")

    async def _send_invalid(self, entry: Entry) -> None:
        """Send an invalid request: its definite refusal must leave nothing behind."""
        items = [{"ticket_type_id": self._workload.ticket_type_ids[0], "quantity": 0}]
        entry.kind, entry.fields = "reserve_tickets", {"items": items}
        give_up_at = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < give_up_at:
            answer = await self._submit(entry)
            if answer is not None and answer.status_code == INVALID_REQUEST:
                entry.turned_away = answer.status_code
                return
            await asyncio.sleep(RETRY_SECONDS)
        self._record.strange.append(f"an invalid request got no {INVALID_REQUEST}")

    async def _disconnect_early(self, entry: Entry) -> None:
        """Disconnect while waiting; the command may be in flight."""
        entry.unknown += 1
        request = asyncio.ensure_future(self._submit(entry, "wait=5"))
        await asyncio.wait([request], timeout=DISCONNECTS_AFTER_SECONDS)
        request.cancel()
        await asyncio.wait([request])


def route(kind: CartCommandKind, fields: Document) -> tuple[str, str, Document | None]:
    """How a command is written over HTTP: method, path and body."""
    match kind:
        case "reserve_tickets":
            return "POST", "/v1/reservations", fields
        case "set_quantity":
            path = f"/v1/cart/items/{fields['ticket_type_id']}"
            return "PUT", path, {"quantity": fields["quantity"]}
        case "release_item":
            return "DELETE", f"/v1/cart/items/{fields['ticket_type_id']}", None
        case "release_cart":
            return "DELETE", "/v1/cart", None
        case _:
            assert_never(kind)
