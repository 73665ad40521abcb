"""Orders through HTTP: from the cart to the ticket, and back."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from shared.ids import new_id
from tests.system.amqp import Document, Queue
from tests.system.books import Books
from tests.system.clients import Person, Site, eventually, from_now, refused, succeeded

PRICE = 4500


@dataclass
class Sale:
    """An event with tickets of `PRICE`, and the user that records its payments."""

    organizer: Person
    agent: Person
    event_id: str
    ticket_type_id: str

    async def order(self, buyer: Person, quantity: int = 2, **fields: Any) -> Document:
        """Reserve and check out."""
        succeeded(await buyer.reserve(self.ticket_type_id, quantity))
        order: Document = succeeded(await self.check_out(buyer, **fields), 201)["order"]
        return order

    async def check_out(self, buyer: Person, **fields: Any) -> httpx.Response:
        return await buyer.ask("POST", "/orders", json={"event_id": self.event_id} | fields)

    async def pay(self, order_id: str, amount: int, **how: Any) -> httpx.Response:
        body = {"payment_id": new_id(), "amount": amount, "currency": "EUR"} | how.pop("body", {})
        by = how.pop("by", self.agent)
        response: httpx.Response = await by.ask(
            "POST", f"/orders/{order_id}/payments", json=body, **how
        )
        return response

    async def refund(self, order_id: str, amount: int, **body: Any) -> httpx.Response:
        body = {"refund_id": new_id(), "amount": amount} | body
        return await self.agent.ask("POST", f"/orders/{order_id}/refunds", json=body)

    async def release(self, order_id: str, quantity: int, **body: Any) -> httpx.Response:
        items = [{"ticket_type_id": self.ticket_type_id, "quantity": quantity}]
        path = f"/orders/{order_id}/releases"
        return await self.organizer.ask("POST", path, json={"items": items} | body)

    async def counts(self) -> tuple[int, int]:
        """What is reserved and what is sold."""
        page = (await self.organizer.get(f"/events/{self.event_id}", via=1)).json()
        (ticket_type,) = page["ticket_types"]
        return ticket_type["reserved_quantity"], ticket_type["sold_quantity"]

    async def shows(self, reserved: int, sold: int) -> None:
        """Wait until the public page, which is a second old at most, says so."""
        await eventually(self.counts, lambda counts: counts == (reserved, sold), 5)


@pytest.fixture
async def sale(organizer: Person, bob: Person) -> Sale:
    event_id = (await organizer.event(payment_agent_id=bob.id))["id"]
    ticket_type = await organizer.ticket_type(event_id, unit_price=PRICE)
    return Sale(organizer, bob, event_id, ticket_type["id"])


@pytest.fixture(autouse=True)
async def the_books_balance(books: Books) -> AsyncIterator[None]:
    yield
    await books.balance()


async def read(person: Person, order_id: str) -> Document:
    response = await person.get(f"/orders/{order_id}", via=1)
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    order: Document = response.json()
    return order


async def test_a_cart_becomes_a_paid_order(sale: Sale, alice: Person) -> None:
    succeeded(await alice.reserve(sale.ticket_type_id, 2))
    checked_out = await sale.check_out(alice, expected_total=2 * PRICE)
    order = succeeded(checked_out, 201)["order"]

    assert checked_out.headers["location"] == f"/v1/orders/{order['id']}"
    assert order["id"] == checked_out.json()["command_id"]
    assert (order["status"], order["total"], order["currency"]) == (
        "pending_payment",
        2 * PRICE,
        "EUR",
    )
    assert await alice.holds() == {}
    assert await read(alice, order["id"]) == order
    await sale.shows(reserved=2, sold=0)

    paid = succeeded(await sale.pay(order["id"], 2 * PRICE, body={"payment_id": "pi_1"}), 201)

    assert paid["payment"] == {"payment_id": "pi_1", "disposition": "accepted", "reason": None}
    assert (paid["order"]["status"], paid["order"]["refund_due"]) == ("paid", 0)
    assert await read(alice, order["id"]) == paid["order"]
    await sale.shows(reserved=0, sold=2)


async def test_an_order_that_costs_nothing_is_paid_at_once(sale: Sale, alice: Person) -> None:
    free = await sale.organizer.ticket_type(sale.event_id)
    succeeded(await alice.reserve(free["id"], 1))

    order = succeeded(await sale.check_out(alice), 201)["order"]

    assert (order["status"], order["total"]) == ("paid", 0)


async def test_the_lines_of_another_event_stay_in_the_cart(sale: Sale, alice: Person) -> None:
    other = await sale.organizer.sale()
    succeeded(await alice.reserve(other, 1))

    await sale.order(alice, 2)

    assert await alice.holds() == {other: 1}


async def test_a_payment_that_is_told_again_counts_once(sale: Sale, alice: Person) -> None:
    order_id = (await sale.order(alice))["id"]
    news = {"payment_id": "pi_again"}
    first = succeeded(await sale.pay(order_id, 2 * PRICE, body=news), 201)
    again = succeeded(await sale.pay(order_id, 2 * PRICE, body=news, key=new_id()), 201)

    assert again == first
    refused(await sale.pay(order_id, PRICE, body=news), 422, "payment_id_reused")
    dollars = news | {"currency": "USD"}
    refused(await sale.pay(order_id, 2 * PRICE, body=dollars), 422, "payment_id_reused")
    new = {"currency": "USD"}
    refused(await sale.pay(order_id, 2 * PRICE, body=new), 422, "currency_mismatch")
    assert (await read(alice, order_id))["paid"] == 2 * PRICE


async def test_a_second_payment_is_due_back_and_refunded(sale: Sale, alice: Person) -> None:
    order_id = (await sale.order(alice))["id"]
    await sale.pay(order_id, 2 * PRICE)
    second = succeeded(await sale.pay(order_id, PRICE), 201)

    assert second["payment"]["disposition"] == "surplus"
    assert second["payment"]["reason"] == "already_paid"
    problem = refused(await sale.refund(order_id, PRICE + 1), 409, "more_than_due")
    assert problem["refund_due"] == PRICE
    refunded = succeeded(await sale.refund(order_id, PRICE, refund_id="re_1"), 201)["order"]
    assert (refunded["refunded"], refunded["refund_due"]) == (PRICE, 0)
    assert succeeded(await sale.refund(order_id, PRICE, refund_id="re_1"), 201)["order"] == refunded


async def test_released_tickets_are_on_sale_again_and_their_price_is_due_back(
    sale: Sale, alice: Person
) -> None:
    order_id = (await sale.order(alice, 3))["id"]
    await sale.pay(order_id, 3 * PRICE)

    order = succeeded(await sale.release(order_id, 1, keep_amount=500))["order"]

    assert (order["status"], order["kept"], order["refund_due"]) == ("paid", 500, PRICE - 500)
    assert order["items"][0]["released"] == 1
    await sale.shows(reserved=0, sold=2)
    refused(await sale.release(order_id, 3), 409, "more_than_held")
    assert succeeded(await sale.release(order_id, 2))["order"]["status"] == "cancelled"
    await sale.shows(reserved=0, sold=0)
    refused(await sale.release(order_id, 1), 409, "order_not_paid")


async def test_a_buyer_cancels_a_pending_order_without_a_body(sale: Sale, alice: Person) -> None:
    order_id = (await sale.order(alice))["id"]
    path = f"/orders/{order_id}/cancel"

    assert succeeded(await alice.ask("POST", path))["order"]["status"] == "cancelled"

    problem = refused(await alice.ask("POST", path), 409, "order_not_pending")
    assert (problem["order_id"], problem["order_status"]) == (order_id, "cancelled")
    late = succeeded(await sale.pay(order_id, 2 * PRICE), 201)
    assert late["payment"]["reason"] == "order_cancelled"
    assert late["order"]["refund_due"] == 2 * PRICE


async def test_only_the_organizer_keeps_an_amount_or_cancels_a_paid_order(
    sale: Sale, alice: Person
) -> None:
    order_id = (await sale.order(alice))["id"]
    path = f"/orders/{order_id}/cancel"
    refused(await alice.ask("POST", path, json={"keep_amount": 1}), 403, "not_the_organizer")
    await sale.pay(order_id, 2 * PRICE)
    refused(await alice.ask("POST", path, json={}), 409, "order_not_pending")

    order = succeeded(await sale.organizer.ask("POST", path, json={"keep_amount": 100}))["order"]

    assert (order["status"], order["kept"], order["refund_due"]) == (
        "cancelled",
        100,
        2 * PRICE - 100,
    )


async def test_an_organizer_gives_a_buyer_longer_to_pay(sale: Sale, alice: Person) -> None:
    order_id = (await sale.order(alice))["id"]
    path = f"/orders/{order_id}/extend"

    order = succeeded(await sale.organizer.ask("POST", path, json={"pay_by": from_now(days=7)}))[
        "order"
    ]

    assert await read(alice, order_id) == order
    for earlier_or_far in (from_now(days=1), from_now(days=91)):
        answer = await sale.organizer.ask("POST", path, json={"pay_by": earlier_or_far})
        refused(answer, 422, "unprocessable")
    refused(
        await alice.ask("POST", path, json={"pay_by": from_now(days=9)}), 403, "not_the_organizer"
    )


async def test_the_order_of_another_buyer_is_not_found(
    sale: Sale, alice: Person, site: Site, queue: Queue
) -> None:
    stranger = await site.person(queue)
    order_id = (await sale.order(alice))["id"]
    lines = {"items": [{"ticket_type_id": sale.ticket_type_id, "quantity": 1}]}
    for method, path, body in (
        ("GET", "", None),
        ("POST", "/payments", {"payment_id": "p", "amount": 1, "currency": "EUR"}),
        ("POST", "/refunds", {"refund_id": "r", "amount": 1}),
        ("POST", "/releases", lines),
        ("POST", "/cancel", {}),
        ("POST", "/extend", {"pay_by": from_now(days=1)}),
    ):
        answer = await stranger.ask(method, f"/orders/{order_id}{path}", json=body)
        assert refused(answer, 404, "order_not_found")["order_id"] == order_id
        absent = await stranger.ask(method, f"/orders/{new_id()}{path}", json=body)
        refused(absent, 404, "order_not_found")


async def test_only_the_payment_agent_records_payments(sale: Sale, alice: Person) -> None:
    order_id = (await sale.order(alice))["id"]
    for by in (alice, sale.organizer):
        refused(await sale.pay(order_id, 2 * PRICE, by=by), 403, "not_the_payment_agent")
    assert (await read(sale.agent, order_id))["paid"] == 0
    assert (await read(sale.organizer, order_id))["status"] == "pending_payment"


async def test_the_refusals_of_a_check_out(sale: Sale, alice: Person) -> None:
    unknown = await alice.ask("POST", "/orders", json={"event_id": new_id()})
    refused(unknown, 404, "event_not_found")
    problem = refused(await sale.check_out(alice), 409, "nothing_to_check_out")
    assert problem["event_id"] == sale.event_id
    await sale.organizer.change(sale.ticket_type_id, min_per_order=2)
    succeeded(await alice.reserve(sale.ticket_type_id, 1))
    problem = refused(await sale.check_out(alice), 409, "minimum_not_reached")
    assert (problem["min_per_order"], problem["quantity"]) == (2, 1)
    succeeded(await alice.reserve(sale.ticket_type_id, 1))
    problem = refused(await sale.check_out(alice, expected_total=1), 409, "price_changed")
    assert (problem["total"], problem["currency"]) == (2 * PRICE, "EUR")
    assert await alice.holds() == {sale.ticket_type_id: 2}


async def test_a_buyer_has_only_so_many_open_orders(sale: Sale, alice: Person) -> None:
    for _ in range(5):
        await sale.order(alice, 1)
    succeeded(await alice.reserve(sale.ticket_type_id, 1))

    problem = refused(await sale.check_out(alice), 409, "too_many_open_orders")

    assert problem["allowed"] == 5


async def test_the_limit_of_a_user_counts_orders(sale: Sale, alice: Person) -> None:
    await sale.organizer.change(sale.ticket_type_id, max_per_user=3)
    await sale.order(alice, 2)

    problem = refused(await alice.reserve(sale.ticket_type_id, 2), 409, "limit_exceeded")

    assert (problem["limit"], problem["allowed"], problem["requested"]) == ("user", 3, 4)


async def test_a_cancelled_event_cancels_its_orders_in_the_background(
    sale: Sale, alice: Person, site: Site, queue: Queue
) -> None:
    carol = await site.person(queue)
    pending, paid = await sale.order(alice), await sale.order(carol)
    await sale.pay(paid["id"], 2 * PRICE)

    succeeded(await sale.organizer.close(sale.event_id, "cancel"))

    for person, order, due in ((alice, pending, 0), (carol, paid, 2 * PRICE)):
        order_id = order["id"]
        cancelled = await eventually(
            lambda person=person, order_id=order_id: read(person, order_id),  # type: ignore[misc]  # mypy cannot infer the defaults
            lambda order: order["status"] == "cancelled",
            20,
        )
        assert cancelled["refund_due"] == due
    late = succeeded(await sale.pay(pending["id"], 2 * PRICE), 201)
    assert late["payment"]["reason"] == "event_cancelled"


BAD_PAYMENTS: list[dict[str, Any]] = [
    {"amount": 0},
    {"amount": -1},
    {"amount": 1.5},
    {"amount": 1.0},
    {"amount": 2**53},
    {"amount": "100"},
    {"amount": True},
    {"amount": None},
    {"currency": "EURO"},
    {"currency": "eur"},
    {"currency": ""},
    {"currency": None},
    {"payment_id": ""},
    {"payment_id": "p" * 201},
    {"payment_id": "a\u0000b"},
    {"payment_id": "a\nb"},
    {"payment_id": "a\u202eb"},
    {"payment_id": " a"},
    {"payment_id": 7},
]


@pytest.mark.parametrize("fields", BAD_PAYMENTS, ids=repr)
async def test_a_payment_of_bad_input_is_refused_and_changes_nothing(
    sale: Sale, alice: Person, fields: dict[str, Any]
) -> None:
    order_id = (await sale.order(alice))["id"]

    problem = refused(await sale.pay(order_id, 2 * PRICE, body=fields), 422, "invalid_request")

    assert [error["loc"] for error in problem["errors"]] == [["body", *fields]]
    assert (await read(alice, order_id))["payments"] == []


async def test_the_agent_of_another_event_records_nothing(
    sale: Sale, alice: Person, site: Site, queue: Queue
) -> None:
    agent = await site.person(queue)
    await sale.organizer.event(payment_agent_id=agent.id)
    order_id = (await sale.order(alice))["id"]

    refused(await sale.pay(order_id, 2 * PRICE, by=agent), 404, "order_not_found")

    assert (await read(alice, order_id))["paid"] == 0


async def pages(person: Person, path: str, **query: Any) -> list[str]:
    """The IDs of all pages, three orders a page."""
    ids: list[str] = []
    params = query | {"limit": 3}
    while True:
        response = await person.get(path, params=params, via=1)
        assert response.status_code == 200, response.text
        assert response.headers["cache-control"] == "no-store"
        page = response.json()
        ids += [order["id"] for order in page["items"]]
        if page["next_cursor"] is None:
            return ids
        assert len(page["items"]) == 3
        params["cursor"] = page["next_cursor"]


async def test_the_lists_of_orders_come_in_pages_the_newest_first(
    sale: Sale, alice: Person
) -> None:
    ids = [(await sale.order(alice, 1))["id"] for _ in range(5)]
    await sale.pay(ids[0], PRICE)
    await sale.pay(ids[3], PRICE)
    await sale.pay(ids[3], 1)
    ids.append((await sale.order(alice, 1))["id"])
    of_event = f"/events/{sale.event_id}/orders"

    assert await pages(alice, "/orders") == ids[::-1]
    assert await pages(alice, "/orders", status="paid") == [ids[3], ids[0]]
    for officer in (sale.organizer, sale.agent):
        assert await pages(officer, of_event) == ids[::-1]
    assert await pages(sale.organizer, of_event, status="pending_payment") == [
        id for id in ids[::-1] if id not in (ids[0], ids[3])
    ]
    assert await pages(sale.organizer, of_event, refund_due="true") == [ids[3]]
    assert await pages(sale.organizer, of_event, refund_due="true", status="expired") == []
    refused(await alice.get(of_event), 403, "not_the_organizer")
    refused(await alice.get(f"/events/{new_id()}/orders"), 404, "event_not_found")


@pytest.mark.parametrize(
    "query",
    ["status=held", "limit=0", "limit=101", "cursor=nonsense", "cursor=%C3%A9"],
)
async def test_a_bad_query_is_refused(alice: Person, query: str) -> None:
    (error,) = refused(await alice.get(f"/orders?{query}"), 422, "invalid_request")["errors"]
    assert error["loc"] == ["query", query.partition("=")[0]]


async def test_a_cursor_is_of_one_list(sale: Sale, alice: Person) -> None:
    for _ in range(2):
        await sale.order(alice, 1)
    cursor = (await alice.get("/orders", params={"limit": 1})).json()["next_cursor"]

    for path, query in (
        ("/orders", {"status": "paid"}),
        (f"/events/{sale.event_id}/orders", {}),
    ):
        answer = await sale.organizer.get(path, params={"cursor": cursor} | query)
        refused(answer, 422, "invalid_request")
