"""Puts a demo event on sale, through the front door like anybody else's.

`python -m deploy.demo URL` does it once; beside another event it adds none.
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
TICKET_TYPES = {"Standing": 500, "Seated": 200}

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.demo", description="Adds a demo event.")
    parser.add_argument("url", help="of a gateway")
    try:
        added = add_demo_event(parser.parse_args().url)
    except (OSError, ValueError) as failure:  # or what is no URL
        sys.stderr.write(f"demo: not added ({failure})\n")
        return 1
    sys.stdout.write(
        "demo: an event is on sale\n" if added else "demo: there is an event already\n"
    )
    return 0


def add_demo_event(url: str) -> bool:
    """Whether one was added: not beside another event. Raises OSError when refused."""
    visitor = _Visitor(f"{url}/v1")
    if visitor.get("/events?limit=1")["items"]:
        return False
    visitor.sign_in()
    now = datetime.now(UTC)
    opens = now + timedelta(days=30)
    event = visitor.create(
        "/events", name=NAME, starts_at=opens, ends_at=opens + timedelta(hours=4)
    )["event"]
    for name, quantity in TICKET_TYPES.items():
        visitor.create(
            f"/events/{event['id']}/ticket-types",
            name=name,
            total_quantity=quantity,
            sale_starts_at=now,
            sale_ends_at=opens,
        )
    return True


class _Visitor:
    """Asks a gateway for one thing after the other. Every method raises OSError when refused."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._open = build_opener(ProxyHandler({})).open
        self._headers = {"Prefer": "wait=10"}

    def sign_in(self) -> None:
        """Become an organizer made for the purpose, whose password is forgotten at once."""
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
        request = Request(self._url + path, body, headers)  # noqa: S310 - ours or the operator's
        with self._open(request, timeout=REQUEST_SECONDS) as response:
            if response.status != expected:
                raise TimeoutError(f"{path} is still pending")
            return json.load(response)


if __name__ == "__main__":
    sys.exit(main())
