"""Availability: how many tickets of a type are left, as any client may read it."""

import asyncio

from tests.system.amqp import Document, Queue
from tests.system.clients import Person, Site, eventually, succeeded

TRAILS_SECONDS = 0.5
REQUEST_SECONDS = 0.5
"""How long the two reads around the moment may take on a busy machine."""


async def ticket_types(site: Site, event_id: str, via: int) -> list[Document]:
    answer = await site.http.get(f"{site.urls[via]}/v1/events/{event_id}")
    listed: list[Document] = answer.json()["ticket_types"]
    return listed


async def test_availability_follows_every_change_within_half_a_second_at_both_gateways(
    site: Site, organizer: Person, alice: Person
) -> None:
    event = await organizer.event()
    id = (await organizer.ticket_type(event["id"], total=10))["id"]
    for change, reserved, total in (
        (alice.reserve(id, 4), 4, 10),
        (alice.set(id, 7), 7, 10),
        (organizer.change(id, total_quantity=8), 7, 8),
        (alice.release(id), 0, 8),
    ):
        succeeded(await change)
        good = {
            "total_quantity": total,
            "reserved_quantity": reserved,
            "sold_quantity": 0,
            "available": total - reserved,
        }
        for via in (0, 1):
            await eventually_shown(site, event["id"], via, good)


async def eventually_shown(site: Site, event_id: str, via: int, good: Document) -> None:
    async def shown() -> Document:
        return (await ticket_types(site, event_id, via))[0]

    def is_good(seen: Document) -> bool:
        return good.items() <= seen.items()

    await eventually(shown, is_good, within_seconds=TRAILS_SECONDS + REQUEST_SECONDS)


async def test_reserved_and_available_add_up_to_the_total_in_every_read(
    site: Site, queue: Queue, organizer: Person
) -> None:
    event = await organizer.event()
    id = (await organizer.ticket_type(event["id"], total=12))["id"]
    people = await site.people(5, queue)
    seen: list[Document] = []

    async def look() -> None:
        while True:
            for via in (0, 1):
                seen.extend(await ticket_types(site, event["id"], via))

    looking = asyncio.create_task(look())

    async def shop(person: Person, via: int) -> None:
        for _ in range(8):
            await person.reserve(id, 3, via=via)
            await person.release(via=1 - via)

    await asyncio.gather(*(shop(person, n % 2) for n, person in enumerate(people)))
    looking.cancel()
    assert len({one["reserved_quantity"] for one in seen}) > 1
    for one in seen:
        assert one["available"] == 12 - one["reserved_quantity"] - one["sold_quantity"]
        assert 0 <= one["reserved_quantity"] <= 12


async def test_the_ticket_types_of_an_event_are_all_on_its_page(
    site: Site, organizer: Person
) -> None:
    event = await organizer.event()
    mine = [await organizer.ticket_type(event["id"], total=n) for n in (1, 2, 3)]
    for via in (0, 1):
        listed = await ticket_types(site, event["id"], via)
        assert sorted(listed, key=lambda one: one["id"]) == sorted(mine, key=lambda one: one["id"])
