"""A reply that does not fit what was asked: nobody is told what became of another command."""

from gateway.outcome_document import DecidedOutcome
from shared.commands import ReleaseCart
from shared.ids import new_id
from tests.builders import NOW, release_cart
from tests.gateway.conftest import Counter


def outcome(command_id: str) -> str:
    return f'{{"command_id":"{command_id}","submitted_at":"{NOW.isoformat()}","refusal":null}}'


async def test_the_outcome_of_another_command_in_its_place_is_not_used(counter: Counter) -> None:
    asked: ReleaseCart = release_cart(new_id())
    await counter.answer(await counter.queue(), lambda command, place: outcome(new_id()))

    assert await counter.publisher.submit(asked, 0.4) is None


async def test_the_outcome_of_the_command_in_its_place_is_used(counter: Counter) -> None:
    asked: ReleaseCart = release_cart(new_id())
    await counter.answer(
        await counter.queue(), lambda command, place: outcome(command["command_id"])
    )

    decided = await counter.publisher.submit(asked, 5)

    assert isinstance(decided, DecidedOutcome)
    assert decided.command_id == asked.command_id
