"""The event of the shoppers: its tickets have prices, and an agent records its payments."""

import random
from dataclasses import dataclass

from reliability.chaos.clients.fixtures import decide
from reliability.chaos.clients.queue_client import QueueClient
from reliability.chaos.clients.workload import event, registrations, ticket_type

TYPES = ((2_000, 500), (30, 1_000), (5, 700), (400, 0))
"""Total and price of each: enough for all, two for which buyers wait, and a free one."""


@dataclass(frozen=True, slots=True)
class Sale:
    event_id: str
    ticket_type_ids: list[str]
    agent_id: str
    buyer_ids: list[str]


async def open_sale(queue_client: QueueClient, rng: random.Random, buyers: int) -> Sale:
    """Create the event, its ticket types and its users through the queue."""
    registered = registrations(rng, buyers + 2)
    await decide(queue_client, registered)
    organizer_id, agent_id, *buyer_ids = [each["user_id"] for each in registered]
    concert = event(organizer_id, payment_agent_id=agent_id)
    await decide(queue_client, [concert])
    types = [
        ticket_type(
            organizer_id, concert["command_id"], name=f"Row {number}", total_quantity=total,
            unit_price=price,
        )
        for number, (total, price) in enumerate(TYPES)
    ]  # fmt: skip
    await decide(queue_client, types)
    return Sale(concert["command_id"], [each["command_id"] for each in types], agent_id, buyer_ids)
