"""Creates what the fuzzer's requests name: a user, an event, an order, a command, a cart."""

import secrets
from datetime import UTC, datetime, timedelta

from loadtest.http.client import HttpClient
from reliability.fuzzing.fuzzer import Fixtures

PASSWORD = "correct horse battery staple"  # noqa: S105 (of a system that lives for minutes)
TICKETS = 1_000_000


async def create_fixtures(url: str) -> Fixtures:
    """Create them over HTTP at the gateway `url`. Raises `PreparationError`."""
    email = f"fuzzer-{secrets.token_hex(6)}@example.org"
    now = datetime.now(UTC)
    starts_at = (now + timedelta(days=30)).isoformat()
    async with HttpClient(url) as client:
        await client.post("/v1/users", {"email": email, "password": PASSWORD})
        token = await client.log_in(email, PASSWORD)
        times = {"starts_at": starts_at, "ends_at": (now + timedelta(days=31)).isoformat()}
        created = await client.post("/v1/events", {"name": "A concert"} | times, token)
        event_id = created["event"]["id"]
        sale = {"sale_starts_at": (now - timedelta(hours=1)).isoformat(), "sale_ends_at": starts_at}
        body = {"name": "Standing", "total_quantity": TICKETS, "unit_price": 1_000} | sale
        created = await client.post(f"/v1/events/{event_id}/ticket-types", body, token)
        ticket_type_id = created["ticket_type"]["id"]
        items = [{"ticket_type_id": ticket_type_id, "quantity": 1}]
        await client.post("/v1/reservations", {"items": items}, token)
        ordered = await client.post("/v1/orders", {"event_id": event_id}, token)
        reserved = await client.post("/v1/reservations", {"items": items}, token)
        # A cart takes the ID of the command that opened it.
        command_id = reserved["cart"]["id"]
    path_parameters = {
        "event_id": event_id,
        "ticket_type_id": ticket_type_id,
        "order_id": ordered["order"]["id"],
        "command_id": command_id,
    }
    return Fixtures(url, token, path_parameters)
