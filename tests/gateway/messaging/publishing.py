"""Commands to publish, and what a broker and a worker make of them."""

from pydantic_core import from_json

from gateway.messaging import publisher
from shared.commands import ReleaseCart
from shared.ids import new_id
from tests.builders import NOW
from tests.gateway.conftest import Counter


def command(command_id: str | None = None, submitted_at=NOW) -> ReleaseCart:
    return ReleaseCart(
        command_id=command_id or new_id(), user_id=new_id(), submitted_at=submitted_at
    )


def ignore(user_id: str) -> None:
    """Take the place of the count of a user's commands."""


def outcome(command: dict[str, str], place: int = 0) -> str:
    return (
        f'{{"command_id":"{command["command_id"]}","kind":"{command["kind"]}",'
        f'"status":"succeeded", "submitted_at":"{command["submitted_at"]}","place":{place},'
        '"refusal":null}'
    )


async def received(queue) -> list[list[dict]]:
    """The messages in the queue, each as the commands it carries."""
    messages = []
    while (message := await queue.get(no_ack=True, fail=False)) is not None:
        messages.append(from_json(message.body))
    return messages


async def fall_behind(counter: Counter) -> None:
    """Publish so many messages that no worker answers that small loads wait."""
    for _ in range(publisher.BACKLOG_THRESHOLD_MESSAGES):
        await counter.publisher.submit(command(), 0)
