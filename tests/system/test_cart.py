"""The cart: holding tickets, setting quantities, giving back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.ids import new_id
from tests.system.amqp import Queue, command
from tests.system.books import Books
from tests.system.clients import Person, Site, from_now, refused, succeeded

EMPTY: dict[str, Any] = {"id": None, "status": "empty", "expires_at": None, "items": []}
HOLD = timedelta(seconds=600)


async def test_two_users_and_the_last_ticket(
    books: Books, organizer: Person, alice: Person, bob: Person
) -> None:
    last = await organizer.sale(total=1)
    succeeded(await alice.reserve(last, via=0))
    problem = refused(await bob.reserve(last, via=1), 409, "insufficient_availability")
    assert problem.pop("command_id")
    assert problem == {"ticket_type_id": last, "requested": 1, "available": 0}
    assert await alice.holds(via=1) == {last: 1}
    assert await bob.cart(via=0) == EMPTY
    await books.balance()


async def test_an_absent_cart_reads_as_empty(alice: Person) -> None:
    assert await alice.cart() == EMPTY


async def test_reserving_adds_to_the_cart(
    organizer: Person, alice: Person, ticket_type_id: str
) -> None:
    event = await organizer.event()
    other = (await organizer.ticket_type(event["id"]))["id"]
    cart = succeeded(await alice.reserve(ticket_type_id, 2))["cart"]
    assert cart["status"] == "active"
    assert await alice.cart() == cart
    more = await alice.reserve_all([(ticket_type_id, 1), (other, 4)])
    cart_after = succeeded(more)["cart"]
    assert cart_after["id"] == cart["id"]
    assert {item["ticket_type_id"]: item["quantity"] for item in cart_after["items"]} == {
        ticket_type_id: 3,
        other: 4,
    }
    assert [i["event_id"] for i in cart_after["items"] if i["ticket_type_id"] == other] == [
        event["id"]
    ]
    assert await alice.cart(via=1) == cart_after


async def test_the_first_hold_sets_when_the_cart_expires_and_later_ones_do_not(
    organizer: Person, alice: Person, ticket_type_id: str
) -> None:
    other = await organizer.sale()
    first = await alice.reserve(ticket_type_id)
    expires_at = succeeded(first)["cart"]["expires_at"]
    decided_at = datetime.fromisoformat(first.json()["decided_at"])
    assert expires_at.endswith("Z")
    assert datetime.fromisoformat(expires_at) == decided_at + HOLD
    for later in (
        await alice.reserve(other, 2),
        await alice.set(ticket_type_id, 3),
        await alice.set(ticket_type_id, 1),
        await alice.release(ticket_type_id),
    ):
        assert succeeded(later)["cart"]["expires_at"] == expires_at
    assert (await alice.cart())["expires_at"] == expires_at

    succeeded(await alice.release())
    anew = succeeded(await alice.reserve(other))["cart"]["expires_at"]
    assert datetime.fromisoformat(anew) > datetime.fromisoformat(expires_at)


async def test_a_reservation_takes_all_lines_or_none(
    books: Books, organizer: Person, alice: Person, ticket_type_id: str
) -> None:
    scarce = await organizer.sale(total=1)
    answer = await alice.reserve_all([(ticket_type_id, 2), (scarce, 2)])
    assert refused(answer, 409, "insufficient_availability")["ticket_type_id"] == scarce
    assert await alice.cart() == EMPTY
    assert await books.reserved(ticket_type_id) == 0


async def test_lines_for_the_same_ticket_type_count_together(
    alice: Person, ticket_type_id: str
) -> None:
    answer = await alice.reserve_all([(ticket_type_id, 6), (ticket_type_id, 5)])
    problem = refused(answer, 409, "insufficient_availability")
    assert (problem["requested"], problem["available"]) == (11, 10)
    succeeded(await alice.reserve_all([(ticket_type_id, 6), (ticket_type_id.upper(), 4)]))
    assert await alice.holds() == {ticket_type_id: 10}


async def test_setting_a_quantity_takes_or_gives_back_the_difference(
    books: Books, alice: Person, ticket_type_id: str
) -> None:
    for quantity in (4, 10, 10, 1):
        cart = succeeded(await alice.set(ticket_type_id, quantity))["cart"]
        assert [item["quantity"] for item in cart["items"]] == [quantity]
        assert await books.reserved(ticket_type_id) == quantity
    assert succeeded(await alice.set(ticket_type_id, 0))["cart"] == EMPTY
    assert await books.reserved(ticket_type_id) == 0


async def test_raising_a_quantity_asks_for_the_difference(
    alice: Person, bob: Person, ticket_type_id: str
) -> None:
    succeeded(await bob.reserve(ticket_type_id, 5))
    succeeded(await alice.set(ticket_type_id, 3))
    problem = refused(await alice.set(ticket_type_id, 6), 409, "insufficient_availability")
    assert problem.pop("command_id")
    assert problem == {"ticket_type_id": ticket_type_id, "requested": 3, "available": 2}
    assert await alice.holds() == {ticket_type_id: 3}
    succeeded(await alice.set(ticket_type_id, 5))


async def test_an_item_is_released_and_the_others_stay(
    books: Books, organizer: Person, alice: Person, ticket_type_id: str
) -> None:
    other = await organizer.sale()
    succeeded(await alice.reserve_all([(ticket_type_id, 2), (other, 3)]))
    cart = succeeded(await alice.release(ticket_type_id))["cart"]
    assert [item["ticket_type_id"] for item in cart["items"]] == [other]
    assert await alice.cart() == cart
    assert await books.reserved(ticket_type_id) == 0
    assert succeeded(await alice.release(other))["cart"] == EMPTY


async def test_releasing_the_cart_gives_everything_back(
    books: Books, organizer: Person, alice: Person, bob: Person, ticket_type_id: str
) -> None:
    other = await organizer.sale(total=3)
    succeeded(await alice.reserve_all([(ticket_type_id, 10), (other, 3)]))
    assert succeeded(await alice.release())["cart"] == EMPTY
    assert await alice.cart() == EMPTY
    succeeded(await bob.reserve_all([(ticket_type_id, 10), (other, 3)]))
    await books.balance()


async def test_releasing_an_empty_cart_succeeds(alice: Person) -> None:
    assert succeeded(await alice.release())["cart"] == EMPTY


async def test_an_item_that_is_not_in_the_cart_is_not_found(
    organizer: Person, alice: Person, bob: Person, ticket_type_id: str
) -> None:
    """An item that is only in another user's cart gets the same answer as an absent one."""
    succeeded(await bob.reserve(ticket_type_id, 2))
    for item in (ticket_type_id, await organizer.sale(), new_id()):
        for answer in (await alice.release(item), await alice.set(item, 0)):
            problem = refused(answer, 404, "item_not_in_cart")
            assert problem.pop("command_id")
            assert problem == {"ticket_type_id": item}
    assert await bob.holds() == {ticket_type_id: 2}


