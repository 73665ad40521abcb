"""Puts a demo event on sale, through the front door like anybody else's."""

import secrets
from datetime import UTC, datetime, timedelta

import httpx

REQUEST_SECONDS = 20.0
PASSWORD_BYTES = 24
NAME = "Holdfast Live"
TICKET_TYPES = {"Standing": 500, "Seated": 200}


def add_demo_event(url: str) -> bool:
    """Whether one was added: not beside another event. Raises httpx.HTTPError when refused."""
    with httpx.Client(
        base_url=f"{url}/v1",
        headers={"Prefer": "wait=10"},
        timeout=REQUEST_SECONDS,
        trust_env=False,
        event_hooks={"response": [httpx.Response.raise_for_status]},
    ) as client:
        if client.get("/events", params={"limit": 1}).json()["items"]:
            return False
        _sign_in(client)
        now = datetime.now(UTC)
        opens = now + timedelta(days=30)
        event = _create(
            client, "/events", name=NAME, starts_at=opens, ends_at=opens + timedelta(hours=4)
        )
        for name, quantity in TICKET_TYPES.items():
            _create(
                client,
                f"/events/{event['event']['id']}/ticket-types",
                name=name,
                total_quantity=quantity,
                sale_starts_at=now,
                sale_ends_at=opens,
            )
        return True


def _sign_in(client: httpx.Client) -> None:
    """As an organizer made for the purpose, whose password is forgotten at once."""
    email = f"demo-{secrets.token_hex(4)}@holdfast.example"
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    _create(client, "/users", email=email, password=password)
    token = client.post("/tokens", data={"username": email, "password": password}).json()
    client.headers["Authorization"] = f"Bearer {token['access_token']}"


def _create(client: httpx.Client, path: str, **fields: object) -> dict[str, dict[str, str]]:
    body = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in fields.items()
    }
    response = client.post(path, json=body)
    if response.status_code != httpx.codes.CREATED:
        raise httpx.HTTPStatusError(
            f"{path} is still pending", request=response.request, response=response
        )
    result: dict[str, dict[str, str]] = response.json()["result"]
    return result
