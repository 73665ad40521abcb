"""Puts a demo event on sale over HTTP, as any organizer would.

`python -m deploy.demo URL` adds the event only if the gateway lists no other.
"""

import argparse
import json
import secrets
import sys
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

REQUEST_SECONDS = 20.0
PASSWORD_BYTES = 24
NAME = "Holdfast Live"
TICKET_TYPES = {"Standing": (500, 2500), "Seated": (200, 4500)}
"""How many there are of each, and the price of one in minor units."""

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.demo", description="Adds a demo event.")
    parser.add_argument("url", help="of a gateway")
    try:
        added = add_demo_event(parser.parse_args().url)
    except (OSError, ValueError) as failure:  # ValueError: not a URL
        sys.stderr.write(f"demo: not added ({failure})\n")
        return 1
    sys.stdout.write(
        "demo: an event is on sale\n" if added else "demo: there is an event already\n"
    )
    return 0


def add_demo_event(url: str) -> bool:
    """Add the event unless there is one; tell whether it was added. Raises OSError if refused."""
    client = _Client(f"{url}/v1")
    if client.get("/events?limit=1&status=all")["items"]:
        return False
    client.sign_in()
    now = datetime.now(UTC)
    opens = now + timedelta(days=30)
    event = client.create(
        "/events",
        name=NAME,
        starts_at=opens,
        ends_at=opens + timedelta(hours=4),
        payment_agent_id=client.get("/payment-provider")["payment_agent_id"],
    )["event"]
    for name, (quantity, unit_price) in TICKET_TYPES.items():
        client.create(
            f"/events/{event['id']}/ticket-types",
            name=name,
            total_quantity=quantity,
            unit_price=unit_price,
            sale_starts_at=now,
            sale_ends_at=opens,
        )
    return True


class _Client:
    """Sends requests to a gateway, one after the other. Every method raises OSError if refused."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._open = build_opener(ProxyHandler({})).open
        self._headers = {"Prefer": "wait=10"}

    def sign_in(self) -> None:
        """Register a new organizer with a random password that is not kept, and log in."""
        email = f"demo-{secrets.token_hex(4)}@holdfast.example"
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        self.create("/users", email=email, password=password)
        form = urlencode({"username": email, "password": password})
        token = self._ask("/tokens", form.encode(), FORM)
        self._headers["Authorization"] = f"Bearer {token['access_token']}"

    def get(self, path: str) -> Any:
        return self._ask(path)

    def create(self, path: str, **fields: object) -> Any:
        body = json.dumps(fields, default=datetime.isoformat)
        return self._ask(path, body.encode(), JSON, expected=HTTPStatus.CREATED)["result"]

    def _ask(
        self,
        path: str,
        body: bytes | None = None,
        content_type: str = JSON,
        *,
        expected: int = HTTPStatus.OK,
    ) -> Any:
        headers = {**self._headers, "Content-Type": content_type}
        request = Request(self._url + path, body, headers)  # noqa: S310 - the operator chose the URL
        with self._open(request, timeout=REQUEST_SECONDS) as response:
            if response.status != expected:
                raise TimeoutError(f"{path} is still pending")
            return json.load(response)


if __name__ == "__main__":
    sys.exit(main())
