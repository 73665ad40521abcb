"""A command that cannot be applied is narrowed down and set aside; its neighbours succeed."""

from sqlalchemy import text

from tests.builders import release_cart, reserve
from tests.worker.harness import Harness, decode, summary
from worker.committer import Committer
from worker.domain.locks import Due


async def damaged_hold(harness: Harness) -> str:
    """A user whose cart cannot be given back: somebody set the reserved quantity to 0 by hand."""
    tickets, (ann,) = await harness.ticket_type(), await harness.users(1)
    await harness.apply(reserve(ann, {tickets: 2}))
    async with harness.engine.begin() as connection:
        await connection.execute(
            text(f"UPDATE booking.ticket_types SET reserved = 0 WHERE id = '{tickets}'")
        )
    return ann


async def test_its_neighbours_succeed_and_it_gets_unprocessable(
    harness: Harness, committer: Committer
) -> None:
    damaged, tickets = await damaged_hold(harness), await harness.ticket_type()
    buyers = await harness.users(20)
    commands = [reserve(user, {tickets: 1}) for user in buyers]
    bad = release_cart(damaged)
    commands.insert(13, bad)

    outcomes = await committer.submit(commands)

    codes = summary(map(decode, outcomes))
    assert codes.pop(13) == "unprocessable"
    assert set(codes) == {"succeeded"}
    assert await harness.held(tickets) == await harness.reserved(tickets) == 20
    assert await harness.recorded(bad) == [outcomes[13].document]


async def test_its_outcome_is_recorded_and_a_repetition_gets_the_same(
    harness: Harness, committer: Committer
) -> None:
    bad = release_cart(await damaged_hold(harness))

    first = await committer.submit([bad])

    assert await committer.submit([bad]) == first
    refusal = decode(first[0]).refusal
    assert refusal.code == "unprocessable"
    assert "reserved" not in refusal.detail


async def test_it_changes_nothing(harness: Harness, committer: Committer) -> None:
    damaged = await damaged_hold(harness)

    await committer.submit([release_cart(damaged)])

    assert await statuses(harness, damaged) == ["active"]


async def test_several_of_them_are_each_found(harness: Harness, committer: Committer) -> None:
    tickets, buyers = await harness.ticket_type(), await harness.users(6)
    commands = [reserve(user, {tickets: 1}) for user in buyers]
    for place in (0, 3, 8):
        commands.insert(place, release_cart(await damaged_hold(harness)))

    codes = summary(map(decode, await committer.submit(commands)))

    assert [n for n, code in enumerate(codes) if code == "unprocessable"] == [0, 3, 8]
    assert codes.count("succeeded") == 6


async def test_a_due_cart_that_cannot_expire_fails_no_other_command_and_can_be_repaired(
    harness: Harness, committer: Committer
) -> None:
    damaged, tickets = await damaged_hold(harness), await harness.ticket_type()
    (other,) = await harness.due_carts(1, {tickets: 1})
    await harness.let_holds_pass([damaged])

    outcomes = await committer.submit(
        [reserve(await harness.user(), {tickets: 100})], [Due(damaged), Due(other)]
    )

    assert summary(map(decode, outcomes)) == ["succeeded"]
    assert await statuses(harness, other) == ["expired"]
    assert await statuses(harness, damaged) == ["active"]
    await mend(harness, damaged)
    await committer.submit((), [Due(damaged)])
    assert await statuses(harness, damaged) == ["expired"]


async def statuses(harness: Harness, user: str) -> list[str]:
    return [status for status, _ in await harness.carts(user)]


async def mend(harness: Harness, user: str) -> None:
    """Let what is reserved be what lies in this user's cart again."""
    async with harness.engine.begin() as connection:
        await connection.execute(
            text(
                f"""
                UPDATE booking.ticket_types SET reserved = quantity
                FROM booking.cart_items JOIN booking.carts ON carts.id = cart_id
                WHERE ticket_type_id = ticket_types.id AND user_id = '{user}'
                """
            )
        )
