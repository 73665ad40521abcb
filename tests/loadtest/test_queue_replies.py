"""What replies say is entered in the books, whatever the order and spacing of their JSON."""

import json
from typing import Any

import pytest

from loadtest.fixtures import Account, Fixtures
from loadtest.queue.load_generator import QueueLoad, SendRate
from loadtest.workload import Workload

STAGE = Fixtures(Account("organizer", ""), "event", ["type"], [Account("buyer", "")])
COMMANDS = 3


class SilentLink:
    """Takes messages and tells nobody."""

    def __init__(self) -> None:
        self.lost: Any = type("NeverLost", (), {"done": lambda _: False})()
        self.sent: list[tuple[str, list[dict[str, Any]]]] = []

    def publish(self, name: str, body: bytes) -> int:
        self.sent.append((name, json.loads(body)))
        return len(self.sent)


def outcome(command: dict[str, Any], refusal: str | None = None) -> dict[str, Any]:
    cart = {"id": "a cart", "status": "active", "items": [{"ticket_type_id": "type"}]}
    return {
        "command_id": command["command_id"],
        "kind": command["kind"],
        "status": "refused" if refusal else "succeeded",
        "submitted_at": command["submitted_at"],
        "decided_at": command["submitted_at"],
        "result": None if refusal else {"cart": cart},
        "refusal": {"code": refusal, "detail": 'a "status":"pending"'} if refusal else None,
    }


async def a_load(repeats: float = 0.0) -> tuple[QueueLoad, SilentLink]:
    """Return a load that has sent its first message."""
    pace = SendRate(COMMANDS, messages_in_flight=1)
    load = QueueLoad(Workload(buyers=1, repeats=repeats), STAGE, pace, warm_up_seconds=0)
    link = SilentLink()
    load._link = link
    load.start(0.0)
    load.stop_sending(0.0)
    return load, link


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize("turned_round", [False, True])
@pytest.mark.parametrize("repeats", [0.0, 1.0])
async def test_each_outcome_is_entered(
    separators: tuple[str, str], turned_round: bool, repeats: float
) -> None:
    load, link = await a_load(repeats)
    ((name, commands),) = link.sent
    documents = [outcome(each) for each in commands[:2]] + [outcome(commands[2], "sale_ended")]
    if turned_round:
        documents = [dict(reversed(each.items())) for each in documents]
    load._on_reply(name, json.dumps(documents, separators=separators).encode())
    assert load.counters.faults == {}
    assert load.counters.answered == load.counters.asked == COMMANDS
    assert (load.counters.succeeded, dict(load.counters.refusals)) == (2, {"sale_ended": 1})
    assert load.counters.granted == [2]


async def test_outcomes_in_another_order_are_a_fault() -> None:
    load, link = await a_load()
    ((name, commands),) = link.sent
    documents = [outcome(each) for each in reversed(commands)]
    load._on_reply(name, json.dumps(documents).encode())
    assert load.counters.faults["an outcome of another command"] == 2


async def test_too_few_outcomes_are_a_fault() -> None:
    load, link = await a_load()
    ((name, commands),) = link.sent
    load._on_reply(name, json.dumps([outcome(commands[0])]).encode())
    assert load.counters.faults.total() == 1
    assert load.counters.unanswered == COMMANDS


async def test_a_reply_that_comes_twice_is_a_fault() -> None:
    load, link = await a_load()
    ((name, commands),) = link.sent
    reply = json.dumps([outcome(each) for each in commands]).encode()
    load._on_reply(name, reply)
    load._on_reply(name, reply)
    assert load.counters.faults["a reply to no message of ours"] == 1


async def test_a_command_that_the_broker_refuses_has_no_outcome() -> None:
    load, _ = await a_load()
    load._on_confirm(1, False, False)
    assert load.counters.not_accepted == COMMANDS
    assert load.counters.unanswered == 0
