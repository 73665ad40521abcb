"""The list of events: its pages, filters and cursors."""

from typing import Any

import pytest

from shared.ids import new_id
from tests.system.amqp import Document, Queue
from tests.system.clients import Person, Site, eventually, from_now, read_event, refused, succeeded


async def test_the_pages_of_the_list_hold_every_event_once(site: Site, organizer: Person) -> None:
    # Some start at the same instant.
    starts = [from_now(days=days) for days in (5, 5, 5, 400, 1, 400, 2)]
    mine = [
        (await organizer.event(starts_at=at, ends_at=from_now(days=500)))["id"] for at in starts
    ]
    listed: list[Document] = []
    cursor, pages = None, 0
    while cursor or not pages:
        query = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        answer = await site.http.get(f"{site.urls[pages % 2]}/v1/events", params=query)
        assert answer.status_code == 200
        page = answer.json()
        assert set(page) == {"items", "next_cursor"}
        cursor, pages = page["next_cursor"], pages + 1
        assert len(page["items"]) == 3 or cursor is None
        listed += page["items"]
        assert pages < 1_000
    ids = [event["id"] for event in listed]
    assert len(ids) == len(set(ids))
    assert set(mine) <= set(ids)
    found = {event["id"]: event for event in listed}
    for event_id in mine:
        page = await read_event(site, event_id)
        page.pop("ticket_types")
        assert found[event_id] == page


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=x",
        "limit=1000000",
        "cursor=nonsense",
        "status=sold",
        "q=",
        f"q={'x' * 101}",
        "q=%00",
        "organizer=01936f2e-8a34-7c3e-9d41-0b0f5a4c2d11",
        "starts_after=tomorrow",
        "starts_before=2041-05-01",
    ],
    ids=str,
)
async def test_a_page_that_does_not_exist_is_refused(site: Site, query: str) -> None:
    answer = await site.http.get(f"{site.urls[0]}/v1/events?{query}")
    assert refused(answer, 422, "invalid_request")["errors"]


async def listed(
    site: Site, limit: int = 100, person: Person | None = None, **query: str
) -> list[Document]:
    """Return the events of all pages of a list."""
    events: list[Document] = []
    asked: dict[str, Any] = {"limit": limit, **query}
    headers = {"Authorization": f"Bearer {person.token}"} if person else {}
    while True:
        url = f"{site.urls[0]}/v1/events"
        answer = await site.http.get(url, params=asked, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"].startswith("no-store" if person else "public")
        page = answer.json()
        events += page["items"]
        if page["next_cursor"] is None:
            return events
        asked["cursor"] = page["next_cursor"]


def names(events: list[Document]) -> list[str]:
    return [event["name"] for event in events]


@pytest.fixture
async def season(site: Site, queue: Queue, alice: Person) -> str:
    """Events of one organizer whose names have a word of their own: one of each status."""
    word = f"season-{new_id()[-12:]}"
    # The one that has ended by its time started last.
    passing = await alice.event(
        name=f"{word} passing", starts_at=from_now(hours=-1), ends_at=from_now(seconds=1)
    )
    for days, name in enumerate(("active", "cancelled", "ended"), start=1):
        times = {"starts_at": from_now(days=days), "ends_at": from_now(days=40)}
        event = await alice.event(name=f"{word} {name}", **times)
        if name != "active":
            succeeded(await alice.close(event["id"], name.removesuffix("led").removesuffix("ed")))

    async def status() -> str:
        return str((await read_event(site, passing["id"]))["status"])

    await eventually(status, lambda now: now == "ended", within_seconds=5)
    return word


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (None, ["active"]),
        ("active", ["active"]),
        ("cancelled", ["cancelled"]),
        ("ended", ["passing", "ended"]),
        ("all", ["passing", "active", "cancelled", "ended"]),
    ],
)
async def test_events_are_listed_by_status_and_active_ones_by_default(
    site: Site, season: str, status: str | None, expected: list[str]
) -> None:
    found = await listed(site, q=season, **({"status": status} if status else {}))
    assert names(found) == [f"{season} {name}" for name in expected]


async def test_an_organizer_lists_their_own_events_of_any_status(
    site: Site, organizer: Person, alice: Person, bob: Person, season: str
) -> None:
    await organizer.event(name=f"{season} of another organizer")

    mine = await listed(site, person=alice, organizer="me", limit=2)
    active = await listed(site, person=alice, organizer="me", status="active")

    assert len(mine) == 4
    assert {event["organizer_id"] for event in mine} == {alice.id}
    assert names(active) == [f"{season} active"]
    assert await listed(site, person=bob, organizer="me") == []
    without_token = await site.http.get(f"{site.urls[0]}/v1/events?organizer=me")
    refused(without_token, 401, "unauthenticated")


async def test_a_part_of_the_name_is_found_in_any_case_and_wildcards_are_text(
    site: Site, organizer: Person
) -> None:
    word = new_id()[-12:]
    for name in (f"{word} Café ÉTOILE", f"{word} 100% live", f"{word} 100 live", f"{word} a_b\\c"):
        await organizer.event(name=name)

    async def found(text: str) -> list[str]:
        return [name.removeprefix(f"{word} ") for name in names(await listed(site, q=text))]

    assert len(await found(word.upper())) == 4
    assert await found(f"{word} CAFÉ étoile") == ["Café ÉTOILE"]
    assert await found(f"{word} 100%") == ["100% live"]
    assert await found(f"{word} a_b\\") == ["a_b\\c"]
    assert await found(f"{word}_") == []
    assert await found(f"{word}%live") == []
    assert await found(f"{word}\\") == []


async def test_events_are_listed_by_their_start(site: Site, organizer: Person) -> None:
    word = new_id()[-12:]
    for day in (1, 2, 3):
        await organizer.event(
            name=f"{word} {day}",
            starts_at=f"2041-05-0{day}T20:00:00Z",
            ends_at="2041-06-01T00:00:00Z",
        )

    async def days(**query: str) -> list[str]:
        return [name[-1] for name in names(await listed(site, q=word, **query))]

    second = "2041-05-02T22:00:00+02:00"
    assert await days(starts_after=second) == ["2", "3"]
    assert await days(starts_before=second) == ["1"]
    assert await days(starts_after=second, starts_before="2041-05-03T20:00:00Z") == ["2"]


async def test_a_cursor_keeps_its_filter(site: Site, organizer: Person) -> None:
    word = new_id()[-12:]
    for number in range(3):
        await organizer.event(name=f"{word} {number}")
    url = f"{site.urls[0]}/v1/events"
    first = (await site.http.get(url, params={"q": word, "limit": 1})).json()
    cursor = first["next_cursor"]

    next_page = await site.http.get(url, params={"q": word, "limit": 5, "cursor": cursor})
    assert len(next_page.json()["items"]) == 2
    for other in ({}, {"q": f"{word} "}, {"q": word, "status": "all"}):
        answer = await site.http.get(url, params={**other, "cursor": cursor})
        (error,) = refused(answer, 422, "invalid_request")["errors"]
        assert error == {"loc": ["query", "cursor"], "msg": "invalid cursor"}
