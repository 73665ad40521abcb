"""Authorization: every route of the app with every kind of caller."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from starlette.routing import Route

from gateway.app import create_app
from gateway.routes.service import STATIC_PATH
from shared.ids import new_id
from tests.gateway.http.test_openapi import SETTINGS
from tests.system.amqp import Document, Queue
from tests.system.clients import PASSWORD, Person, Site, fresh_email, from_now

CALLERS = ("anonymous", "expired", "gone", "other", "owner", "organizer")
"""No token; an expired one; one of a user that does not exist; another user; the owner of the cart
and the command; the organizer of the event."""
NOBODY = ("anonymous", "expired", "gone")
HELD = 2


@dataclass
class World:
    """An event of the organizer, with tickets in the owner's cart; the owner's order of another."""

    site: Site
    people: dict[str, Person]
    event_id: str
    ticket_type_id: str
    command_id: str
    order: Document

    @property
    def order_id(self) -> str:
        return str(self.order["id"])

    async def ask(self, caller: str, method: str, path: str, how: dict[str, Any]) -> httpx.Response:
        # A command is awaited; the outcome of another user's command never arrives.
        wait_seconds = 1 if method == "GET" else 10
        headers = how.pop("headers", {}) | {"Prefer": f"wait={wait_seconds}"}
        if caller in self.people:
            headers["Authorization"] = f"Bearer {self.people[caller].token}"
        url = self.site.urls[0] + path
        async with self.site.http.stream(method, url, headers=headers, **how) as response:
            if response.headers.get("content-type", "").startswith("text/event-stream"):
                response._content = await anext(response.aiter_bytes())  # a stream may be long
            else:
                await response.aread()
        return response

    async def is_as_it_was(self) -> bool:
        event = await self.people["organizer"].get(f"/events/{self.event_id}")
        ticket_types = event.json()["ticket_types"]
        return (
            event.json()["status"] == "active"
            and event.json()["name"] == "A concert"
            and [each["name"] for each in ticket_types] == ["Standing"]
            and await self.people["owner"].holds() == {self.ticket_type_id: HELD}
            and (await self.people["owner"].get(f"/orders/{self.order_id}")).json() == self.order
        )


Ask = Callable[[World], tuple[str, dict[str, Any]]]
Answer = tuple[int, str]
"""The status, and text that the body must contain: a problem's code, or a word of the resource."""


@dataclass
class Row:
    """How to request a route, and the answer that each caller gets."""

    ask: Ask
    answers: dict[str, Answer]
    may_change: bool = False
    """Whether a caller without a right to the resource may still change something of their own."""


def everybody(status: int, shown: str = "") -> dict[str, Answer]:
    return dict.fromkeys(CALLERS, (status, shown))


def users(
    others: Answer, owner: Answer | None = None, organizer: Answer | None = None
) -> dict[str, Answer]:
    """Return the answers to a command; the worker finds that a user is gone."""
    return dict.fromkeys(NOBODY, (401, "unauthenticated")) | {
        "gone": (401, "user_not_found"),
        "other": others,
        "owner": owner or others,
        "organizer": organizer or others,
    }


def readers(others: Answer, owner: Answer | None = None) -> dict[str, Answer]:
    """Return the answers to a read; the gateway finds that a user is gone."""
    return users(others, owner) | {"gone": (401, "unauthenticated")}


def organizers(status: int, shown: str) -> dict[str, Answer]:
    return users((403, "not_the_organizer"), organizer=(status, shown))


def at(path: str, **how: Any) -> Ask:
    return lambda world: (path.format(**vars(world), order_id=world.order_id), dict(how))


def registration(_: World) -> tuple[str, dict[str, Any]]:
    return "/v1/users", {"json": {"email": fresh_email(), "password": PASSWORD}}


def login(world: World) -> tuple[str, dict[str, Any]]:
    form = {"username": world.people["organizer"].email, "password": PASSWORD}
    return "/v1/tokens", {"data": form}


def reservation(world: World) -> tuple[str, dict[str, Any]]:
    items = [{"ticket_type_id": world.ticket_type_id, "quantity": 1}]
    return "/v1/reservations", {"json": {"items": items}}


def check_out(world: World) -> tuple[str, dict[str, Any]]:
    return "/v1/orders", {"json": {"event_id": world.event_id}}


def releases(world: World) -> tuple[str, dict[str, Any]]:
    items = [{"ticket_type_id": world.ticket_type_id, "quantity": 1}]
    return f"/v1/orders/{world.order_id}/releases", {"json": {"items": items}}


