"""Creates the fixtures of a run: buyers, an event, and ticket types on sale."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from loadtest.progress import Progress
from loadtest.queue.client import QueueClient
from loadtest.workload import Workload
from shared.commands import Command, CreateEvent, CreateTicketType, RegisterUser
from shared.ids import new_id
from shared.messages import MAX_COMMANDS_A_MESSAGE

UNUSABLE_PASSWORD_HASH = "$argon2id$v=19$m=19456,t=2,p=1$" + "A" * 22 + "$" + "A" * 43
"""For buyers without a password: the load test signs their tokens, or they use the queue."""
EVENT_STARTS_IN = timedelta(days=30)
UNIT_PRICE = 2_500
"""Minor units."""

Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class Account:
    user_id: str
    email: str


@dataclass(frozen=True, slots=True)
class Fixtures:
    """The ticket types on sale, and the buyers."""

    organizer: Account
    event_id: str
    """The first event, if there are several."""
    ticket_type_ids: Sequence[str]
    buyers: Sequence[Account]
    organizer_token: str | None = None
    """None in a run through the queue, which needs no tokens."""


async def set_fixtures_through_queue(
    queue_client: QueueClient,
    workload: Workload,
    progress: Progress,
    password_hash: str = UNUSABLE_PASSWORD_HASH,
    buyers: Sequence[Account] | None = None,
) -> Fixtures:
    """Register the buyers, unless they are given, and put the events on sale.

    Raises `PreparationError`.
    """
    accounts = new_accounts(1 if buyers is not None else workload.buyers + 1)

    def registration(account: Account) -> Command:
        return RegisterUser(
            command_id=new_id(),
            user_id=account.user_id,
            submitted_at=datetime.now(UTC),
            email=account.email,
            password_hash=password_hash,
        )

    await _decide_all(queue_client, accounts, registration, progress, "registering buyers")
    organizer, *registered = accounts
    now = datetime.now(UTC)

    def event(name: str) -> Command:
        return CreateEvent(
            command_id=new_id(),
            user_id=organizer.user_id,
            submitted_at=now,
            name=name,
            starts_at=now + EVENT_STARTS_IN,
            ends_at=now + EVENT_STARTS_IN + timedelta(hours=4),
        )

    event_names = [event_name()] * workload.events
    events = await _decide_all(queue_client, event_names, event, progress, "creating events")

    def ticket_type(place: int) -> Command:
        return CreateTicketType(
            command_id=new_id(),
            user_id=organizer.user_id,
            submitted_at=datetime.now(UTC),
            event_id=events[place % len(events)].command_id,
            name=names[place],
            total_quantity=workload.tickets,
            unit_price=unit_price(workload),
            sale_starts_at=now - timedelta(hours=1),
            sale_ends_at=now + EVENT_STARTS_IN,
        )

    names = ticket_type_names(workload)
    places = range(len(names))
    created = await _decide_all(
        queue_client, places, ticket_type, progress, "creating ticket types"
    )
    # The command's ID becomes the ID of what it creates.
    ticket_type_ids = [each.command_id for each in created]
    return Fixtures(
        organizer,
        events[0].command_id,
        ticket_type_ids,
        registered if buyers is None else buyers,
    )


def new_accounts(count: int) -> list[Account]:
    """Return new users with unused e-mail addresses."""
    run = secrets.token_hex(6)
    return [Account(new_id(), f"load-{run}-{number}@holdfast.example") for number in range(count)]


def event_name() -> str:
    return f"Load test of {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"


def unit_price(workload: Workload) -> int:
    """Return the price of a ticket: 0 in a run without orders."""
    return UNIT_PRICE if workload.check_out else 0


def ticket_type_names(workload: Workload) -> list[str]:
    return [f"Ticket type {number}" for number in range(1, workload.ticket_types + 1)]


async def _decide_all(
    queue_client: QueueClient,
    things: Sequence[Thing],
    command: Callable[[Thing], Command],
    progress: Progress,
    what: str,
) -> list[Command]:
    done: list[Command] = []
    for start in range(0, len(things), MAX_COMMANDS_A_MESSAGE):
        chunk = [command(thing) for thing in things[start : start + MAX_COMMANDS_A_MESSAGE]]
        await queue_client.apply(chunk)
        done += chunk
        progress.step(what, len(done), len(things))
    return done
