"""Two gateways and two workers work as one."""

import asyncio
import json

from shared.ids import new_id
from tests.system.amqp import Queue, reservation
from tests.system.books import Books
from tests.system.clients import Person, Site, refused, succeeded
from tests.system.pauses import workers_paused
from tests.system.test_commands import read_stream, stream


async def test_a_command_published_at_one_gateway_is_awaited_at_the_other(
    alice: Person, ticket_type_id: str
) -> None:
    for here, there in ((0, 1), (1, 0)):
        key = new_id()
        async with workers_paused(alice.deployment):
            published = await alice.reserve(ticket_type_id, key=key, via=here, prefer=None)
            assert published.status_code == 202
            awaited = asyncio.create_task(alice.reserve(ticket_type_id, key=key, via=there))
            long_poll = asyncio.create_task(
                alice.get(f"/commands/{key}", via=there, prefer="wait=20")
            )
            done, _ = await asyncio.wait([awaited, long_poll], timeout=0.2)
            assert not done
        succeeded(await awaited)
        assert (await awaited).json() == (await long_poll).json()
        async with stream(alice, key, via=there) as response:
            assert (await read_stream(response))[1] == (await long_poll).json()
    assert await alice.holds() == {ticket_type_id: 2}


async def test_a_stream_at_the_other_gateway_gets_the_outcome(
    alice: Person, ticket_type_id: str
) -> None:
    async with workers_paused(alice.deployment):
        answer = await alice.reserve(ticket_type_id, via=0, prefer=None)
        opened = asyncio.Event()

        async def follow() -> dict[str, object]:
            async with stream(alice, answer.json()["command_id"], via=1) as response:
                opened.set()
                return (await read_stream(response))[1]

        following = asyncio.create_task(follow())
        await asyncio.wait_for(opened.wait(), 5)
    outcome = await following
    assert outcome["status"] == "succeeded"


async def test_a_key_sent_to_both_gateways_at_once_gives_equal_answers_and_one_hold(
    books: Books, alice: Person, ticket_type_id: str
) -> None:
    keys = [new_id() for _ in range(10)]
    answers = await asyncio.gather(
        *(alice.reserve(ticket_type_id, key=key, via=via) for key in keys for via in (0, 1))
    )
    for first, second in zip(answers[::2], answers[1::2], strict=True):
        succeeded(first)
        assert first.content == second.content
    assert await books.held_by([alice.id]) == {alice.id: {ticket_type_id: 10}}
    await books.balance()


async def test_200_buyers_of_100_tickets_get_exactly_100(
    site: Site, queue: Queue, books: Books, organizer: Person
) -> None:
    tickets = await organizer.sale(total=100)
    buyers = await site.people(200, queue)
    answers = await asyncio.gather(
        *(buyer.reserve(tickets, via=n % 2, prefer="wait=30") for n, buyer in enumerate(buyers))
    )
    for answer in answers:
        if answer.status_code != 200:
            problem = refused(answer, 409, "insufficient_availability")
            assert (problem["requested"], problem["available"]) == (1, 0)
    won = {buyer.id for buyer, answer in zip(buyers, answers, strict=True) if answer.is_success}
    held = await books.held_by([buyer.id for buyer in buyers])
    assert len(won) == 100
    assert {buyer_id for buyer_id, cart in held.items() if cart} == won
    assert await books.reserved(tickets) == 100
    await books.balance()


async def test_an_outcome_of_one_gateway_is_readable_at_once_at_the_other(
    alice: Person, ticket_type_id: str
) -> None:
    for quantity in range(1, 9):
        here, there = quantity % 2, 1 - quantity % 2
        answer = await alice.set(ticket_type_id, quantity, via=here)
        cart = await alice.cart(via=there)
        outcome = await alice.poll(answer.json()["command_id"], via=there)
        assert cart == succeeded(answer)["cart"]
        assert outcome == answer.json()


async def test_an_outcome_of_the_queue_is_readable_at_every_gateway(
    queue: Queue, books: Books, alice: Person, ticket_type_id: str
) -> None:
    answer = await alice.reserve(ticket_type_id, 2)
    command_id = answer.json()["command_id"]
    again = await queue.decide_one(reservation(alice.id, ticket_type_id, 2, command_id=command_id))
    assert again == answer.json()
    assert json.loads((await books.outcomes([command_id]))[command_id]) == again
    other = await queue.decide_one(reservation(alice.id, ticket_type_id, 3))
    for via in (0, 1):
        assert await alice.poll(other["command_id"], via=via) == other
        assert await alice.holds(via=via) == {ticket_type_id: 5}


async def test_both_workers_decide_commands(site: Site, queue: Queue, organizer: Person) -> None:
    tickets = await organizer.sale(total=1_000)
    people = await site.people(60, queue)
    await asyncio.gather(*(person.reserve(tickets, via=n % 2) for n, person in enumerate(people)))
    for worker in site.deployment.workers:
        metrics = (await site.http.get(f"{worker.url}/metrics")).text
        decided = [line for line in metrics.splitlines() if "decided_total{" in line]
        assert decided, "a worker that has decided nothing"
