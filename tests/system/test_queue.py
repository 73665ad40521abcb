"""The queue: commands in, outcomes back, without HTTP."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aio_pika
import pytest

from shared.ids import id_at, new_id
from tests.system.amqp import DEAD, EXCHANGE, QUEUE, Queue, command, reservation
from tests.system.books import Books
from tests.system.clients import SOME_HASH, Person, Site, eventually, fresh_email, from_now

DAY_MS = 86_400_000


def now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)


async def test_an_outcome_answers_every_command_of_a_message_in_order(
    queue: Queue, alice: Person, bob: Person, ticket_type_id: str
) -> None:
    commands = [
        reservation(alice.id, ticket_type_id, 3),
        reservation(bob.id, ticket_type_id, 8),
        command("set_quantity", alice.id, ticket_type_id=ticket_type_id, quantity=1),
        reservation(bob.id, ticket_type_id, 9),
    ]
    outcomes = await queue.decide(*commands)
    assert [outcome["command_id"] for outcome in outcomes] == [c["command_id"] for c in commands]
    assert [outcome["kind"] for outcome in outcomes] == [c["kind"] for c in commands]
    assert [outcome["status"] for outcome in outcomes] == [
        "succeeded",
        "refused",
        "succeeded",
        "succeeded",
    ]
    refusal = outcomes[1]["refusal"]
    assert refusal.pop("detail")
    assert refusal == {
        "code": "insufficient_availability",
        "ticket_type_id": ticket_type_id,
        "requested": 8,
        "available": 7,
    }


async def test_the_outcome_document_has_the_fields_of_the_contract(
    queue: Queue, alice: Person, ticket_type_id: str
) -> None:
    one = reservation(alice.id, ticket_type_id, 2)
    outcome = await queue.decide_one(one)
    assert set(outcome) == {
        "command_id",
        "kind",
        "status",
        "submitted_at",
        "decided_at",
        "result",
        "refusal",
    }
    assert outcome["refusal"] is None
    submitted_at = datetime.fromisoformat(outcome["submitted_at"])
    assert submitted_at == datetime.fromisoformat(one["submitted_at"])
    assert outcome["submitted_at"].endswith("Z")
    assert outcome["decided_at"].endswith("Z")
    assert outcome["result"]["cart"]["items"] == [
        {
            "ticket_type_id": ticket_type_id,
            "event_id": outcome["result"]["cart"]["items"][0]["event_id"],
            "quantity": 2,
        }
    ]


async def test_a_reply_is_sent_after_the_commit(
    queue: Queue, books: Books, alice: Person, ticket_type_id: str
) -> None:
    for quantity in range(1, 6):
        one = command("set_quantity", alice.id, ticket_type_id=ticket_type_id, quantity=quantity)
        outcome = await queue.decide_one(one)
        assert await books.held_by([alice.id]) == {alice.id: {ticket_type_id: quantity}}
        recorded = await books.outcomes([one["command_id"]])
        assert json.loads(recorded[one["command_id"]]) == outcome


async def test_a_duplicate_gets_the_recorded_outcome_again(
    queue: Queue, books: Books, alice: Person, ticket_type_id: str
) -> None:
    one = reservation(alice.id, ticket_type_id, 2)
    body = json.dumps([one]).encode()
    first = await queue.ask(body)
    assert await queue.ask(body) == first
    # Twice in one message and with other times, which are not part of the payload.
    later = one | {"submitted_at": from_now(seconds=1), "deadline": from_now(hours=1)}
    assert await queue.decide(one, later) == json.loads(first) * 2
    assert await books.held_by([alice.id]) == {alice.id: {ticket_type_id: 2}}


async def test_a_double_click_holds_once_over_the_queue(
    queue: Queue, site: Site, books: Books, alice: Person, ticket_type_id: str
) -> None:
    one = reservation(alice.id, ticket_type_id, 1)
    async with Queue(site.deployment.broker_url) as other:
        (a, b) = await queue.decide(one, one)
        (c,) = await other.decide(one)
    assert a["status"] == "succeeded"
    assert a == b == c
    assert await books.held_by([alice.id]) == {alice.id: {ticket_type_id: 1}}


async def test_two_users_and_the_last_ticket_over_the_queue(
    queue: Queue, books: Books, organizer: Person, alice: Person, bob: Person
) -> None:
    last = await organizer.sale(total=1)
    outcomes = await queue.decide(reservation(alice.id, last), reservation(bob.id, last))
    assert [outcome["status"] for outcome in outcomes] == ["succeeded", "refused"]
    assert outcomes[1]["refusal"]["code"] == "insufficient_availability"
    assert await books.reserved(last) == 1
    await books.balance()


async def test_the_same_id_with_another_payload_changes_nothing(
    queue: Queue, books: Books, alice: Person, bob: Person, ticket_type_id: str
) -> None:
    one = reservation(alice.id, ticket_type_id, 1)
    await queue.decide_one(one)
    recorded = await books.outcomes([one["command_id"]])
    for other in (
        reservation(alice.id, ticket_type_id, 2, command_id=one["command_id"]),
        reservation(bob.id, ticket_type_id, 1, command_id=one["command_id"]),
        command("release_cart", alice.id, command_id=one["command_id"]),
    ):
        outcome = await queue.decide_one(other)
        assert outcome["refusal"]["code"] == "command_id_reused"
    assert await books.outcomes([one["command_id"]]) == recorded
    assert await books.held_by([alice.id, bob.id]) == {alice.id: {ticket_type_id: 1}, bob.id: {}}


async def test_a_command_without_reply_to_is_decided(
    queue: Queue, alice: Person, ticket_type_id: str
) -> None:
    one = reservation(alice.id, ticket_type_id)
    await queue.hand_in(one)
    outcome = await alice.outcome(one["command_id"])
    assert outcome["status"] == "succeeded"
    assert await alice.holds() == {ticket_type_id: 1}


async def test_every_kind_of_command_goes_over_the_queue(queue: Queue) -> None:
    user_id = str(uuid4())
    email = fresh_email()
    create_event = command(
        "create_event",
        user_id,
        name="A match",
        starts_at=from_now(days=1),
        ends_at=from_now(days=2),
    )
    event_id = create_event["command_id"]
    create_ticket_type = command(
        "create_ticket_type",
        user_id,
        event_id=event_id,
        name="Seated",
        total_quantity=5,
        sale_starts_at=from_now(days=-1),
        sale_ends_at=from_now(days=1),
    )
    ticket_type_id = create_ticket_type["command_id"]
    of_type: dict[str, Any] = {"ticket_type_id": ticket_type_id}
    outcomes = await queue.decide(
        command("register_user", user_id, email=email, password_hash=SOME_HASH),
        create_event,
        create_ticket_type,
        command("change_ticket_type", user_id, **of_type, total_quantity=6),
        reservation(user_id, ticket_type_id, 2),
        command("set_quantity", user_id, **of_type, quantity=6),
        command("release_item", user_id, **of_type),
        command("release_cart", user_id),
        command("change_event", user_id, event_id=event_id, name="A match"),
        command("cancel_event", user_id, event_id=event_id),
        command("end_event", user_id, event_id=event_id),
    )
    *good, end_event = outcomes
    assert {outcome["status"] for outcome in good} == {"succeeded"}, outcomes
    assert outcomes[0]["result"] == {"user": {"id": user_id, "email": email}}
    assert outcomes[3]["result"]["ticket_type"]["available"] == 6
    assert outcomes[5]["result"]["cart"]["items"][0]["quantity"] == 6
    assert outcomes[7]["result"]["cart"]["status"] == "empty"
    assert outcomes[8]["result"]["event"]["name"] == "A match"
    assert outcomes[9]["result"]["event"]["status"] == "cancelled"
    assert end_event["refusal"]["code"] == "event_cancelled"


async def test_an_event_is_ended_over_the_queue(queue: Queue, organizer: Person) -> None:
    event = await organizer.event()
    outcome = await queue.decide_one(command("end_event", organizer.id, event_id=event["id"]))
    assert outcome["result"]["event"] == event | {"status": "ended"}


async def test_a_command_of_an_unknown_user_is_refused(queue: Queue, ticket_type_id: str) -> None:
    outcome = await queue.decide_one(reservation(str(uuid4()), ticket_type_id))
    assert outcome["refusal"]["code"] == "user_not_found"


async def test_after_its_deadline_a_command_is_refused(
    queue: Queue, books: Books, alice: Person, ticket_type_id: str
) -> None:
    late = reservation(alice.id, ticket_type_id, deadline=from_now(seconds=-1))
    in_time = reservation(alice.id, ticket_type_id, deadline=from_now(minutes=1))
    outcomes = await queue.decide(late, in_time)
    assert outcomes[0]["refusal"]["code"] == "deadline_passed"
    assert outcomes[1]["status"] == "succeeded"
    assert await books.held_by([alice.id]) == {alice.id: {ticket_type_id: 1}}


async def test_an_id_older_than_the_window_is_refused(
    queue: Queue, alice: Person, ticket_type_id: str
) -> None:
    old = reservation(alice.id, ticket_type_id, command_id=id_at(now_ms() - DAY_MS - 5_000))
    young = reservation(alice.id, ticket_type_id, command_id=id_at(now_ms() - DAY_MS + 60_000))
    outcomes = await queue.decide(old, young)
    assert outcomes[0]["refusal"]["code"] == "stale_command"
    assert outcomes[1]["status"] == "succeeded"


async def test_an_unreadable_command_is_set_aside_and_its_neighbours_are_applied(
    queue: Queue, books: Books, alice: Person, bob: Person, ticket_type_id: str
) -> None:
    bad = reservation(alice.id, ticket_type_id, 0)
    before, after = reservation(alice.id, ticket_type_id, 1), reservation(bob.id, ticket_type_id, 2)
    correlation_id = str(uuid4())
    reply = await queue.ask(json.dumps([before, bad, after]).encode(), correlation_id)
    outcomes = json.loads(reply)
    assert [outcome["status"] for outcome in outcomes] == ["succeeded", "refused", "succeeded"]
    assert outcomes[1]["command_id"] == bad["command_id"]
    assert outcomes[1]["refusal"]["code"] == "unprocessable"
    letter = await queue.take_dead_letter(correlation_id)
    assert json.loads(letter.body) == [bad]
    assert letter.headers["x-reason"]
    assert "quantity" in str(letter.headers["x-error"])
    assert await books.held_by([alice.id, bob.id]) == {
        alice.id: {ticket_type_id: 1},
        bob.id: {ticket_type_id: 2},
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "sell_everything"},
        {"kind": None},
        {"surprise": True},
        {"command_id": "4b0c2f1e-8f0e-4a57-9c1e-3a1c4be0a001"},
        # Named, as test IDs have to be the same in every process.
        pytest.param({"command_id": id_at(now_ms() + 3_600_000)}, id="an hour ahead"),
        {"user_id": "nobody"},
        {"submitted_at": "yesterday"},
        {"submitted_at": "2026-01-01T00:00:00"},
        {"items": []},
        {"items": [{"ticket_type_id": "x", "quantity": 1}]},
    ],
    ids=str,
)
async def test_a_command_that_fails_validation_is_answered_unprocessable(
    queue: Queue, books: Books, alice: Person, ticket_type_id: str, changes: dict[str, Any]
) -> None:
    correlation_id = str(uuid4())
    body = json.dumps([reservation(alice.id, ticket_type_id) | changes]).encode()
    (outcome,) = json.loads(await queue.ask(body, correlation_id))
    assert outcome["status"] == "refused"
    assert outcome["refusal"]["code"] == "unprocessable"
    assert (await queue.take_dead_letter(correlation_id)).headers["x-error"]
    assert await books.held_by([alice.id]) == {alice.id: {}}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not JSON",
        b"{}",
        b"[]",
        b"null",
        b'"text"',
        b"[" * 10_000,
        b'["\xff"]',
        json.dumps([command("release_cart", str(uuid4())) for _ in range(101)]).encode(),
        b"[" + b" " * (256 * 1024) + json.dumps(command("release_cart", new_id())).encode() + b"]",
        b"[" + b" " * 20_000_000 + b"]",
    ],
    ids=[
        "empty",
        "not JSON",
        "object",
        "empty array",
        "null",
        "text",
        "deep",
        "not UTF-8",
        "101 commands",
        "more than 256 KiB",
        "20 MB",
    ],
)
async def test_an_unreadable_message_is_set_aside_as_a_whole(queue: Queue, body: bytes) -> None:
    correlation_id = str(uuid4())
    (outcome,) = json.loads(await queue.ask(body, correlation_id))
    assert outcome["refusal"]["code"] == "unprocessable"
    letter = await queue.take_dead_letter(correlation_id)
    assert letter.body == body
    assert letter.headers["x-reason"]
    assert letter.headers["x-error"]


async def test_a_message_of_100_commands_is_read(queue: Queue, alice: Person) -> None:
    outcomes = await queue.decide(*(command("release_cart", alice.id) for _ in range(100)))
    assert [outcome["status"] for outcome in outcomes] == ["succeeded"] * 100


async def test_commands_and_dead_letters_have_separate_durable_queues(queue: Queue) -> None:
    """A declaration that differs from the existing queue would close the channel."""
    connection = await aio_pika.connect(queue.url)
    async with connection:
        channel = await connection.channel()
        for exchange in (EXCHANGE, DEAD):
            await channel.declare_exchange(exchange, "direct", durable=True)
        for name in (QUEUE, DEAD):
            await channel.declare_queue(name, passive=True)


async def test_decided_commands_leave_the_queue(queue: Queue, alice: Person) -> None:
    await queue.decide(*(command("release_cart", alice.id) for _ in range(20)))

    async def ready() -> int:
        declared = await queue.channel.declare_queue(QUEUE, passive=True)
        return declared.declaration_result.message_count or 0

    await eventually(ready, lambda count: count == 0, within_seconds=5)


async def test_a_refusal_by_a_rule_is_recorded_and_not_dead_lettered(
    queue: Queue, books: Books, organizer: Person, ticket_type_id: str
) -> None:
    """A sale that would end before it starts is a mistake, with nothing for an operator to do."""
    one = command(
        "change_ticket_type",
        organizer.id,
        ticket_type_id=ticket_type_id,
        sale_ends_at="2001-01-01T00:00:00Z",
    )
    dead = await queue.channel.declare_queue(DEAD, passive=True)
    before = dead.declaration_result.message_count
    (outcome,) = await queue.decide(one)
    assert outcome["refusal"]["code"] == "unprocessable"
    assert json.loads((await books.outcomes([one["command_id"]]))[one["command_id"]]) == outcome
    dead = await queue.channel.declare_queue(DEAD, passive=True)
    assert dead.declaration_result.message_count == before
