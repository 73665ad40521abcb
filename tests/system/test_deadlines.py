"""Deadlines: a command that waited too long takes no tickets."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.ids import new_id
from tests.deployment import Deployment
from tests.system.amqp import Queue
from tests.system.books import Books
from tests.system.clients import Person, Site
from tests.system.pauses import workers_paused

DEADLINE_SECONDS = 1


@pytest.fixture(scope="module")
async def hurried(system: Deployment) -> AsyncIterator[Deployment]:
    """The same workers, and a gateway with a short command deadline."""
    async with Deployment(system.database_url, system.broker_url) as deployment:
        gateway = deployment.add(
            "gateway",
            deployment.gateways,
            HOLDFAST_COMMAND_DEADLINE_SECONDS=str(DEADLINE_SECONDS),
        )
        await gateway.start()
        deployment.workers = system.workers
        yield deployment
        deployment.workers = []  # they serve the other tests


async def test_a_backlog_older_than_its_deadlines_has_no_late_effect(
    hurried: Deployment, organizer: Person, site: Site, queue: Queue, books: Books
) -> None:
    ticket_type_id = await organizer.sale(total=100)
    people = [
        Person(each.http, hurried, each.id, each.email, each.token)
        for each in await site.people(20, queue)
    ]
    holder, *others = people
    assert (await holder.reserve(ticket_type_id, 7)).status_code == 200
    keys = {person: new_id() for person in others}
    async with workers_paused(hurried):
        for person, key in keys.items():
            assert (await person.reserve(ticket_type_id, key=key, prefer=None)).status_code == 202
        late = await holder.set(ticket_type_id, 9, prefer=None)
        release = await holder.release(ticket_type_id, prefer=None)
        renamed = await organizer.ask(
            "PATCH", f"/ticket-types/{ticket_type_id}", json={"name": "X"}, prefer="respond-async"
        )
        await asyncio.sleep(DEADLINE_SECONDS + 0.5)
    for person, key in keys.items():
        assert (await person.outcome(key))["refusal"]["code"] == "deadline_passed"
        again = await person.reserve(ticket_type_id, key=key)
        assert again.status_code == 409  # a retry in time does not revive it
        assert again.json()["code"] == "deadline_passed"
    assert (await holder.outcome(late.json()["command_id"]))["refusal"]["code"] == "deadline_passed"
    # Commands that give tickets back, and organizers' commands, have no deadline.
    assert (await holder.outcome(release.json()["command_id"]))["status"] == "succeeded"
    assert (await organizer.outcome(renamed.json()["command_id"]))["status"] == "succeeded"
    assert await books.reserved(ticket_type_id) == 0
    await books.balance()


async def test_a_repetition_within_the_deadline_gets_the_first_answer(
    hurried: Deployment, organizer: Person, alice: Person
) -> None:
    """Each attempt has its own deadline, which is not part of the payload."""
    ticket_type_id = await organizer.sale()
    buyer = Person(alice.http, hurried, alice.id, alice.email, alice.token)
    key = new_id()
    first = await buyer.reserve(ticket_type_id, key=key)
    await asyncio.sleep(0.05)
    assert (await buyer.reserve(ticket_type_id, key=key)).content == first.content
    await asyncio.sleep(DEADLINE_SECONDS)
    assert (await buyer.reserve(ticket_type_id, key=key)).content == first.content