@pytest.mark.parametrize("raising", ["reserve", "set"])
async def test_an_absent_ticket_type_is_not_found(alice: Person, raising: str) -> None:
    absent = new_id()
    answer = await (alice.reserve(absent) if raising == "reserve" else alice.set(absent, 1))
    problem = refused(answer, 404, "ticket_type_not_found")
    assert problem.pop("command_id")
    assert problem == {"ticket_type_id": absent}


@pytest.mark.parametrize("raising", ["reserve", "set"])
@pytest.mark.parametrize(
    ("code", "sale"),
    [
        ("sale_not_started", {"sale_starts_at": "2031-01-01T00:00:00Z"}),
        ("sale_ended", {"sale_ends_at": "2026-01-01T00:00:00Z"}),
    ],
)
async def test_outside_its_sale_a_ticket_type_is_not_sold(
    organizer: Person, alice: Person, code: str, sale: dict[str, Any], raising: str
) -> None:
    window: dict[str, Any] = {
        "sale_starts_at": "2025-01-01T00:00:00Z",
        "sale_ends_at": "2032-01-01T00:00:00Z",
    }
    event = await organizer.event()
    id = (await organizer.ticket_type(event["id"], **(window | sale)))["id"]
    answer = await (alice.reserve(id) if raising == "reserve" else alice.set(id, 1))
    problem = refused(answer, 409, code)
    assert problem.pop("command_id")
    assert problem == {"ticket_type_id": id} | sale


@pytest.mark.parametrize(
    ("how", "code"), [("cancel", "event_cancelled"), ("end", "event_ended"), ("sale", "sale_ended")]
)
async def test_after_the_end_holds_are_lowered_and_released_but_not_raised(
    organizer: Person, alice: Person, how: str, code: str
) -> None:
    event = await organizer.event()
    one, other = [(await organizer.ticket_type(event["id"]))["id"] for _ in range(2)]
    succeeded(await alice.reserve_all([(one, 5), (other, 1)]))
    if how == "sale":
        for id in (one, other):
            succeeded(await organizer.change(id, sale_ends_at=from_now(minutes=-30)))
    else:
        succeeded(await organizer.close(event["id"], how))

    data = {"event_id": event["id"]} if how != "sale" else {"ticket_type_id": one}
    for raising in (await alice.set(one, 6), await alice.reserve(one)):
        assert data.items() <= refused(raising, 409, code).items()
    succeeded(await alice.set(one, 5))
    succeeded(await alice.set(one, 2))
    succeeded(await alice.release(one))
    assert succeeded(await alice.set(other, 0))["cart"] == EMPTY