PAYMENT = {"payment_id": "pi_1", "amount": 100, "currency": "EUR"}
NEW_EVENT = {
    "name": "Another concert",
    "starts_at": from_now(days=30),
    "ends_at": from_now(days=31),
}
NEW_TICKET_TYPE = {
    "name": "Seated",
    "total_quantity": 5,
    "sale_starts_at": from_now(hours=-1),
    "sale_ends_at": from_now(days=29),
}
MATRIX = {
    "POST /v1/users": Row(registration, everybody(201, "register_user")),
    "POST /v1/tokens": Row(login, everybody(200, "access_token")),
    "GET /v1/me": Row(at("/v1/me"), readers((200, "email"))),
    "POST /v1/events": Row(at("/v1/events", json=NEW_EVENT), users((201, "Another concert"))),
    "PATCH /v1/events/{event_id}": Row(
        at("/v1/events/{event_id}", json={"name": "A match"}), organizers(200, "A match")
    ),
    "POST /v1/events/{event_id}/cancel": Row(
        at("/v1/events/{event_id}/cancel"), organizers(200, "cancelled")
    ),
    "POST /v1/events/{event_id}/end": Row(
        at("/v1/events/{event_id}/end"), organizers(200, "ended")
    ),
    "GET /v1/events": Row(at("/v1/events"), everybody(200, "items")),
    "GET /v1/events/{event_id}": Row(at("/v1/events/{event_id}"), everybody(200, "Standing")),
    "POST /v1/events/{event_id}/ticket-types": Row(
        at("/v1/events/{event_id}/ticket-types", json=NEW_TICKET_TYPE), organizers(201, "Seated")
    ),
    "PATCH /v1/ticket-types/{ticket_type_id}": Row(
        at("/v1/ticket-types/{ticket_type_id}", json={"name": "Seated"}), organizers(200, "Seated")
    ),
    "POST /v1/reservations": Row(reservation, users((200, "cart")), may_change=True),
    # A cart is always the caller's own: no route can name another's.
    "PUT /v1/cart/items/{ticket_type_id}": Row(
        at("/v1/cart/items/{ticket_type_id}", json={"quantity": 1}), users((200, "cart"))
    ),
    "DELETE /v1/cart/items/{ticket_type_id}": Row(
        at("/v1/cart/items/{ticket_type_id}"),
        users((404, "item_not_in_cart"), owner=(200, "cart")),
    ),
    "DELETE /v1/cart": Row(at("/v1/cart"), users((200, "empty"))),
    "POST /v1/cart/extend": Row(
        at("/v1/cart/extend"),
        # The cart was just opened: a little later it can be held a little longer.
        users((409, "cart_empty"), owner=(200, "cart")),
    ),
    "GET /v1/cart": Row(at("/v1/cart"), readers((200, "empty"), owner=(200, "expires_at"))),
    "POST /v1/orders": Row(
        check_out, users((409, "nothing_to_check_out"), owner=(201, "check_out"))
    ),
    "POST /v1/orders/{order_id}/payments": Row(
        at("/v1/orders/{order_id}/payments", json=PAYMENT),
        users((404, "order_not_found"), (403, "not_the_payment_agent"), (201, "accepted")),
    ),
    "POST /v1/orders/{order_id}/refunds": Row(
        at("/v1/orders/{order_id}/refunds", json={"refund_id": "re_1", "amount": 1}),
        users((404, "order_not_found"), (403, "not_the_payment_agent"), (409, "more_than_due")),
    ),
    "POST /v1/orders/{order_id}/releases": Row(
        releases,
        users((404, "order_not_found"), (403, "not_the_organizer"), (409, "order_not_paid")),
    ),
    "POST /v1/orders/{order_id}/cancel": Row(
        at("/v1/orders/{order_id}/cancel"),
        users((404, "order_not_found"), (200, "cancelled"), (409, "order_not_pending")),
    ),
    "POST /v1/orders/{order_id}/extend": Row(
        at("/v1/orders/{order_id}/extend", json={"pay_by": from_now(days=1)}),
        users((404, "order_not_found"), (403, "not_the_organizer"), (200, "pay_by")),
    ),
    "GET /v1/orders": Row(at("/v1/orders"), readers((200, "items"), owner=(200, "EUR"))),
    "GET /v1/orders/{order_id}": Row(
        at("/v1/orders/{order_id}"),
        readers((404, "order_not_found"), (200, "EUR")) | {"organizer": (200, "EUR")},
    ),
    "GET /v1/events/{event_id}/orders": Row(
        at("/v1/events/{event_id}/orders"),
        readers((403, "not_the_organizer")) | {"organizer": (200, "items")},
    ),
    "GET /v1/payment-provider": Row(at("/v1/payment-provider"), everybody(200, "payment_agent_id")),
    # This site has no payment provider; tests/system/test_payments.py has one.
    "POST /v1/orders/{order_id}/payment-session": Row(
        at("/v1/orders/{order_id}/payment-session"),
        readers((404, "order_not_found"), (409, "no_online_payment")),
    ),
    "GET /v1/commands/{command_id}": Row(
        at("/v1/commands/{command_id}"), readers((200, "pending"), owner=(200, "succeeded"))
    ),
    "GET /v1/commands/{command_id}/events": Row(
        at("/v1/commands/{command_id}/events"),
        readers((200, ": waiting"), owner=(200, "succeeded")),
    ),
    "GET /": Row(at("/"), everybody(307)),
    **{
        f"GET {path}": Row(at(path), everybody(200, shown))
        for path, shown in (
            ("/health/live", "ok"),
            ("/health/ready", "ok"),
            ("/metrics", "holdfast_"),
            ("/docs", "/openapi.json"),
            ("/openapi.json", "openapi"),
        )
    },
}


