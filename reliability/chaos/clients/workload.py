"""The ticket types of a round and the commands of its buyers, drawn from the seed."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never
from uuid import UUID

from reliability.chaos.checks.record import CartCommandKind, Document
from shared.ids import new_id

SOME_HASH = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$" + "A" * 43
MAX_QUANTITY = 3
MAX_LINES = 3
COLD_TYPES = 12
TOTALS = (100_000, 5_000, 40, 40, 3, *(500,) * COLD_TYPES)
"""Two hot ticket types, two that sell out, one of three tickets; and the cold ones."""
WEIGHTS = (8.0, 6.0, 2.0, 2.0, 1.0, *(0.5,) * COLD_TYPES)

KINDS: tuple[CartCommandKind, ...] = (
    "reserve_tickets",
    "set_quantity",
    "release_item",
    "release_cart",
)
KIND_WEIGHTS = (6, 2, 2, 1)


@dataclass(frozen=True, slots=True)
class Workload:
    """Ticket types, in the order of `TOTALS`."""

    ticket_type_ids: tuple[str, ...]

    def totals(self) -> dict[str, int]:
        return dict(zip(self.ticket_type_ids, TOTALS, strict=True))

    def next_command(self, rng: random.Random) -> tuple[CartCommandKind, Document]:
        """Draw a command: its kind and its fields."""
        (kind,) = rng.choices(KINDS, KIND_WEIGHTS)
        match kind:
            case "reserve_tickets":
                lines = rng.choices((1, 2, MAX_LINES), (6, 3, 1))[0]
                # In no order, and now and then one type twice.
                return kind, {"items": [self._line(rng) for _ in range(lines)]}
            case "set_quantity":
                quantity = rng.randint(0, MAX_QUANTITY)
                return kind, {"ticket_type_id": self._any(rng), "quantity": quantity}
            case "release_item":
                return kind, {"ticket_type_id": self._any(rng)}
            case "release_cart":
                return kind, {}
            case _:
                assert_never(kind)

    def other_payload(self, kind: CartCommandKind) -> tuple[CartCommandKind, Document]:
        """A command that asks for something else than one of this kind."""
        if kind != "release_cart":
            return "release_cart", {}
        return "release_item", {"ticket_type_id": self.ticket_type_ids[0]}

    def _line(self, rng: random.Random) -> Document:
        return {
            "ticket_type_id": self._any(rng),
            "quantity": rng.randint(1, MAX_QUANTITY),
        }

    def _any(self, rng: random.Random) -> str:
        return rng.choices(self.ticket_type_ids, WEIGHTS)[0]


def command(kind: str, user_id: str, fields: Document, **envelope: Any) -> Document:
    """A command as it is sent."""
    return {
        "kind": kind,
        "command_id": new_id(),
        "user_id": user_id,
        "submitted_at": datetime.now(UTC).isoformat(),
        **fields,
        **envelope,
    }


def registrations(rng: random.Random, number: int) -> list[Document]:
    """Commands that register new users."""
    users = [str(UUID(int=rng.getrandbits(128), version=4)) for _ in range(number)]
    return [
        command("register_user", id, {"email": f"{id}@example.org", "password_hash": SOME_HASH})
        for id in users
    ]


def event(organizer_id: str, **fields: Any) -> Document:
    now = datetime.now(UTC)
    times = {"starts_at": now + timedelta(days=30), "ends_at": now + timedelta(days=31)}
    return command(
        "create_event",
        organizer_id,
        {"name": "A concert", **{name: at.isoformat() for name, at in times.items()}, **fields},
    )


def ticket_types(organizer_id: str, event_id: str) -> list[Document]:
    return [
        ticket_type(organizer_id, event_id, name=f"Block {number}", total_quantity=total)
        for number, total in enumerate(TOTALS)
    ]


def ticket_type(organizer_id: str, event_id: str, **fields: Any) -> Document:
    now = datetime.now(UTC)
    sale = {"sale_starts_at": now - timedelta(hours=1), "sale_ends_at": now + timedelta(days=1)}
    times = {name: at.isoformat() for name, at in sale.items()}
    return command("create_ticket_type", organizer_id, {"event_id": event_id, **times, **fields})
