"""The frames that we write are those that pamqp reads, and the other way round."""

import json

import pytest
from pamqp import commands, frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from loadtest.queue.frames import FrameReader, PublishFrames, body_size, confirm, method_id, replies
from shared.ids import new_id

CHANNEL = 1


def test_a_message_is_persistent_mandatory_and_asks_for_a_merged_reply() -> None:
    frames = PublishFrames(CHANNEL, "an exchange", "a key", "a queue", "a user", 4096)
    data = frames.message("a name", b"[]")
    used, channel, publish = frame.unmarshal(data)
    assert channel == CHANNEL
    assert (publish.exchange, publish.routing_key, publish.mandatory) == ("an exchange", "a key", 1)
    more, _, header = frame.unmarshal(data[used:])
    properties = header.properties
    assert header.body_size == 2
    assert (properties.delivery_mode, properties.content_type) == (2, "application/json")
    assert (properties.reply_to, properties.correlation_id) == ("a queue", "a name")
    assert (properties.message_id, properties.user_id) == ("a name", "a user")
    assert properties.headers == {"x-merge-replies": True}
    assert frame.unmarshal(data[used + more :])[2].value == b"[]"


def test_a_long_body_is_cut_into_frames_that_the_broker_accepts() -> None:
    body = bytes(range(256)) * 40
    data = PublishFrames(CHANNEL, "e", "k", "q", "u", 4096).message("n", body)
    cut = list(FrameReader().feed(data))
    assert max(map(len, cut)) <= 4096
    assert b"".join(frame.unmarshal(each)[2].value for each in cut[2:]) == body


def test_frames_are_found_wherever_what_is_received_is_cut() -> None:
    sent = [
        frame.marshal(commands.Basic.Deliver("tag", 7, False, "", "a queue"), CHANNEL),
        frame.marshal(ContentHeader(0, 5, commands.Basic.Properties(correlation_id="n")), CHANNEL),
        frame.marshal(ContentBody(b"hello"), CHANNEL),
    ]
    stream = b"".join(sent)
    for cut_at in range(len(stream) + 1):
        reader = FrameReader()
        assert [*reader.feed(stream[:cut_at]), *reader.feed(stream[cut_at:])] == sent


def test_a_content_header_contains_the_length_of_the_body() -> None:
    properties = commands.Basic.Properties(content_type="text/plain", correlation_id="a name")
    assert body_size(frame.marshal(ContentHeader(0, 70_000, properties), CHANNEL)) == 70_000


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_a_merged_reply_is_taken_apart(separators: tuple[str, str]) -> None:
    names = [new_id(), f"{new_id()}.17"]
    outcomes = [{"command_id": new_id(), "result": {"cart": {"items": [{"quantity": 1}]}}}]
    body = json.dumps(dict.fromkeys(names, outcomes), separators=separators).encode()
    found = list(replies(body))
    assert [name for name, _ in found] == names
    assert [json.loads(array) for _, array in found] == [outcomes, outcomes]


def test_confirms_are_read() -> None:
    ack = frame.marshal(commands.Basic.Ack(2**40, True), CHANNEL)
    nack = frame.marshal(commands.Basic.Nack(9, False), CHANNEL)
    assert (method_id(ack), confirm(ack)) == (commands.Basic.Ack.index, (2**40, True))
    assert (method_id(nack), confirm(nack)) == (commands.Basic.Nack.index, (9, False))
