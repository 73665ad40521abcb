"""Handing in commands: what leaves together, and what if the broker does not take them."""

import asyncio
from typing import Any

import pytest
from pydantic_core import from_json

from gateway.messaging import in_flight_messages, publisher
from gateway.messaging.publisher import BrokerUnavailableError
from gateway.outcome_document import DecidedOutcome
from gateway.read_model.outcome_poller import OutcomeRow
from shared.commands import Command, CreateEvent, ReleaseCart
from shared.ids import new_id
from shared.messages import MAX_COMMANDS_A_MESSAGE, MAX_MESSAGE_BYTES, encode_commands
from tests.builders import FAR_AHEAD, LONG_AGO, NOW
from tests.contracts.examples import COMMANDS
from tests.gateway.conftest import Counter
from tests.gateway.messaging.publishing import command, fall_behind, ignore, outcome, received


class TestPublishing:
    @pytest.mark.parametrize("example", COMMANDS.values(), ids=COMMANDS.keys())
    def test_a_command_is_written_as_messages_have_it(self, example: Command):
        assert b"[%b]" % publisher.Submission(
            example, awaited=False, on_finish=ignore
        ).text == encode_commands([example])

    async def test_a_command_alone_waits_for_nobody(self, counter: Counter):
        queue = await counter.queue()
        assert await counter.publisher.submit(asked := command(), 0) is None
        [[sent]] = await received(queue)
        assert sent["command_id"] == asked.command_id

    async def test_commands_that_arrive_during_a_publish_leave_together_and_in_order(
        self, counter: Counter
    ):
        queue = await counter.queue()
        asked = [command() for _ in range(350)]
        await asyncio.gather(*(counter.publisher.submit(c, 0) for c in asked))
        messages = await received(queue)
        assert [c["command_id"] for m in messages for c in m] == [c.command_id for c in asked]
        assert [len(m) for m in messages] == [MAX_COMMANDS_A_MESSAGE] * 3 + [50]

    async def test_full_loads_wait_for_no_lane_and_small_ones_do(self, counter: Counter):
        await counter.queue()
        counter.proxy.hold()
        asked = [command() for _ in range(publisher.MAX_UNCONFIRMED_MESSAGES)]
        waiting = []
        for each in asked:
            waiting.append(asyncio.create_task(counter.publisher.submit(each, 0)))
            await asyncio.sleep(0.02)
        waiting += [asyncio.create_task(counter.publisher.submit(command(), 0)) for _ in range(99)]
        await asyncio.sleep(0.05)
        assert counter.publisher._unconfirmed == publisher.MAX_UNCONFIRMED_MESSAGES
        assert len(counter.publisher._queue) == 99
        more = MAX_COMMANDS_A_MESSAGE * publisher.MAX_UNCONFIRMED_AT_FULL_BATCHES
        waiting += [
            asyncio.create_task(counter.publisher.submit(command(), 0)) for _ in range(more)
        ]
        await asyncio.sleep(0.2)
        assert counter.publisher._unconfirmed == publisher.MAX_UNCONFIRMED_AT_FULL_BATCHES
        counter.proxy.let_through()
        assert set(await asyncio.gather(*waiting)) == {None}
        await asyncio.sleep(0.01)
        assert counter.publisher._unconfirmed == 0
        assert not counter.publisher._queue

    async def test_a_message_stays_below_the_bound_of_its_size(self, counter: Counter):
        queue = await counter.queue()
        wide = CreateEvent(
            command_id=new_id(),
            user_id=new_id(),
            submitted_at=NOW,
            name="\U0001f3ab" * 200,
            starts_at=LONG_AGO,
            ends_at=FAR_AHEAD,
        )
        counter.publisher._queue.extend(
            publisher.Submission(wide, awaited=False, on_finish=ignore)
            for _ in range(MAX_COMMANDS_A_MESSAGE)
        )
        for submission in counter.publisher._queue:
            submission.text *= 4
        load = counter.publisher._take_batch()
        assert 1 < len(load) < MAX_COMMANDS_A_MESSAGE
        assert len(counter.publisher._message(load, "x").body) <= MAX_MESSAGE_BYTES
        counter.publisher._queue.clear()
        assert await received(queue) == []

    async def test_a_message_is_persistent_and_says_where_to_answer(self, counter: Counter):
        queue = await counter.queue()
        await counter.publisher.submit(command(), 0)
        await counter.publisher.submit(command(), 0)
        first, second = await queue.get(no_ack=True), await queue.get(no_ack=True)
        assert first.delivery_mode == 2
        assert first.content_type == "application/json"
        assert first.reply_to == counter.replies.queue_name
        assert len({first.message_id, second.message_id}) == 2
        assert len({first.correlation_id, second.correlation_id}) == 2


