"""Clients of a deployment: users that send requests through any of its gateways."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import jwt

from shared.messages import MAX_COMMANDS_A_MESSAGE
from tests.deployment import JWT_SECRET, Deployment, Process
from tests.system.amqp import Document, Queue, command

PASSWORD = "correct horse battery staple"
SOME_HASH = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$" + "A" * 43
LOOK_EVERY_SECONDS = 0.02

Answer = TypeVar("Answer")


async def eventually(
    ask: Callable[[], Awaitable[Answer]], good: Callable[[Answer], bool], within_seconds: float
) -> Answer:
    """Repeat the request until the answer is good; else fail with the last answer."""
    give_up_at = time.monotonic() + within_seconds
    while not good(answer := await ask()):
        assert time.monotonic() < give_up_at, f"after {within_seconds} s still {answer!r}"
        await asyncio.sleep(LOOK_EVERY_SECONDS)
    return answer


async def is_live(process: Process, http: httpx.AsyncClient) -> bool:
    """Tell whether it answers at all, ready or not."""
    try:
        return (await http.get(f"{process.url}/health/live")).status_code == 200
    except httpx.TransportError:
        return False


def fresh_email() -> str:
    return f"someone-{uuid4().hex[:12]}@example.org"


def from_now(**duration: float) -> str:
    """Return the RFC 3339 text of a time relative to now."""
    return (datetime.now(UTC) + timedelta(**duration)).isoformat()


CART_ITEM = ("ticket_type_id", "event_id", "quantity")


@dataclass(frozen=True)
class Person:
    """A user with a token. `via` is the number of the gateway that gets a request."""

    http: httpx.AsyncClient
    deployment: Deployment
    id: str
    email: str
    token: str

    async def ask(
        self,
        method: str,
        path: str,
        *,
        via: int = 0,
        key: str | None = None,
        prefer: str | None = None,
        **request: Any,
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        if prefer is not None:
            headers["Prefer"] = prefer
        url = f"{self.deployment.gateways[via].url}/v1{path}"
        headers |= request.pop("headers", {})
        return await self.http.request(method, url, headers=headers, **request)

    async def get(self, path: str, **how: Any) -> httpx.Response:
        return await self.ask("GET", path, **how)

    async def reserve(
        self, ticket_type_id: str, quantity: int = 1, *, prefer: str | None = "wait=10", **how: Any
    ) -> httpx.Response:
        return await self.reserve_all([(ticket_type_id, quantity)], prefer=prefer, **how)

    async def reserve_all(
        self, lines: list[tuple[str, int]], *, prefer: str | None = "wait=10", **how: Any
    ) -> httpx.Response:
        items = [{"ticket_type_id": id, "quantity": quantity} for id, quantity in lines]
        return await self.ask("POST", "/reservations", json={"items": items}, prefer=prefer, **how)

    async def set(
        self, ticket_type_id: str, quantity: int, *, prefer: str | None = "wait=10", **how: Any
    ) -> httpx.Response:
        body = {"quantity": quantity}
        path = f"/cart/items/{ticket_type_id}"
        return await self.ask("PUT", path, json=body, prefer=prefer, **how)

    async def release(
        self, ticket_type_id: str | None = None, *, prefer: str | None = "wait=10", **how: Any
    ) -> httpx.Response:
        """Release one line of the cart, or all of it."""
        path = "/cart" if ticket_type_id is None else f"/cart/items/{ticket_type_id}"
        return await self.ask("DELETE", path, prefer=prefer, **how)

    async def extend(self, *, prefer: str | None = "wait=10", **how: Any) -> httpx.Response:
        return await self.ask("POST", "/cart/extend", prefer=prefer, **how)

    async def cart_page(self, *, via: int = 0) -> Document:
        response = await self.get("/cart", via=via)
        assert response.status_code == 200, response.text
        cart: Document = response.json()
        return cart

    async def cart(self, *, via: int = 0) -> Document:
        """The cart as an outcome has it: without names and prices."""
        page = await self.cart_page(via=via)
        items = [{name: item[name] for name in CART_ITEM} for item in page["items"]]
        return page | {"items": items}

    async def holds(self, *, via: int = 0) -> dict[str, int]:
        """What the cart holds, by ticket type."""
        items = (await self.cart(via=via))["items"]
        return {item["ticket_type_id"]: item["quantity"] for item in items}

    async def poll(self, command_id: str, **how: Any) -> Document:
        """The outcome document, as it is now."""
        response = await self.get(f"/commands/{command_id}", **how)
        assert response.status_code == 200, response.text
        outcome: Document = response.json()
        return outcome

    async def outcome(self, command_id: str, **how: Any) -> Document:
        """The outcome document, once the command is decided."""
        outcome = await self.poll(command_id, prefer="wait=20", **how)
        assert outcome["status"] != "pending"
        return outcome

    async def event(self, **fields: Any) -> Document:
        """Create an event, as its organizer."""
        body = {
            "name": "A concert",
            "starts_at": from_now(days=30),
            "ends_at": from_now(days=30, hours=3),
            **fields,
        }
        response = await self.ask("POST", "/events", json=body, prefer="wait=10")
        assert response.status_code == 201, response.text
        event: Document = response.json()["result"]["event"]
        return event

    async def ticket_type(self, event_id: str, total: int = 10, **fields: Any) -> Document:
        """Put tickets on sale, as the organizer."""
        body = {
            "name": "Standing",
            "total_quantity": total,
            "sale_starts_at": from_now(hours=-1),
            "sale_ends_at": from_now(days=29),
            **fields,
        }
        path = f"/events/{event_id}/ticket-types"
        response = await self.ask("POST", path, json=body, prefer="wait=10")
        assert response.status_code == 201, response.text
        ticket_type: Document = response.json()["result"]["ticket_type"]
        return ticket_type

    async def sale(self, total: int = 10) -> str:
        """Put tickets of a new event on sale and return the ticket type's ID."""
        ticket_type = await self.ticket_type((await self.event())["id"], total)
        return str(ticket_type["id"])

    async def change(self, ticket_type_id: str, **fields: Any) -> httpx.Response:
        path = f"/ticket-types/{ticket_type_id}"
        return await self.ask("PATCH", path, json=fields, prefer="wait=10")

    async def change_event(self, event_id: str, **fields: Any) -> httpx.Response:
        return await self.ask("PATCH", f"/events/{event_id}", json=fields, prefer="wait=10")

    async def close(self, event_id: str, how: str) -> httpx.Response:
        """`cancel` or `end` an event."""
        return await self.ask("POST", f"/events/{event_id}/{how}", prefer="wait=10")