async def test_the_first_failing_line_in_the_order_of_the_request_decides(
    organizer: Person, alice: Person, ticket_type_id: str
) -> None:
    cancelled = await organizer.event()
    of_cancelled = (await organizer.ticket_type(cancelled["id"]))["id"]
    succeeded(await organizer.close(cancelled["id"], "cancel"))
    absent = new_id()
    lines = {
        "ticket_type_not_found": (absent, 1),
        "event_cancelled": (of_cancelled, 99),
        "insufficient_availability": (ticket_type_id, 99),
    }
    for first in lines:
        rest = [line for code, line in lines.items() if code != first]
        answer = await alice.reserve_all([lines[first], *rest])
        assert answer.json()["code"] == first


async def test_the_rules_of_a_line_have_an_order(organizer: Person, alice: Person) -> None:
    """Every ticket type fails its rule and all rules after it."""
    not_started = {"sale_starts_at": from_now(days=10)}
    sale_over = {"sale_ends_at": from_now(minutes=-1)}
    for code, how, sale in [
        ("event_ended", "end", not_started),
        ("event_ended", "end", sale_over),
        ("event_cancelled", "cancel", not_started),
        ("event_cancelled", "cancel", sale_over),
        ("sale_not_started", None, not_started),
        ("sale_ended", None, sale_over),
        ("insufficient_availability", None, {}),
    ]:
        event = await organizer.event()
        id = (await organizer.ticket_type(event["id"], total=0, **sale))["id"]
        if how:
            succeeded(await organizer.close(event["id"], how))
        assert (await alice.reserve(id)).json()["code"] == code


async def test_a_cancelled_event_whose_end_has_passed_counts_as_ended(
    organizer: Person, alice: Person
) -> None:
    ends_at = datetime.now(UTC) + timedelta(seconds=1)
    event = await organizer.event(starts_at=from_now(hours=-1), ends_at=ends_at.isoformat())
    id = (await organizer.ticket_type(event["id"]))["id"]
    succeeded(await organizer.close(event["id"], "cancel"))
    codes = [(await alice.reserve(id)).json()["code"]]
    while codes[-1] == "event_cancelled" and datetime.now(UTC) < ends_at + timedelta(seconds=3):
        codes.append((await alice.reserve(id)).json()["code"])
    assert codes[0] == "event_cancelled"
    assert codes[-1] == "event_ended"
    assert datetime.now(UTC) > ends_at


@pytest.mark.parametrize(
    "quantity",
    [0, -1, 2**31, 10**9, 1.5, 1.0, "1", True, None, [1], 10**400],
    ids=lambda quantity: str(quantity)[:12],
)
async def test_an_invalid_quantity_of_a_cart_item_is_refused(
    alice: Person, ticket_type_id: str, quantity: Any
) -> None:
    item = {"ticket_type_id": ticket_type_id, "quantity": quantity}
    answer = await alice.ask("POST", "/reservations", json={"items": [item]}, prefer="wait=10")
    errors = refused(answer, 422, "invalid_request")["errors"]
    assert errors[0]["loc"] == ["body", "items", 0, "quantity"]
    if quantity == 0 and not isinstance(quantity, bool):
        return  # removes, with PUT
    path = f"/cart/items/{ticket_type_id}"
    answer = await alice.ask("PUT", path, json={"quantity": quantity}, prefer="wait=10")
    (error,) = refused(answer, 422, "invalid_request")["errors"]
    assert error["loc"][-1] == "quantity"


@pytest.mark.parametrize("number", [0, 21])
async def test_a_reservation_has_1_to_20_lines(
    alice: Person, ticket_type_id: str, number: int
) -> None:
    answer = await alice.reserve_all([(ticket_type_id, 1)] * number)
    (error,) = refused(answer, 422, "invalid_request")["errors"]
    assert error["loc"][-1] == "items"


async def test_20_lines_are_accepted(organizer: Person, alice: Person) -> None:
    event = await organizer.event()
    ids = [(await organizer.ticket_type(event["id"]))["id"] for _ in range(20)]
    succeeded(await alice.reserve_all([(id, 1) for id in ids]))
    assert await alice.holds() == dict.fromkeys(ids, 1)


