"""An operator sees dead letters, understands them, and hands them in again or drops them."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from faststream.rabbit import Channel, RabbitBroker

from dev.services import services
from shared import topology
from shared.ids import id_at, new_id, unix_ms
from shared.messages import encode_commands
from tests.builders import PASSWORD_HASH, register_user, release_cart, reserve
from tests.deployment import Deployment
from tests.worker.harness import Harness, eventually
from tests.worker.queue_client import QueueClient
from tests.worker.test_one_command_that_fails import damaged_hold
from worker.deadletters import publish
from worker.deadletters import queue as dead_letter_queue
from worker.deadletters.__main__ import run
from worker.deadletters.arguments import read_arguments
from worker.deadletters.formatting import masked
from worker.deadletters.publish import declare_dead_letters, publish_dead_letter

DONE, NOT_ALL_DONE, WRONG_USAGE, UNREACHABLE = range(4)
EMAIL = "canary@example.com"


@pytest.fixture
async def broker(broker_url: str) -> AsyncIterator[RabbitBroker]:
    """The worker's broker; no dead letters are there yet."""
    default = Channel(on_return_raises=True)
    broker = RabbitBroker(broker_url, logger=None, default_channel=default)
    await declare_dead_letters(broker)
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel()
        await (await channel.get_queue(topology.DEAD_QUEUE)).purge()
    yield broker
    await broker.stop()


@pytest.fixture(scope="module")
async def deployment(database_url: str, broker_url: str) -> AsyncIterator[Deployment]:
    async with Deployment(database_url, broker_url) as deployment:
        yield deployment


@pytest.fixture
async def worker(deployment: Deployment, broker: RabbitBroker) -> None:
    if not deployment.workers:
        await deployment.start(gateways=0, workers=1)