def test_the_matrix_covers_every_route():
    routes = {
        f"{method} {route.path}"
        for route in create_app(SETTINGS).routes
        if isinstance(route, Route | APIRoute)
        for method in route.methods or ()
        if method != "HEAD"
    }
    assert routes == set(MATRIX)
    others = [route for route in create_app(SETTINGS).routes if not hasattr(route, "methods")]
    assert [getattr(route, "path", None) for route in others] == [STATIC_PATH]  # files for anybody


async def ordered(owner: Person, organizer: Person) -> Document:
    """A pending order of the owner, of an event of its own."""
    event_id = (await organizer.event())["id"]
    ticket_type = await organizer.ticket_type(event_id, unit_price=100)
    await owner.reserve(ticket_type["id"], HELD)
    answer = await owner.ask("POST", "/orders", json={"event_id": event_id})
    order: Document = answer.json()["result"]["order"]
    return order


@pytest.fixture
async def world(site: Site, organizer: Person, queue: Queue) -> World:
    owner, other = await site.people(2, queue)
    event_id = (await organizer.event())["id"]
    ticket_type_id = (await organizer.ticket_type(event_id))["id"]
    order = await ordered(owner, organizer)
    reserved = await owner.reserve(ticket_type_id, HELD)
    people = {"other": other, "owner": owner, "organizer": organizer}
    now = int(time.time())
    stale = await site.token_for(owner.id, iat=now - 100, exp=now - 60)
    absent = new_id()
    people |= {
        "expired": Person(site.http, site.deployment, owner.id, owner.email, stale),
        "gone": Person(
            site.http, site.deployment, absent, fresh_email(), await site.token_for(absent)
        ),
    }
    return World(site, people, event_id, ticket_type_id, reserved.json()["command_id"], order)


@pytest.mark.parametrize("route", MATRIX)
async def test_each_kind_of_user_gets_the_expected_status_on_each_route(
    world: World, route: str
) -> None:
    row, method = MATRIX[route], route.partition(" ")[0]
    answered = {}
    for caller in CALLERS:
        path, how = row.ask(world)
        answer = await world.ask(caller, method, path, how)
        status, shown = row.answers[caller]
        answered[caller] = (answer.status_code, shown if shown in answer.text else answer.text)
        if status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
        if caller in (*NOBODY, "other"):
            assert await world.is_as_it_was(), f"{caller} changed what is not theirs"
    assert answered == row.answers


@pytest.mark.parametrize("caller", ["other", "organizer"])
async def test_another_users_resources_show_no_data_of_their_owner(
    world: World, caller: str
) -> None:
    owner = world.people["owner"]
    for path in (
        "/v1/cart",
        f"/v1/commands/{world.command_id}",
        f"/v1/commands/{world.command_id}/events",
    ):
        answer = await world.ask(caller, "GET", path, {})
        for trace in (owner.id, owner.email, world.ticket_type_id, "reserve_tickets"):
            assert trace not in answer.text
