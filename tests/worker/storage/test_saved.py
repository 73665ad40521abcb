"""What is stored after a batch, by the laws that hold for any commands."""

from collections.abc import Sequence
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.commands import Command
from shared.ids import new_id
from tests.builders import (
    A_MOMENT,
    FAR_AHEAD,
    NOW,
    RULES,
    cancel_event,
    change_event,
    change_ticket_type,
    register_user,
    release_cart,
    release_item,
    reserve,
    set_quantity,
)
from tests.worker.harness import Harness, summary
from worker.apply import apply
from worker.domain.locks import Due

Wish = tuple[str, int, list[tuple[int, int]]]
"""A command by numbers: its kind, the user, and lines of ticket type and quantity."""

wishes = st.tuples(
    st.sampled_from(
        ["reserve", "reserve", "set", "set to 0", "release item", "release", "let pass", "total"]
    ),
    st.integers(0, 2),
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), min_size=1, max_size=3),
)


class Scene:
    """Three users and three ticket types of few tickets, of a database that others use too."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.harness = Harness(engine)

    async def open(self) -> "Scene":
        self.users = await self.harness.users(3)
        self.kinds = await self.harness.ticket_types(3, total=6)
        return self

    def command(self, wish: Wish) -> Command:
        kind, number, lines = wish
        user, (ticket_type, quantity) = self.users[number], lines[0]
        wanted = self.kinds[ticket_type]
        match kind:
            case "reserve":
                return reserve(user, [(self.kinds[line], count) for line, count in lines])
            case "set":
                return set_quantity(user, wanted, quantity)
            case "set to 0":
                return set_quantity(user, wanted, 0)
            case "release item":
                return release_item(user, wanted)
            case "total":
                organizer = self.harness.organizer
                return change_ticket_type(organizer, wanted, total_quantity=2 * quantity)
            case _:
                return release_cart(user)

    async def play(self, batches: Sequence[Sequence[Wish]], *, at_once: bool) -> list[str]:
        """Apply the wishes; those that let holds pass stand between the transactions."""
        codes: list[str] = []
        for batch in batches:
            passing = [self.users[number] for kind, number, _ in batch if kind == "let pass"]
            await self.harness.let_holds_pass(passing)
            commands = [self.command(wish) for wish in batch if wish[0] != "let pass"]
            for part in [commands] if at_once else [[command] for command in commands]:
                codes += summary(await self.harness.apply(*part))
        return codes

    async def stored(self) -> list[Any]:
        """Everything of this scene, by number instead of by ID."""
        number = {id: n for n, id in enumerate(self.kinds)}
        state: list[Any] = [await self.harness.reserved(kind) for kind in self.kinds]
        for user in self.users:
            carts = await self.harness.carts(user)
            active = [lines for status, lines in carts if status == "active"]
            assert len(active) <= 1
            state.append([{number[id]: n for id, n in lines.items()} for lines in active])
        return state


@settings(deadline=None, max_examples=30, phases=[Phase.reuse, Phase.generate])  # shrinking lasts
@given(st.lists(st.lists(wishes, min_size=1, max_size=8), min_size=1, max_size=3))
async def test_a_batch_leaves_what_its_commands_leave_one_by_one(
    engine: AsyncEngine, batches: list[list[Wish]]
) -> None:
    together, apart = await Scene(engine).open(), await Scene(engine).open()

    codes = await together.play(batches, at_once=True)

    assert await apart.play(batches, at_once=False) == codes
    for scene in (together, apart):
        # Holds that are over may have been left, one by one, as nobody wanted their tickets.
        await apply(engine, RULES, (), due=[Due(user) for user in scene.users])
        for kind in scene.kinds:
            assert await scene.harness.reserved(kind) == await scene.harness.held(kind)
    assert await together.stored() == await apart.stored()


async def test_everything_that_a_command_says_is_stored(harness: Harness) -> None:
    ann, _ = await harness.user(), await harness.ticket_type()
    newcomer = register_user(email="Newcomer-" + ann + "@Example.com")
    change = change_ticket_type(harness.organizer, (await harness.ticket_types(1))[0], name="Box")
    times = {"starts_at": NOW, "ends_at": FAR_AHEAD - A_MOMENT}
    move = change_event(harness.organizer, harness.event, name="Gala", **times)
    await harness.apply(newcomer, change, move, cancel_event(harness.organizer, harness.event))

    users = await harness.rows(
        "SELECT email, password_hash FROM booking.users WHERE id = CAST(:id AS uuid)",
        id=newcomer.user_id,
    )
    names = await harness.rows(
        "SELECT name FROM booking.ticket_types WHERE id = CAST(:id AS uuid)",
        id=change.ticket_type_id,
    )
    events = await harness.rows(
        "SELECT organizer_id::text, name, starts_at, ends_at, status FROM booking.events"
        " WHERE id = CAST(:id AS uuid)",
        id=harness.event,
    )
    assert [tuple(row) for row in users] == [(newcomer.email, newcomer.password_hash)]
    assert [row[0] for row in names] == ["Box"]
    assert [tuple(row) for row in events] == [
        (harness.organizer, "Gala", *times.values(), "cancelled")
    ]


async def test_raised_lowered_and_removed_lines_are_stored(
    harness: Harness,
) -> None:
    ann, (standing, seated) = await harness.user(), await harness.ticket_types(2)
    steps = [
        (reserve(ann, {standing: 2, seated: 1}), {standing: 2, seated: 1}),
        (set_quantity(ann, standing, 5), {standing: 5, seated: 1}),
        (set_quantity(ann, standing, 1), {standing: 1, seated: 1}),
        (release_item(ann, standing), {seated: 1}),
        (reserve(ann, {standing: 3}), {standing: 3, seated: 1}),
        (set_quantity(ann, seated, 0), {standing: 3}),
    ]
    for command, lines in steps:
        await harness.apply(command)
        assert await harness.carts(ann) == [("active", lines)]

    await harness.apply(release_cart(ann))
    await harness.apply(
        *[command.model_copy(update={"command_id": new_id()}) for command, _ in steps]
    )

    assert await harness.carts(ann) == [("released", {}), ("active", {standing: 3})]
    assert await harness.reserved(standing) == 3
    assert await harness.reserved(seated) == 0
