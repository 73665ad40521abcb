"""Buyers at the gateways: await, poll, retry under the same key, leave early, and look again."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, assert_never

import httpx

from reliability.chaos.pace import Pace
from reliability.chaos.record import CartCommandKind, Document, Entry, Record
from reliability.chaos.shop import Shop

PREFERENCES = ("wait=2", "wait=2", "respond-async", None)
REQUEST_SECONDS = 8.0
RETRY_SECONDS = 0.15
GIVE_UP_SECONDS = 120.0
ACCEPTED, INVALID_REQUEST, TOO_MANY, UNAVAILABLE = 202, 422, 429, 503

LEAVING_EARLY = 0.05
LEAVES_AFTER_SECONDS = 0.02
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
        shop: Shop,
        record: Record,
        chance: random.Random,
    ) -> None:
        self._user_id = user_id
        self._headers = {"Authorization": f"Bearer {token}"}
        self._urls = gateway_urls
        self._http = http
        self._shop = shop
        self._record = record
        self._chance = chance

    async def buy(self, is_open: Callable[[], bool], pace: Pace) -> None:
        chance = self._chance
        while is_open():
            await pace.wait_for(1)
            kind, fields = self._shop.wish(chance)
            entry = self._record.begin(Entry(self._user_id, kind, fields, "http"))
            if chance.random() < INVALID:
                await self._ask_for_nothing(entry)
            elif chance.random() < IN_PARALLEL:
                await asyncio.gather(*(self._carry_through(entry) for _ in range(CLICKS)))
            else:
                await self._carry_through(entry)
            if entry.documents or entry.refusals:
                if chance.random() < REPEATED:
                    await self._repeat(entry)
                if chance.random() < REUSED:
                    await self._reuse(entry)

    async def _carry_through(self, entry: Entry) -> None:
        """Hand in until it is accepted, then only look: it must not get lost."""
        give_up_at = time.monotonic() + GIVE_UP_SECONDS
        if self._chance.random() < LEAVING_EARLY:
            await self._leave_early(entry)
        handed_in = False
        while time.monotonic() < give_up_at:
            answer = await (self._look(entry) if handed_in else self._hand_in(entry))
            if answer is None:
                pass
            elif answer.status_code == ACCEPTED:
                handed_in = entry.accepted = True
                continue
            elif self._note(entry, answer):
                return
            await asyncio.sleep(RETRY_SECONDS)
        self._record.strange.append(f"{entry.id} was never answered")

    async def _hand_in(self, entry: Entry, prefer: str | None = "") -> httpx.Response | None:
        if prefer == "":
            prefer = self._chance.choice(PREFERENCES)
        return await self._send(entry, entry.kind, entry.fields, prefer)

    async def _look(self, entry: Entry) -> httpx.Response | None:
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
        """Ask any gateway; None where there is no answer."""
        url = self._chance.choice(self._urls)
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
        """Write an answer down; tell whether it says what became of the command."""
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
        """Hand a decided command in again: whoever is asked tells the same."""
        answer = await self._hand_in(entry, "wait=5")
        if answer is not None and answer.status_code != ACCEPTED:
            self._note(entry, answer)

    async def _reuse(self, entry: Entry) -> None:
        """Give the ID of a decided command to another payload: that changes nothing."""
        self._record.reused.add(entry.id)
        answer = await self._send(entry, *self._shop.other_payload(entry.kind), "wait=5")
        if answer is None or answer.status_code in (UNAVAILABLE, TOO_MANY, ACCEPTED):
            return
        if (
            answer.status_code != INVALID_REQUEST
            or answer.json().get("code") != "command_id_reused"
        ):
            self._record.strange.append(f"another payload under a known ID got {answer.text}")

    async def _ask_for_nothing(self, entry: Entry) -> None:
        """A request that is invalid: a definite no, which must leave nothing behind."""
        items = [{"ticket_type_id": self._shop.ticket_type_ids[0], "quantity": 0}]
        entry.kind, entry.fields = "reserve_tickets", {"items": items}
        give_up_at = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < give_up_at:
            answer = await self._hand_in(entry)
            if answer is not None and answer.status_code == INVALID_REQUEST:
                entry.turned_away = answer.status_code
                return
            await asyncio.sleep(RETRY_SECONDS)
        self._record.strange.append(f"an invalid request got no {INVALID_REQUEST}")

    async def _leave_early(self, entry: Entry) -> None:
        """Hang up while waiting; the command may be on its way."""
        entry.unknown += 1
        request = asyncio.ensure_future(self._hand_in(entry, "wait=5"))
        await asyncio.wait([request], timeout=LEAVES_AFTER_SECONDS)
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
