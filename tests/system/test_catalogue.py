"""The catalogue: events, their ticket types, and the list of events."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.ids import new_id
from tests.system.amqp import Queue, command
from tests.system.clients import Person, Site, eventually, from_now, read_event, refused, succeeded

EVENT = {"name": "A match", "starts_at": "2031-05-01T20:00:00Z", "ends_at": "2031-05-01T22:00:00Z"}


async def test_an_event_is_created_at_the_place_that_location_names(
    site: Site, organizer: Person
) -> None:
    created = await organizer.ask("POST", "/events", json=EVENT, prefer="wait=10")
    event = succeeded(created, 201)["event"]
    identity = {
        "id": event["id"],
        "organizer_id": organizer.id,
        "status": "active",
        "currency": "EUR",
        "payment_agent_id": organizer.id,
    }
    assert event == EVENT | identity
    found = await site.http.get(site.urls[1] + created.headers["location"])
    assert found.json() == event | {"ticket_types": []}


async def test_times_are_returned_in_utc(organizer: Person) -> None:
    event = await organizer.event(
        starts_at="2031-05-01T20:00:00+02:00", ends_at="2031-05-01T20:00:00.5-03:30"
    )
    assert event["starts_at"] == "2031-05-01T18:00:00Z"
    ends_at = datetime.fromisoformat(event["ends_at"])
    assert event["ends_at"].endswith("Z")
    assert ends_at == datetime(2031, 5, 1, 23, 30, 0, 500_000, UTC)


@pytest.mark.parametrize(
    "fields",
    [
        {"starts_at": "2031-05-01T20:00:00"},
        {"starts_at": "2031-05-01"},
        {"starts_at": 1_935_000_000},
        {"starts_at": "soon"},
        {"starts_at": None},
        {"ends_at": EVENT["starts_at"]},
        {"name": ""},
        {"name": "   "},
        {"name": "two\nlines"},
        {"name": "nul \u0000"},
        {"name": "x" * 201},
        {"name": 7},
    ],
    ids=str,
)
async def test_an_inconsistent_event_is_refused(organizer: Person, fields: dict[str, Any]) -> None:
    answer = await organizer.ask("POST", "/events", json=EVENT | fields)
    assert refused(answer, 422, "invalid_request")["errors"]


async def test_an_organizer_changes_the_name_and_the_times_of_an_event(
    site: Site, organizer: Person
) -> None:
    event = await organizer.event()
    changes = {"name": "A match", "starts_at": EVENT["starts_at"], "ends_at": EVENT["ends_at"]}

    renamed = succeeded(await organizer.change_event(event["id"], name="A match"))["event"]
    moved = succeeded(await organizer.change_event(event["id"], **changes))["event"]

    assert renamed == event | {"name": "A match"}
    assert moved == event | changes
    assert await read_event(site, event["id"], via=1) == moved | {"ticket_types": []}


async def test_an_event_cannot_be_made_to_end_before_it_starts(organizer: Person) -> None:
    event_id = (await organizer.event())["id"]
    both = await organizer.change_event(
        event_id, starts_at=from_now(days=2), ends_at=from_now(days=1)
    )
    refused(both, 422, "invalid_request")
    # Only the worker knows when the event starts.
    one = await organizer.change_event(event_id, ends_at=from_now(days=1))
    assert set(refused(one, 422, "unprocessable")) == {"command_id"}


@pytest.mark.parametrize(
    "fields",
    [{}, {"name": None}, {"name": ""}, {"status": "ended"}, {"starts_at": "soon"}],
    ids=str,
)
async def test_an_inconsistent_change_of_an_event_is_refused(
    organizer: Person, fields: dict[str, Any]
) -> None:
    event_id = (await organizer.event())["id"]

    assert refused(await organizer.change_event(event_id, **fields), 422, "invalid_request")


@pytest.mark.parametrize(("how", "status"), [("cancel", "cancelled"), ("end", "ended")])
async def test_an_organizer_can_close_an_event_once(
    site: Site, organizer: Person, how: str, status: str
) -> None:
    event = await organizer.event()
    closed = succeeded(await organizer.close(event["id"], how))["event"]
    assert closed == event | {"status": status}
    assert (await read_event(site, event["id"], via=1))["status"] == status
    for again in ("cancel", "end"):
        problem = refused(await organizer.close(event["id"], again), 409, f"event_{status}")
        assert problem["event_id"] == event["id"]


async def test_only_its_organizer_changes_an_event_and_what_belongs_to_it(
    site: Site, organizer: Person, alice: Person
) -> None:
    event = await organizer.event()
    ticket_type = await organizer.ticket_type(event["id"])
    body = {
        "name": "Mine",
        "total_quantity": 1,
        "sale_starts_at": from_now(),
        "sale_ends_at": from_now(days=1),
    }
    before = await read_event(site, event["id"])
    for answer in (
        await alice.change_event(event["id"], name="Mine"),
        await alice.close(event["id"], "cancel"),
        await alice.close(event["id"], "end"),
        await alice.ask("POST", f"/events/{event['id']}/ticket-types", json=body, prefer="wait=10"),
        await alice.change(ticket_type["id"], total_quantity=0),
    ):
        assert set(refused(answer, 403, "not_the_organizer")) == {"command_id"}
    assert await read_event(site, event["id"]) == before


async def test_an_absent_event_is_not_found(site: Site, organizer: Person) -> None:
    absent = new_id()
    ticket_type = {
        "name": "Seated",
        "total_quantity": 1,
        "sale_starts_at": from_now(),
        "sale_ends_at": from_now(days=1),
    }
    path = f"/events/{absent}/ticket-types"
    for answer in (
        await organizer.change_event(absent, name="x"),
        await organizer.close(absent, "cancel"),
        await organizer.close(absent, "end"),
        await organizer.ask("POST", path, json=ticket_type, prefer="wait=10"),
        await site.http.get(f"{site.urls[0]}/v1/events/{absent}"),
    ):
        assert refused(answer, 404, "event_not_found")["event_id"] == absent


async def test_an_event_whose_end_has_passed_reads_and_behaves_as_ended(
    site: Site, organizer: Person, alice: Person
) -> None:
    ends_at = datetime.now(UTC) + timedelta(seconds=1.5)
    event = await organizer.event(starts_at=from_now(hours=-1), ends_at=ends_at.isoformat())
    event_id, ticket_type_id = event["id"], (await organizer.ticket_type(event["id"]))["id"]
    assert event["status"] == "active"
    succeeded(await alice.reserve(ticket_type_id, 3))

    async def status() -> str:
        return str((await read_event(site, event_id))["status"])

    await eventually(status, lambda now: now == "ended", within_seconds=5)
    assert datetime.now(UTC) > ends_at - timedelta(milliseconds=50)
    assert (await read_event(site, event_id, via=1))["status"] == "ended"
    for answer in (
        await alice.reserve(ticket_type_id),
        await alice.set(ticket_type_id, 4),
        await organizer.close(event_id, "cancel"),
        await organizer.close(event_id, "end"),
        await organizer.change_event(event_id, ends_at=from_now(days=1)),
        await organizer.change(ticket_type_id, total_quantity=50),
    ):
        assert refused(answer, 409, "event_ended")["event_id"] == event_id
    succeeded(await alice.set(ticket_type_id, 1))
    succeeded(await alice.release(ticket_type_id))


async def test_a_ticket_type_is_created_for_an_event(site: Site, organizer: Person) -> None:
    event = await organizer.event()
    body = {
        "name": "Balcony",
        "total_quantity": 40,
        "sale_starts_at": "2026-01-01T00:00:00Z",
        "sale_ends_at": "2031-01-01T00:00:00Z",
        "unit_price": 4_500,
        "min_per_order": 2,
        "max_per_order": 6,
        "max_per_user": None,
    }
    path = f"/events/{event['id']}/ticket-types"
    created = await organizer.ask("POST", path, json=body, prefer="wait=10")
    ticket_type = succeeded(created, 201)["ticket_type"]
    numbers = {"reserved_quantity": 0, "sold_quantity": 0, "available": 40}
    assert ticket_type == body | numbers | {"id": ticket_type["id"], "event_id": event["id"]}
    found = await site.http.get(site.urls[1] + created.headers["location"])
    assert found.json() == event | {"ticket_types": [ticket_type]}


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "Renamed"},
        {"total_quantity": 0},
        {"total_quantity": 75},
        {"unit_price": 100_000_000},
        {"min_per_order": 2, "max_per_order": 2, "max_per_user": 2},
        {"sale_starts_at": "2027-01-01T00:00:00Z"},
        {"sale_ends_at": "2028-01-01T00:00:00Z", "name": "Both"},
    ],
    ids=str,
)
async def test_a_ticket_type_changes_in_what_is_named_only(
    site: Site, organizer: Person, fields: dict[str, Any]
) -> None:
    event = await organizer.event()
    before = await organizer.ticket_type(event["id"], sale_ends_at="2030-01-01T00:00:00Z")
    after = succeeded(await organizer.change(before["id"], **fields))["ticket_type"]
    expected = before | fields
    assert after == expected | {"available": expected["total_quantity"]}
    assert (await read_event(site, event["id"]))["ticket_types"] == [after]


async def test_a_total_never_falls_below_what_is_reserved(
    organizer: Person, alice: Person, ticket_type_id: str
) -> None:
    succeeded(await alice.reserve(ticket_type_id, 4))
    problem = refused(
        await organizer.change(ticket_type_id, total_quantity=3), 409, "total_below_committed"
    )
    assert problem.pop("command_id")
    assert problem == {"reserved_quantity": 4, "sold_quantity": 0}
    changed = succeeded(await organizer.change(ticket_type_id, total_quantity=4))["ticket_type"]
    assert (changed["reserved_quantity"], changed["available"]) == (4, 0)


async def test_an_absent_ticket_type_is_not_found(organizer: Person) -> None:
    absent = new_id()
    problem = refused(await organizer.change(absent, name="x"), 404, "ticket_type_not_found")
    assert problem["ticket_type_id"] == absent


async def test_a_sale_cannot_be_made_to_end_before_it_starts(
    organizer: Person, ticket_type_id: str
) -> None:
    both = await organizer.change(
        ticket_type_id, sale_starts_at=from_now(days=2), sale_ends_at=from_now(days=1)
    )
    refused(both, 422, "invalid_request")
    # Only the worker knows when the sale starts.
    one = await organizer.change(ticket_type_id, sale_ends_at=from_now(days=-2))
    assert set(refused(one, 422, "unprocessable")) == {"command_id"}


@pytest.mark.parametrize(
    "fields",
    [{}, {"total_quantity": -1}, {"total_quantity": 1.5}, {"total_quantity": "7"}, {"name": ""}],
    ids=str,
)
async def test_an_inconsistent_change_is_refused(
    organizer: Person, ticket_type_id: str, fields: dict[str, Any]
) -> None:
    assert refused(await organizer.change(ticket_type_id, **fields), 422, "invalid_request")


async def test_a_repeated_read_returns_the_current_state(
    site: Site, organizer: Person, alice: Person
) -> None:
    event_id, seen = (await organizer.event())["id"], []
    ticket_type = await organizer.ticket_type(event_id, total=9)
    for _ in range(4):
        page = await site.http.get(f"{site.urls[0]}/v1/events/{event_id}")
        assert page.headers["date"]
        seen.append(page.json()["ticket_types"][0]["available"])
        await alice.reserve(ticket_type["id"])
    assert seen == [9, 8, 7, 6]


async def test_an_unknown_event_stays_unknown_when_it_is_read_again(site: Site) -> None:
    for _ in range(3):
        answer = await site.http.get(f"{site.urls[0]}/v1/events/{new_id()}")
        again = await site.http.get(str(answer.request.url))
        assert refused(answer, 404, "event_not_found") == refused(again, 404, "event_not_found")


async def test_an_event_has_at_most_a_hundred_ticket_types(
    site: Site, queue: Queue, organizer: Person
) -> None:
    event_id = (await organizer.event())["id"]
    sale = {"sale_starts_at": from_now(hours=-1), "sale_ends_at": from_now(days=29)}
    fields = {"event_id": event_id, "name": "A block", "total_quantity": 10, **sale}
    await queue.decide(*[command("create_ticket_type", organizer.id, **fields) for _ in range(100)])
    body = {name: value for name, value in fields.items() if name != "event_id"}

    answer = await organizer.ask(
        "POST", f"/events/{event_id}/ticket-types", json=body, prefer="wait=10"
    )

    problem = refused(answer, 409, "too_many_ticket_types")
    assert problem.pop("command_id")
    assert problem == {"allowed": 100}
    assert len((await read_event(site, event_id))["ticket_types"]) == 100


# --- prices, limits, the payment agent ------------------------------------------------------


async def test_an_event_keeps_its_currency_and_its_payment_agent_can_change(
    site: Site, organizer: Person, queue: Queue
) -> None:
    agent = await site.person(queue)
    event = await organizer.event(currency="CHF")
    assert (event["currency"], event["payment_agent_id"]) == ("CHF", organizer.id)
    path = f"/events/{event['id']}"
    changed = await organizer.ask("PATCH", path, json={"payment_agent_id": agent.id})
    assert succeeded(changed)["event"] == event | {"payment_agent_id": agent.id}
    refused(await organizer.ask("PATCH", path, json={"currency": "EUR"}), 422, "invalid_request")
    unknown = await organizer.ask("PATCH", path, json={"payment_agent_id": new_id()})
    refused(unknown, 422, "unprocessable")
    found = await site.http.get(f"{site.urls[0]}/v1{path}")
    assert found.json()["payment_agent_id"] == agent.id


async def test_a_total_is_lowered_to_what_is_committed(
    organizer: Person, site: Site, queue: Queue
) -> None:
    buyer, tickets = await site.person(queue), await organizer.sale(total=10)
    succeeded(await buyer.reserve(tickets, 3))
    path = f"/ticket-types/{tickets}"
    changed = await organizer.ask("PATCH", path, json={"lower_to_committed": True})
    ticket_type = succeeded(changed)["ticket_type"]
    assert (ticket_type["total_quantity"], ticket_type["available"]) == (3, 0)
    both = {"lower_to_committed": True, "total_quantity": 5}
    refused(await organizer.ask("PATCH", path, json=both), 422, "invalid_request")


@pytest.mark.parametrize(
    "fields",
    [
        {"unit_price": -1},
        {"unit_price": 100_000_001},
        {"unit_price": 1.5},
        {"min_per_order": 0},
        {"max_per_order": 0},
        {"min_per_order": 3, "max_per_user": 2},
        {"lower_to_committed": False},
    ],
    ids=str,
)
async def test_a_bad_price_or_limit_changes_nothing(
    organizer: Person, site: Site, fields: dict[str, Any]
) -> None:
    event = await organizer.event()
    ticket_type = await organizer.ticket_type(event["id"])
    path = f"/ticket-types/{ticket_type['id']}"
    refused(await organizer.ask("PATCH", path, json=fields), 422, "invalid_request")
    found = await site.http.get(f"{site.urls[0]}/v1/events/{event['id']}")
    assert found.json()["ticket_types"] == [ticket_type]
