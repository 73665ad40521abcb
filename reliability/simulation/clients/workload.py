"""The initial rows, and the commands of the clients, drawn from the seed."""

from datetime import timedelta
from random import Random
from typing import Any

from reliability.simulation.clients.purchases import C, PurchaseCommands
from reliability.simulation.fakes.tables import Database, EventRow, TicketTypeRow, UserRow
from reliability.simulation.fakes.virtual_time import START, VirtualLoop
from shared.bodies import Line
from shared.commands import (
    CancelEvent,
    ChangeEvent,
    ChangeTicketType,
    Command,
    CreateEvent,
    CreateTicketType,
    EndEvent,
    ExtendHold,
    RegisterUser,
    ReleaseCart,
    ReleaseItem,
    ReserveTickets,
    SetQuantity,
)

PASSWORD_HASH = "$argon2id$v=19$m=19456,t=2,p=1$c29tZSBzYWx0$c29tZSBoYXNo"  # noqa: S105 - of no user


class Workload:
    """Few users, events and tickets, so that clients contend."""

    def __init__(self, loop: VirtualLoop, random: Random, database: Database) -> None:
        self._loop = loop
        self._random = random
        self._tables = database.tables
        self._populate(database)
        self._purchases = PurchaseCommands(loop, random, database.tables, self._make)

    def command(self) -> Command:
        """Any command; reservations most often, and what follows from them."""
        random = self._random
        user = random.choice(self._buyers) if random.random() < 0.96 else self._unknown_id
        if random.random() < self._trade:
            if random.random() < 0.05:
                price = {"unit_price": random.choice((0, 500, 900))}
                return self._make(ChangeTicketType, self._organizer, **self._ticket_type(), **price)
            carts = self._tables["carts"].values()
            holders = [cart.user_id for cart in carts if cart.status == "active"]
            if random.random() < (0.5 if holders else 0.1):
                return self._purchases.check_out(random.choice(holders or [user]), self._events)
            if command := self._purchases.of_an_order([*self._buyers, self._unknown_id]):
                return command
        match random.randrange(24):
            case 0 | 1 | 2:
                quantity = random.randint(0, 3)
                return self._make(SetQuantity, user, **self._ticket_type(), quantity=quantity)
            case 3 | 4:
                return self._make(ReleaseItem, user, **self._ticket_type())
            case 5 | 6:
                return self._make(ReleaseCart, user)
            case 7 if random.random() < 0.5:
                return self._make(ExtendHold, user)
            case 7:
                return self._newcomer()
            case 8 | 9:
                return self._organizers()
            case _:
                items = [
                    Line(**self._ticket_type(), quantity=random.randint(1, 3))
                    for _ in range(random.choice((1, 1, 1, 2, 3)))
                ]
                return self._make(ReserveTickets, user, items=tuple(items))

    def other_payload(self, command: Command) -> ReserveTickets:
        """Something else under the same ID, perhaps from another user."""
        user = command.user_id if self._random.random() < 0.7 else self._random.choice(self._buyers)
        return ReserveTickets(
            command_id=command.command_id,
            user_id=user,
            submitted_at=self._loop.now(),
            items=(Line(**self._ticket_type(), quantity=self._random.randint(4, 5)),),
        )

    def _populate(self, database: Database) -> None:
        random, tables = self._random, database.tables
        # Some seeds only reserve; others hardly do anything but order and pay.
        self._trade = random.choice((0.0, 0.4, 0.6, 0.8))
        self._organizer, self._unknown_id = self._new_id(), self._new_id()
        self._agent = self._new_id()
        self._buyers = [self._new_id() for _ in range(random.randint(1, 5))]
        for user in (self._organizer, self._agent, *self._buyers):
            tables["users"][user] = UserRow(user, f"{user}@example.com")
        self._events = [self._new_id() for _ in range(random.randint(1, 2))]
        for id in self._events:
            ends_at = START + timedelta(seconds=random.choice((4, 1000)))
            tables["events"][id] = EventRow(
                id, self._organizer, "A concert", START - timedelta(days=1), ends_at, "active",
                "EUR", random.choice((None, self._agent)),
            )  # fmt: skip
        self._ticket_types = [self._new_id() for _ in range(random.randint(1, 3))]
        for id in self._ticket_types:
            tables["ticket_types"][id] = TicketTypeRow(
                id, random.choice(self._events), "Standing", random.randint(1, 8), 0, 0,
                START + timedelta(seconds=random.choice((-60, -60, 1))),
                START + timedelta(seconds=random.choice((5, 1000, 1000))),
                random.choice((0, 500, 1000, 1000)), random.choice((1, 1, 1, 1, 2)),
                random.choice((None, None, 3)), random.choice((None, None, 4)),
            )  # fmt: skip

    def _organizers(self) -> Command:
        random = self._random
        user = self._organizer if random.random() < 0.8 else random.choice(self._buyers)
        event = {"event_id": random.choice(self._events)}
        match random.randrange(9):
            case 0 if random.random() < 0.5:
                return self._make(CancelEvent, user, **event)
            case 0 if random.random() < 0.2:
                return self._make(EndEvent, user, **event)
            case 1:
                times = {"starts_at": START, "ends_at": START + timedelta(seconds=1000)}
                agent = random.choice((None, None, self._agent, self._unknown_id))
                create_event = self._make(
                    CreateEvent, user, name="Another", payment_agent_id=agent, **times
                )
                self._events.append(create_event.command_id)
                return create_event
            case 2:
                times = {"sale_starts_at": START, "sale_ends_at": START + timedelta(seconds=1000)}
                created = self._make(
                    CreateTicketType, user, **event, **times, name="Seated", total_quantity=3,
                    unit_price=random.choice((0, 700)), max_per_user=random.choice((None, 2)),
                )  # fmt: skip
                self._ticket_types.append(created.command_id)
                return created
            case 3:
                ends_at = START + timedelta(seconds=random.choice((-100_000, 2, 500)))
                return self._make(ChangeEvent, user, **event, ends_at=ends_at)
            case 5:
                limit = random.choice(
                    (
                        {"unit_price": random.choice((0, 500, 900))},
                        {"min_per_order": random.choice((1, 2, 3))},
                        {"max_per_order": random.choice((2, 1_000))},
                        {"max_per_user": random.choice((3, 1_000))},
                    )
                )
                return self._make(ChangeTicketType, user, **self._ticket_type(), **limit)
            case 6 if random.random() < 0.5:
                agent = random.choice((self._agent, self._organizer, self._unknown_id))
                return self._make(ChangeEvent, user, **event, payment_agent_id=agent)
            case 6:
                lower = {"lower_to_committed": True}
                return self._make(ChangeTicketType, user, **self._ticket_type(), **lower)
            case 4:
                ends_at = START + timedelta(seconds=random.choice((-90, 2, 500)))
                return self._make(
                    ChangeTicketType, user, **self._ticket_type(), sale_ends_at=ends_at
                )
            case _:
                total = random.randint(0, 8)
                return self._make(
                    ChangeTicketType, user, **self._ticket_type(), total_quantity=total
                )

    def _newcomer(self) -> Command:
        user, address = self._new_id(), self._random.choice("abc")
        if self._random.random() < 0.5:
            self._buyers.append(user)
        return self._make(
            RegisterUser, user, email=f"{address}@example.com", password_hash=PASSWORD_HASH
        )

    def _ticket_type(self) -> dict[str, Any]:
        if self._random.random() < 0.02:
            return {"ticket_type_id": self._unknown_id}
        return {"ticket_type_id": self._random.choice(self._ticket_types)}

    def _make(self, kind: type[C], user_id: str, **fields: Any) -> C:
        random = self._random
        deadline = None
        if random.random() < 0.1:
            deadline = self._loop.now() + timedelta(seconds=random.random())
        # A queue may hold an old command, and a client's clock may be slow.
        age_seconds = 25 * random.random() if random.random() < 0.05 else 0
        envelope = {
            "command_id": self._new_id(age_seconds),
            "user_id": user_id,
            "submitted_at": self._loop.now(),
            "deadline": deadline,
        }
        return kind.model_validate(envelope | fields)

    def _new_id(self, age_seconds: float = 0) -> str:
        """A UUIDv7 of the virtual clock, from the seed."""
        at = self._loop.now() - timedelta(seconds=age_seconds)
        bits = self._random.getrandbits(74)
        ms = int(at.timestamp() * 1000)
        value = ms << 80 | 7 << 76 | (bits >> 62) << 64 | 2 << 62 | bits & (1 << 62) - 1
        digits = f"{value:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