class TestTheBrokerDoesNotTakeIt:
    async def test_no_queue_is_bound(self, counter: Counter):
        with pytest.raises(BrokerUnavailableError):
            await asyncio.wait_for(
                counter.publisher.submit(command(), 10), publisher.REPLY_TIMEOUT_SECONDS * 0.8
            )
        assert counter.count("holdfast_publish_failures_total", reason="returned") == 1

    async def test_the_queue_is_full(self, counter: Counter):
        await counter.queue(**{"x-max-length": 1, "x-overflow": "reject-publish"})
        await counter.publisher.submit(command(), 0)
        with pytest.raises(BrokerUnavailableError):
            await counter.publisher.submit(command(), 10)
        assert counter.count("holdfast_publish_failures_total", reason="refused") == 1

    async def test_the_connection_is_cut_during_a_publish_and_comes_back(self, counter: Counter):
        await counter.queue()
        counter.proxy.hold()
        waiting = asyncio.create_task(counter.publisher.submit(command(), 10))
        await asyncio.sleep(0.05)
        counter.proxy.cut()
        with pytest.raises(BrokerUnavailableError):
            await asyncio.wait_for(waiting, 1)
        with pytest.raises(BrokerUnavailableError):
            await asyncio.wait_for(counter.publisher.submit(command(), 10), 0.1)
        counter.proxy.let_through()
        await counter.connected()
        assert await counter.publisher.submit(command(), 0) is None