async def test_a_path_without_a_uuid_is_refused(alice: Person) -> None:
    for answer in (await alice.set("seven", 1), await alice.release("seven")):
        assert refused(answer, 422, "invalid_request")["errors"]


async def test_the_cart_belongs_to_the_user_of_the_token(
    site: Site, alice: Person, bob: Person, ticket_type_id: str
) -> None:
    succeeded(await alice.reserve(ticket_type_id))
    assert await bob.cart() == EMPTY
    succeeded(await bob.release())
    assert await alice.holds() == {ticket_type_id: 1}


async def test_two_adds_make_no_line_that_setting_it_refuses(
    organizer: Person, alice: Person
) -> None:
    tickets = await organizer.sale(total=3_000_000)
    succeeded(await alice.reserve(tickets, 1_000_000))

    problem = refused(await alice.reserve(tickets, 1_000_000), 409, "line_too_large")

    assert problem.pop("command_id")
    assert problem == {
        "ticket_type_id": tickets,
        "requested": 2_000_000,
        "allowed": 1_000_000,
    }
    assert await alice.holds() == {tickets: 1_000_000}
    succeeded(await alice.set(tickets, 1_000_000))


async def test_a_cart_has_at_most_fifty_lines(
    books: Books, queue: Queue, organizer: Person, alice: Person
) -> None:
    event_id = (await organizer.event())["id"]
    sale = {"sale_starts_at": from_now(hours=-1), "sale_ends_at": from_now(days=29)}
    fields = {"event_id": event_id, "name": "A block", "total_quantity": 10, **sale}
    created = await queue.decide(
        *[command("create_ticket_type", organizer.id, **fields) for _ in range(51)]
    )
    *some, last = [outcome["result"]["ticket_type"]["id"] for outcome in created]
    for start in (0, 20, 40):
        succeeded(await alice.reserve_all([(id, 1) for id in some[start : start + 20]]))

    for answer in (await alice.reserve(last), await alice.set(last, 1)):
        problem = refused(answer, 409, "cart_full")
        assert problem.pop("command_id")
        assert problem == {"allowed": 50}

    assert await alice.holds() == dict.fromkeys(some, 1)
    succeeded(await alice.release(some[0]))
    succeeded(await alice.reserve(last))
    await books.balance()


# --- limits and longer holds ----------------------------------------------------------------


async def test_the_cart_shows_names_and_prices(organizer: Person, alice: Person) -> None:
    event = await organizer.event(currency="CHF")
    tickets = await organizer.ticket_type(event["id"], name="Balcony", unit_price=4_500)
    succeeded(await alice.reserve(tickets["id"], 2))
    (item,) = (await alice.cart_page())["items"]
    assert item == {
        "ticket_type_id": tickets["id"],
        "event_id": event["id"],
        "quantity": 2,
        "name": "Balcony",
        "event_name": event["name"],
        "unit_price": 4_500,
        "currency": "CHF",
    }


async def test_a_limit_refuses_what_lies_above_it_and_nothing_that_is_lowered(
    organizer: Person, alice: Person, books: Books
) -> None:
    event = await organizer.event()
    limits = {"max_per_order": 4, "max_per_user": 5}
    tickets = (await organizer.ticket_type(event["id"], total=100, **limits))["id"]
    succeeded(await alice.reserve(tickets, 3))
    for answer in (await alice.reserve(tickets, 2), await alice.set(tickets, 5)):
        problem = refused(answer, 409, "limit_exceeded")
        assert problem.pop("command_id")
        assert problem == {
            "ticket_type_id": tickets, "limit": "order", "allowed": 4, "requested": 5
        }  # fmt: skip
    changed = await organizer.ask("PATCH", f"/ticket-types/{tickets}", json={"max_per_user": 1})
    succeeded(changed)
    assert refused(await alice.set(tickets, 4), 409, "limit_exceeded")["limit"] == "user"
    succeeded(await alice.set(tickets, 2))
    assert await alice.holds() == {tickets: 2}
    await books.balance()


async def test_a_cart_is_held_longer_but_never_without_one(
    alice: Person, ticket_type_id: str
) -> None:
    refused(await alice.extend(), 409, "cart_empty")
    cart = succeeded(await alice.reserve(ticket_type_id))["cart"]
    extended = succeeded(await alice.extend())["cart"]
    assert extended == cart | {"expires_at": extended["expires_at"]}
    assert extended["expires_at"] > cart["expires_at"]
    assert await alice.cart(via=1) == extended