class Site:
    """A deployment and its users."""

    def __init__(self, deployment: Deployment, http: httpx.AsyncClient) -> None:
        self.deployment = deployment
        self.http = http
        self._claims: Document | None = None
        self._organizer: Person | None = None

    @property
    def urls(self) -> list[str]:
        return [gateway.url for gateway in self.deployment.gateways]

    async def register(
        self, email: str, password: str = PASSWORD, **headers: str
    ) -> httpx.Response:
        body = {"email": email, "password": password}
        url = f"{self.deployment.url}/v1/users"
        return await self.http.post(url, json=body, headers={"Prefer": "wait=10", **headers})

    async def log_in(self, email: str, password: str = PASSWORD) -> httpx.Response:
        form = {"username": email, "password": password}
        return await self.http.post(f"{self.deployment.url}/v1/tokens", data=form)

    async def newcomer(self) -> Person:
        """Return a new user that has registered and logged in over HTTP."""
        email = fresh_email()
        registered = await self.register(email)
        assert registered.status_code == 201, registered.text
        logged_in = await self.log_in(email)
        assert logged_in.status_code == 200, logged_in.text
        user_id = registered.json()["result"]["user"]["id"]
        token = logged_in.json()["access_token"]
        return Person(self.http, self.deployment, user_id, email, token)

    async def organizer(self) -> Person:
        """One organizer for all tests of this site."""
        if self._organizer is None:
            self._organizer = await self.newcomer()
        return self._organizer

    async def token_for(self, user_id: str, **claims: Any) -> str:
        """A token like those that the gateway gives, without the time it takes to check a password.

        It carries what a real one carries; only the subject, and what `claims` says, differs.
        A claim of None is left out.
        """
        if self._claims is None:
            real = (await self.organizer()).token
            self._claims = jwt.decode(real, options={"verify_signature": False})
        all_claims = self._claims | {"sub": user_id} | claims
        present = {name: value for name, value in all_claims.items() if value is not None}
        return jwt.encode(present, JWT_SECRET, "HS256")

    async def person(self, queue: Queue) -> Person:
        return (await self.people(1, queue))[0]

    async def people(self, number: int, queue: Queue) -> list[Person]:
        """Return many users at once, registered over the queue, where no password is hashed."""
        commands = [
            command("register_user", str(uuid4()), email=fresh_email(), password_hash=SOME_HASH)
            for _ in range(number)
        ]
        for start in range(0, number, MAX_COMMANDS_A_MESSAGE):
            for outcome in await queue.decide(*commands[start : start + MAX_COMMANDS_A_MESSAGE]):
                assert outcome["status"] == "succeeded", outcome
        return [
            Person(
                self.http,
                self.deployment,
                each["user_id"],
                each["email"],
                await self.token_for(each["user_id"]),
            )
            for each in commands
        ]


def refused(response: httpx.Response, status: int, code: str) -> Document:
    """Check that an answer is this problem; return its members beyond the standard ones."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: Document = response.json()
    assert problem.pop("status") == status
    assert problem.pop("code") == code
    assert all(problem.pop(member) for member in ("type", "title", "detail"))
    return problem


def succeeded(response: httpx.Response, status: int = 200) -> Document:
    """Check that an answer is the outcome of a command that succeeded; return the result."""
    assert response.status_code == status, response.text
    outcome: Document = response.json()
    assert outcome["status"] == "succeeded"
    assert outcome["refusal"] is None
    result: Document = outcome["result"]
    return result


async def read_event(site: Site, event_id: str, via: int = 0) -> Document:
    answer = await site.http.get(f"{site.urls[via]}/v1/events/{event_id}")
    assert answer.status_code == 200, answer.text
    page: Document = answer.json()
    return page