class Operator:
    """Runs the tool as from the command line, on the broker of these tests."""

    def __init__(self, broker_url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._broker_url = broker_url
        self._capsys = capsys
        self.out = self.err = ""

    async def run(self, *given: str) -> int:
        self._capsys.readouterr()
        code = await run(self._broker_url, read_arguments(given))
        self.out, self.err = self._capsys.readouterr()
        return code

    async def list(self, *given: str) -> list[dict[str, Any]]:
        assert await self.run("list", "--json", *given) == DONE
        letters = json.loads(self.out)["letters"]
        assert isinstance(letters, list)
        return letters


@pytest.fixture
def operator(broker_url: str, capsys: pytest.CaptureFixture[str]) -> Operator:
    return Operator(broker_url, capsys)


async def bury_some(broker: RabbitBroker, count: int) -> list[bytes]:
    bodies = [f"letter {n}".encode() for n in range(count)]
    for body in bodies:
        await publish_dead_letter(broker, body, "unreadable", "not JSON", None)
    return bodies


# --- looking --------------------------------------------------------------------------------


async def test_a_letter_is_told_by_reason_command_age_and_error(
    broker: RabbitBroker, operator: Operator
) -> None:
    command = release_cart(new_id())
    await publish_dead_letter(
        broker, encode_commands([command]), "unprocessable", "first\nsecond", None
    )
    await publish_dead_letter(broker, b"hello", "unreadable", "not JSON", None)

    one, other = await operator.list()
    assert (one["position"], one["reason"], one["kinds"]) == (1, "unprocessable", "release_cart")
    assert (one["command_ids"], one["error"]) == ([command.command_id], "first")
    assert (other["position"], other["reason"], other["kinds"]) == (2, "unreadable", "unreadable")
    assert one["id"] < other["id"]
    assert await operator.run("list") == DONE
    head, first, _ = operator.out.splitlines()
    assert head.split() == ["#", "ID", "AGE", "REASON", "COMMANDS", "ERROR"]
    assert first.split() == ["1", one["id"], "0s", "unprocessable", "release_cart", "first"]


async def test_looking_neither_loses_nor_reorders(broker: RabbitBroker, operator: Operator) -> None:
    await bury_some(broker, 30)
    first = await operator.list()
    for limit in ("7", "1", "30"):
        assert await operator.list("--limit", limit) == first[: int(limit)]
    await operator.run("show", first[17]["id"])

    assert await operator.list() == first
    assert len(first) == 30


async def test_what_is_beyond_the_bound_is_said(broker: RabbitBroker, operator: Operator) -> None:
    await bury_some(broker, 5)

    assert await operator.run("list", "--limit", "2") == DONE
    assert len(operator.out.splitlines()) == 3
    assert operator.err == "3 more were not fetched (--limit)\n"


async def test_large_letters_are_not_all_held_at_once(
    broker: RabbitBroker, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letter_queue, "MAX_HELD_BYTES", 20)
    await bury_some(broker, 5)

    assert len(await operator.list()) == 3
    assert len(await operator.list()) == 3


async def test_an_operator_who_is_cut_off_loses_nothing(
    broker: RabbitBroker, operator: Operator, broker_url: str
) -> None:
    await bury_some(broker, 5)
    before = {letter["id"] for letter in await operator.list()}

    async with dead_letter_queue.open_queue(broker_url, 3) as held:
        await held.channel.close()

    # Those that were held come back, and not always to their place.
    assert {letter["id"] for letter in await operator.list()} == before
    assert len(before) == 5


async def test_there_may_be_none(broker: RabbitBroker, operator: Operator) -> None:
    assert await operator.run("list") == DONE
    assert operator.out == "no dead letters\n"


async def test_a_letter_is_shown_with_body_and_headers(
    broker: RabbitBroker, operator: Operator
) -> None:
    command = reserve(new_id(), {new_id(): 2})
    await publish_dead_letter(
        broker, encode_commands([command]), "unprocessable", "why", "correlation"
    )

    for name in ((await operator.list())[0]["id"], command.command_id):
        assert await operator.run("show", "--json", name) == DONE
        told = json.loads(operator.out)
        assert told["body"] == json.loads(encode_commands([command]))
        assert told["headers"][topology.ERROR_HEADER] == "why"
        assert told["correlation_id"] == "correlation"
    assert await operator.run("show", command.command_id) == DONE
    assert '"quantity": 2' in operator.out


SECRETS = {
    "a command": encode_commands([register_user(email=EMAIL)]),
    "a command with a password": json.dumps(
        [{"kind": "register_user", "email": EMAIL, "password": "canary password"}]
    ).encode(),
    "fields that no command has": json.dumps(
        [{"kind": "buy", "note": "canary", "list": ["canary"], "deep": {"x": "canary"}}]
    ).encode(),
    "in a name": json.dumps([{"name": f"call {EMAIL}", EMAIL: 1, "x": PASSWORD_HASH}]).encode(),
    "no JSON": f"email={EMAIL}&password=canary&{PASSWORD_HASH}".encode(),
}


@pytest.mark.parametrize("body", SECRETS.values(), ids=SECRETS)
async def test_secrets_are_shown_only_when_asked_for(
    broker: RabbitBroker, operator: Operator, body: bytes
) -> None:
    await publish_dead_letter(
        broker, body, "unreadable", f"the error quotes {EMAIL} {PASSWORD_HASH}", None
    )
    (letter,) = await operator.list()

    shown = operator.out
    for given in (["list"], ["show", letter["id"]], ["show", "--json", letter["id"]]):
        await operator.run(*given)
        shown += operator.out + operator.err
    assert "canary" not in shown
    assert "argon2" not in shown
    await operator.run("show", "--reveal", letter["id"])
    assert "canary" in operator.out


def test_what_a_command_says_harmlessly_is_not_hidden() -> None:
    command = json.loads(encode_commands([reserve(new_id(), {new_id(): 2})]))

    assert masked(command) == command


# --- handing in again -----------------------------------------------------------------------


async def test_handed_in_again_a_command_is_applied_and_its_letter_goes(
    worker: None, broker: RabbitBroker, operator: Operator, harness: Harness
) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type()
    command = reserve(ann, {tickets: 2})
    await publish_dead_letter(
        broker, encode_commands([command]), "unprocessable", "a bug, since mended", None
    )

    assert await operator.run("retry", command.command_id) == DONE

    assert operator.out.endswith(f"reserve_tickets {command.command_id} succeeded\n")
    assert await harness.held(tickets) == 2
    assert await operator.list() == []


async def test_what_has_an_outcome_keeps_it_and_does_not_come_back(
    worker: None, operator: Operator, harness: Harness, broker_url: str
) -> None:
    """Fault 27, recorded."""
    bad = release_cart(await damaged_hold(harness))
    async with QueueClient.connected(broker_url) as client:
        await client.ask([bad])
        recorded = await harness.recorded(bad)
        (letter,) = await operator.list()
        assert letter["outcome_is_recorded"]
        assert letter["error"] == "The command could not be applied and was set aside."

        assert await operator.run("retry", "--json", "--all") == DONE

        (republished,) = json.loads(operator.out)["republished"]
        assert [one["code"] for one in republished["outcomes"]] == ["unprocessable"]
        assert await harness.recorded(bad) == recorded
        assert await client.no_more_dead_letters()


async def test_corrected_commands_that_fail_become_a_letter_of_their_own(
    worker: None, operator: Operator, harness: Harness, broker_url: str, tmp_path: Path
) -> None:
    first, second = [release_cart(await damaged_hold(harness)) for _ in range(2)]
    async with QueueClient.connected(broker_url) as client:
        await client.ask([first])
    corrected = tmp_path / "corrected.json"
    corrected.write_bytes(encode_commands([second]))

    assert await operator.run("retry", first.command_id, "--body", str(corrected)) == DONE

    assert [one["command_ids"] for one in await operator.list()] == [[second.command_id]]


async def test_handed_in_after_the_window_it_is_stale(
    worker: None, broker: RabbitBroker, operator: Operator, harness: Harness
) -> None:
    """Fault 27, after days: without an outcome, as the broker buried it."""
    ann, tickets = await harness.user(), await harness.ticket_type()
    three_days_ms = 3 * 86_400_000
    old = reserve(ann, {tickets: 1}, command_id=id_at(unix_ms(new_id()) - three_days_ms))
    await publish_dead_letter(broker, encode_commands([old]), "unprocessable", "", None)

    assert await operator.run("retry", "--all") == DONE

    assert operator.out.endswith(f"{old.command_id} refused: stale_command\n")
    assert await harness.held(tickets) == 0
    assert await operator.list() == []


async def test_handed_in_twice_it_is_applied_once(
    worker: None, broker: RabbitBroker, operator: Operator, harness: Harness
) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type()
    command = reserve(ann, {tickets: 2})
    for _ in range(2):
        await publish_dead_letter(broker, encode_commands([command]), "unprocessable", "", None)

    assert await operator.run("retry", "--reason", "unprocessable") == DONE

    assert operator.out.count("succeeded") == 2
    assert await harness.held(tickets) == 2


async def test_what_cannot_be_read_stays_until_it_is_corrected(
    worker: None, broker: RabbitBroker, operator: Operator, harness: Harness, tmp_path: Path
) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type()
    good = json.loads(encode_commands([reserve(ann, {tickets: 2})]))
    bad = [{**good[0], "quantity": 2}]
    await publish_dead_letter(broker, json.dumps(bad).encode(), "unreadable", "quantity", None)
    (letter,) = await operator.list()
    corrected = tmp_path / "corrected.json"
    corrected.write_text("[]")

    assert await operator.run("retry", letter["id"]) == NOT_ALL_DONE
    assert "quantity: Extra inputs are not permitted" in operator.err
    assert await operator.run("retry", letter["id"], "--body", str(corrected)) == NOT_ALL_DONE
    assert await operator.list() == [letter]
    corrected.write_text(json.dumps(good))
    assert await operator.run("retry", letter["id"], "--body", str(corrected)) == DONE

    assert await harness.held(tickets) == 2
    assert await operator.list() == []


async def test_those_with_one_reason_or_named_are_handed_in_and_no_others(
    worker: None, broker: RabbitBroker, operator: Operator, harness: Harness
) -> None:
    commands = [release_cart(user) for user in await harness.users(3)]
    for command, reason in zip(commands, ("one", "other", "one"), strict=True):
        await publish_dead_letter(broker, encode_commands([command]), reason, "", None)
    first, second, third = await operator.list()

    assert await operator.run("retry", second["id"]) == DONE
    assert [one["id"] for one in await operator.list()] == [first["id"], third["id"]]
    assert await operator.run("retry", "--reason", "one") == DONE
    assert await operator.list() == []


async def test_what_the_broker_does_not_take_stays(
    worker: None, broker: RabbitBroker, operator: Operator, broker_url: str, harness: Harness
) -> None:
    command = release_cart(await harness.user())
    await publish_dead_letter(broker, encode_commands([command]), "unprocessable", "", None)
    before = await operator.list()
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(topology.COMMANDS_QUEUE)
        await queue.unbind(topology.COMMANDS_EXCHANGE, topology.COMMANDS_ROUTING_KEY)
        try:
            assert await operator.run("retry", "--all") == NOT_ALL_DONE
        finally:
            await queue.bind(topology.COMMANDS_EXCHANGE, topology.COMMANDS_ROUTING_KEY)

    assert "not confirmed" in operator.err
    assert await operator.list() == before


async def test_letters_that_were_held_are_seen_at_once_by_the_next_command(
    broker: RabbitBroker, broker_url: str, harness: Harness
) -> None:
    for user in await harness.users(20):
        body = encode_commands([release_cart(user)])
        await publish_dead_letter(broker, body, "unprocessable", "", None)
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel()
        for _ in range(20):
            async with dead_letter_queue.open_queue(broker_url, limit=20):
                pass
            ready = await channel.declare_queue(topology.DEAD_QUEUE, passive=True)
            assert ready.declaration_result.message_count == 20


async def test_what_came_back_too_often_is_told_and_can_be_handed_in(
    operator: Operator, harness: Harness, database_url: str
) -> None:
    """Buried by the broker itself, without an outcome, while no worker of ours could say more."""
    with services("tests") as own:
        mine = Operator(own.broker_url, operator._capsys)
        command = release_cart(await harness.user())
        async with Deployment(database_url, own.broker_url) as deployment:
            await deployment.start(gateways=0, workers=1)
            assert await deployment.workers[0].stop() == 0
            async with QueueClient.connected(own.broker_url) as client:
                await client.publish([command])
                queue = await client.channel.get_queue(topology.COMMANDS_QUEUE)
                while message := await queue.get(fail=False):
                    await message.nack(requeue=True)

                async def buried() -> bool:
                    return await client.ready_messages(topology.DEAD_QUEUE) == 1

                await eventually(buried)
            (letter,) = await mine.list()
            assert letter["reason"] == "delivery_limit"
            assert letter["error"] == "redelivered more often than the broker allows"
            assert letter["set_aside_at"]
            await deployment.add("worker", deployment.workers).start()

            assert await mine.run("retry", command.command_id) == DONE

            assert mine.out.endswith(f"{command.command_id} succeeded\n")
            assert await mine.list() == []


# --- dropping -------------------------------------------------------------------------------


async def test_a_letter_is_dropped_alone(broker: RabbitBroker, operator: Operator) -> None:
    await bury_some(broker, 3)
    first, second, third = await operator.list()

    assert await operator.run("drop", "--yes", second["id"]) == DONE

    assert [one["id"] for one in await operator.list()] == [first["id"], third["id"]]


async def test_before_a_drop_the_operator_is_asked(
    broker: RabbitBroker, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bury_some(broker, 2)
    before = await operator.list()

    assert await operator.run("drop", "--all") == WRONG_USAGE, "nobody is there"
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    for answer, code in (("", NOT_ALL_DONE), ("no", NOT_ALL_DONE)):
        monkeypatch.setattr("builtins.input", lambda _, answer=answer: answer)
        assert await operator.run("drop", "--all") == code
        assert await operator.list() == before
    monkeypatch.setattr("builtins.input", lambda _: "y")
    assert await operator.run("drop", "--all") == DONE
    assert await operator.list() == []


async def test_a_letter_that_is_not_there_is_told(broker: RabbitBroker, operator: Operator) -> None:
    await bury_some(broker, 1)

    for action in ("show", "retry", "drop --yes"):
        assert await operator.run(*action.split(), "nothing") == NOT_ALL_DONE
        assert "nothing: no such dead letter" in operator.err
    assert len(await operator.list()) == 1


@pytest.mark.parametrize(
    "given",
    [
        "retry",
        "drop --yes",
        "retry --all some-id",
        "drop --all --reason unreadable",
        "retry --body x",
        "list --limit 0",
        "list --limit 1001",
        "show",
        "burn",
        "",
    ],
)
def test_wrong_usage_is_refused(given: str) -> None:
    with pytest.raises(SystemExit) as ended:
        read_arguments(given.split())

    assert ended.value.code == WRONG_USAGE


@pytest.mark.parametrize(
    ("url", "code"), [("amqp://127.0.0.1:1/", UNREACHABLE), ("not a URL", 1), ("", 1)]
)
async def test_a_broker_out_of_reach_has_a_code_of_its_own(url: str, code: int) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker.deadletters", "list"),
        env={**os.environ, "HOLDFAST_BROKER_URL": url},
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()

    assert process.returncode == code
    assert len(err.decode().splitlines()) == 1


# --- a queue of before ----------------------------------------------------------------------


async def test_a_queue_declared_otherwise_is_taken_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By an earlier version: a worker that refused to start would stop the sale."""
    with services("tests") as own:
        async with await aio_pika.connect(own.broker_url) as connection:
            channel = await connection.channel()
            before = {"x-queue-type": "quorum"}
            await channel.declare_queue(topology.DEAD_QUEUE, durable=True, arguments=before)
        monkeypatch.setattr(publish, "PAUSE_SECONDS", 0.05)
        broker = RabbitBroker(
            own.broker_url, logger=None, default_channel=Channel(on_return_raises=True)
        )
        await declare_dead_letters(broker)
        await bury_some(broker, 1)
        await broker.stop()

        assert len(await Operator(own.broker_url, capsys).list()) == 1