class TestWorkersAreBehind:
    async def test_commands_are_in_flight_until_a_worker_answers(self, counter: Counter):
        queue = await counter.queue()
        waiting = [asyncio.create_task(counter.publisher.submit(command(), 5)) for _ in range(7)]
        # Nobody waits for these, but workers have them to do all the same.
        await asyncio.gather(*(counter.publisher.submit(command(), 0) for _ in range(2)))
        assert counter.count("holdfast_commands_in_flight") == 9
        await counter.answer(queue, outcome)
        assert None not in await asyncio.gather(*waiting)
        await counter.eventually(lambda: counter.publisher.in_flight == 0)

    async def test_queued_commands_are_in_flight(self, counter: Counter):
        await counter.queue()
        counter.proxy.hold()
        waiting = [asyncio.create_task(counter.publisher.submit(command(), 0)) for _ in range(150)]
        await asyncio.sleep(0.05)
        assert counter.publisher.in_flight == 150
        counter.proxy.let_through()
        await asyncio.gather(*waiting)

    async def test_commands_that_the_broker_refuses_are_not_in_flight(self, counter: Counter):
        with pytest.raises(BrokerUnavailableError):
            await counter.publisher.submit(command(), 5)
        assert counter.publisher.in_flight == 0

    async def test_lost_replies_leave_room_again(self, counter: Counter):
        """The reply queue is gone with its connection, and what was in it."""
        await counter.queue()
        await counter.publisher.submit(command(), 0)
        assert counter.publisher.in_flight == 1
        counter.proxy.cut()
        await counter.eventually(lambda: counter.publisher.in_flight == 0)

    async def test_a_reply_that_never_comes_leaves_room_after_a_while(
        self, counter: Counter, monkeypatch: pytest.MonkeyPatch
    ):
        await counter.queue()
        await counter.publisher.submit(command(), 0)
        monkeypatch.setattr(in_flight_messages, "REPLY_LOST_AFTER_SECONDS", 0.1)
        await asyncio.sleep(0.05)
        await counter.publisher.submit(command(), 0)
        assert counter.publisher.in_flight == 2
        await asyncio.sleep(0.07)
        assert counter.publisher.in_flight == 1

    async def test_full_loads_do_not_wait(self, counter: Counter, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(publisher, "LINGER_SECONDS", 60)
        queue = await counter.queue()
        await fall_behind(counter)
        many = [command() for _ in range(MAX_COMMANDS_A_MESSAGE)]
        async with asyncio.timeout(5):
            await asyncio.gather(*(counter.publisher.submit(each, 0) for each in many))
        assert len((await received(queue))[-1]) == MAX_COMMANDS_A_MESSAGE

    async def test_when_workers_catch_up_small_loads_wait_no_longer(
        self, counter: Counter, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(publisher, "LINGER_SECONDS", 60)
        queue = await counter.queue()
        await fall_behind(counter)
        waiting = asyncio.create_task(counter.publisher.submit(command(), 5))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await counter.answer(queue, outcome)
        assert await asyncio.wait_for(waiting, 5) is not None

    async def test_told_to_stop_it_holds_nothing_back(
        self, counter: Counter, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(publisher, "LINGER_SECONDS", 60)
        await counter.queue()
        await fall_behind(counter)
        waiting = asyncio.create_task(counter.publisher.submit(command(), 0))
        await asyncio.sleep(0.05)
        async with asyncio.timeout(5):
            await counter.publisher.drain()
            assert await waiting is None


class TestAwaiting:
    async def test_the_document_is_passed_on_as_the_worker_wrote_it(self, counter: Counter):
        await counter.answer(await counter.queue(), outcome)
        asked = command()
        decided = await counter.publisher.submit(asked, 5)
        assert decided is not None
        assert decided.document == outcome(from_json(asked.model_dump_json()))

    async def test_a_reply_as_patience_ends_is_an_answer(
        self, counter: Counter, monkeypatch: pytest.MonkeyPatch
    ):
        """Both in one turn of the loop: the listener knows of the timer, and is told once."""

        async def late(found: asyncio.Future[Any], seconds: float) -> None:
            await asyncio.wait([found], timeout=seconds)

        await counter.answer(await counter.queue(), outcome)
        monkeypatch.setattr(publisher, "result_within", late)
        decided = await asyncio.wait_for(counter.publisher.submit(command(), 30), 1)
        assert decided is not None

    async def test_each_use_of_one_id_gets_its_own_answer(self, counter: Counter):
        await counter.answer(await counter.queue(), outcome)
        same_id = new_id()
        answers = await asyncio.gather(
            *(counter.publisher.submit(command(same_id), 5) for _ in range(3))
        )
        assert [from_json(a.document)["place"] for a in answers if a] == [0, 1, 2]

    async def test_a_reply_that_overtakes_the_confirm_is_an_answer(self, counter: Counter):
        await counter.queue()
        counter.proxy.hold()
        asked = command()
        waiting = asyncio.create_task(counter.publisher.submit(asked, 5))
        await asyncio.sleep(0.05)
        [correlation_id] = counter.publisher._messages._messages
        decided = _decided(asked)
        counter.publisher.on_reply(correlation_id, [decided])
        assert await asyncio.wait_for(waiting, 0.5) is decided
        counter.proxy.let_through()

    async def test_a_reply_proves_the_confirm_also_to_who_has_waited_long_enough(
        self, counter: Counter
    ):
        await counter.queue()
        counter.proxy.hold()
        asked = command()
        waiting = asyncio.create_task(counter.publisher.submit(asked, 0.1))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        [correlation_id] = counter.publisher._messages._messages
        counter.publisher.on_reply(correlation_id, [_decided(asked)])
        assert await asyncio.wait_for(waiting, 0.5) is None
        counter.proxy.let_through()

    async def test_none_where_it_is_not_decided_in_time(self, counter: Counter):
        await counter.queue()
        assert await counter.publisher.submit(command(), 0.1) is None

    async def test_a_lost_reply_is_looked_up(self, counter: Counter):
        await counter.queue()
        asked = command()
        document = outcome(from_json(asked.model_dump_json()))
        counter.recorded.append(
            OutcomeRow(asked.command_id, asked.user_id, document, asked.fingerprint())
        )
        decided = await asyncio.wait_for(counter.publisher.submit(asked, 5), 2)
        assert decided is not None
        assert decided.document == document

    @pytest.mark.parametrize("of_another", ["user", "payload"])
    async def test_an_outcome_of_another_command_under_the_id_tells_that_it_was_reused(
        self, counter: Counter, of_another: str
    ):
        """Also when the reply is lost: the worker refuses this command so, whenever it decides."""
        await counter.queue()
        asked = command()
        user_id = new_id() if of_another == "user" else asked.user_id
        document = outcome(from_json(asked.model_dump_json()))
        counter.recorded.append(OutcomeRow(asked.command_id, user_id, document, b"another"))
        decided = await counter.publisher.submit(asked, 5)
        assert decided is not None
        assert decided.refusal is not None
        assert decided.refusal["code"] == "command_id_reused"

    @pytest.mark.parametrize("after_seconds", [0.05, 0.7])
    async def test_who_leaves_while_waiting_leaves_nothing_behind(
        self, counter: Counter, after_seconds: float
    ):
        await counter.queue()
        waiting = asyncio.create_task(counter.publisher.submit(command(), 5))
        await asyncio.sleep(after_seconds)
        assert counter.count("holdfast_awaiting_reply") == 1
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert counter.count("holdfast_awaiting_reply") == 0
        assert counter.count("holdfast_awaiting_outcome") == 0

    async def test_a_reply_that_cannot_be_read_does_not_stop_the_others(self, counter: Counter):
        queue = await counter.queue()
        await counter.channel.default_exchange.publish(
            publisher.Message(b"[{]", correlation_id="x"), counter.replies.queue_name
        )
        await counter.answer(queue, outcome)
        assert await counter.publisher.submit(command(), 5) is not None


def _decided(asked: ReleaseCart):
    return DecidedOutcome(outcome(from_json(asked.model_dump_json())), asked.command_id, NOW, None)
