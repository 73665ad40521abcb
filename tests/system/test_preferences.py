"""Preferences: awaiting an outcome, and the answer to a client that does not."""

import time

import pytest

from shared.ids import new_id
from tests.system.clients import Person, refused, succeeded
from tests.system.pauses import workers_paused

EVENT = {"name": "A match", "starts_at": "2031-05-01T20:00:00Z", "ends_at": "2031-05-01T22:00:00Z"}


@pytest.mark.parametrize("prefer", [None, "respond-async", "wait=0", "respond-async, wait=0"])
async def test_a_command_that_is_not_awaited_is_answered_202_with_its_location(
    alice: Person, ticket_type_id: str, prefer: str | None
) -> None:
    key = new_id()
    answer = await alice.reserve(ticket_type_id, key=key, prefer=prefer)
    assert answer.status_code == 202
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["location"].startswith(f"/v1/commands/{key}")
    assert int(answer.headers["retry-after"]) >= 1
    document = answer.json()
    submitted_at = document.pop("submitted_at")
    assert submitted_at.endswith("Z")
    assert document == {
        "command_id": key,
        "kind": "reserve_tickets",
        "status": "pending",
        "decided_at": None,
        "result": None,
        "refusal": None,
    }
    outcome = await alice.outcome(answer.headers["location"].removeprefix("/v1/commands/"))
    assert outcome["status"] == "succeeded"
    assert outcome["submitted_at"] == submitted_at
    assert await alice.holds() == {ticket_type_id: 1}


async def test_every_cart_command_answers_at_once_by_default(
    alice: Person, ticket_type_id: str
) -> None:
    for answer in (
        await alice.reserve(ticket_type_id, prefer=None),
        await alice.set(ticket_type_id, 2, prefer=None),
        await alice.release(ticket_type_id, prefer=None),
        await alice.release(prefer=None),
    ):
        assert answer.status_code == 202
        assert "preference-applied" not in answer.headers


async def test_every_other_command_is_awaited_by_default(organizer: Person) -> None:
    created = await organizer.ask("POST", "/events", json=EVENT)
    event_id = succeeded(created, 201)["event"]["id"]
    ticket_type = {
        "name": "Standing",
        "total_quantity": 5,
        "sale_starts_at": "2026-01-01T00:00:00Z",
        "sale_ends_at": "2031-01-01T00:00:00Z",
    }
    added = await organizer.ask("POST", f"/events/{event_id}/ticket-types", json=ticket_type)
    id = succeeded(added, 201)["ticket_type"]["id"]
    changed = await organizer.ask("PATCH", f"/ticket-types/{id}", json={"name": "Seated"})
    cancelled = await organizer.ask("POST", f"/events/{event_id}/cancel")
    ended = await organizer.ask("POST", f"/events/{event_id}/end")
    succeeded(changed)
    succeeded(cancelled)
    refused(ended, 409, "event_cancelled")
    for answer in (created, added, changed, cancelled, ended):
        assert "preference-applied" not in answer.headers


async def test_every_command_honours_respond_async(organizer: Person) -> None:
    answer = await organizer.ask("POST", "/events", json=EVENT, prefer="respond-async")
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    outcome = await organizer.outcome(answer.json()["command_id"])
    assert outcome["result"]["event"]["name"] == EVENT["name"]


async def test_an_applied_wait_is_confirmed_in_preference_applied(
    alice: Person, ticket_type_id: str
) -> None:
    answer = await alice.reserve(ticket_type_id, prefer="wait=10")
    succeeded(answer)
    assert answer.headers["preference-applied"] == "wait=10"
    not_found = await alice.release(new_id(), prefer="handling=lenient, wait=7; why=because")
    refused(not_found, 404, "item_not_in_cart")
    assert not_found.headers["preference-applied"] == "wait=7"


@pytest.mark.parametrize(
    "prefer", ["wait=soon", "wait=-1", "wait", "wait=1.5", "handling=strict", "=", ",,", "wait=²"]
)
async def test_a_preference_that_is_not_understood_is_ignored(
    alice: Person, ticket_type_id: str, prefer: str
) -> None:
    url = f"{alice.deployment.url}/v1/reservations"
    headers = [(b"Authorization", f"Bearer {alice.token}".encode()), (b"Prefer", prefer.encode())]
    item = {"ticket_type_id": ticket_type_id, "quantity": 1}
    answer = await alice.http.post(url, json={"items": [item]}, headers=headers)
    assert answer.status_code == 202
    assert "preference-applied" not in answer.headers


async def test_a_command_that_is_not_decided_in_time_is_answered_202(
    alice: Person, ticket_type_id: str
) -> None:
    async with workers_paused(alice.deployment):
        started = time.monotonic()
        answer = await alice.reserve(ticket_type_id, prefer="wait=1")
        waited = time.monotonic() - started
        assert answer.status_code == 202
        assert answer.json()["status"] == "pending"
        assert answer.headers["preference-applied"] == "wait=1"
        assert 0.9 < waited < 3
    outcome = await alice.outcome(answer.json()["command_id"])
    assert outcome["status"] == "succeeded"


async def test_both_preferences_answer_202_only_when_the_time_is_over(
    alice: Person, ticket_type_id: str
) -> None:
    """RFC 7240, section 4.3: `respond-async, wait=N` asks to wait before answering so."""
    succeeded(await alice.reserve(ticket_type_id, prefer="respond-async, wait=10"))
    async with workers_paused(alice.deployment):
        answer = await alice.reserve(ticket_type_id, prefer="respond-async, wait=1")
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async, wait=1"
