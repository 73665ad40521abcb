"""Bad input that no other system test covers."""

import asyncio
import json
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from shared.ids import new_id
from tests.system.clients import PASSWORD, Person, Site, fresh_email, refused
from tests.system.test_problems import BODIES, ID, raw

REFUSALS = 20
MEGABYTE = 1_000_000


@pytest.mark.parametrize(("method", "path", "body"), BODIES)
@pytest.mark.parametrize("field", ["role", "state", "organizer_id", "deadline", "submitted_at"])
async def test_a_body_cannot_set_what_the_system_decides(
    alice: Person, method: str, path: str, body: dict[str, Any], field: str
) -> None:
    answer = await alice.ask(method, path, json=body | {field: "organizer"})
    (error,) = refused(answer, 422, "invalid_request")["errors"]
    assert error["loc"] == ["body", field]


@pytest.mark.parametrize(
    "quantity",
    ["-1", "2147483648", "1e9", "1.5", "1.0", '"1"', "true", "NaN", "Infinity", "null", "[]"],
)
async def test_an_invalid_quantity_is_refused(alice: Person, quantity: str) -> None:
    line = f'{{"ticket_type_id": "{ID}", "quantity": {quantity}}}'
    for method, path, body in (
        ("POST", "/reservations", f'{{"items": [{line}]}}'),
        ("PUT", f"/cart/items/{ID}", f'{{"quantity": {quantity}}}'),
    ):
        answer = await alice.ask(method, path, content=body.encode(), headers=raw())
        refused(answer, 422, "invalid_request")


@pytest.mark.parametrize(
    "name",
    ["a\x00b", "\ud800", "a\nb", "a\u0085b", "a\u2028b", "a\u2029b", " " * 10, "\U0001f3ab" * 201],
)
async def test_an_invalid_name_is_refused(alice: Person, name: str) -> None:
    content = json.dumps({"name": name}).encode()
    path = f"/ticket-types/{ID}"
    refused(await alice.ask("PATCH", path, content=content, headers=raw()), 422, "invalid_request")


@pytest.mark.parametrize("json_depth", [100_000])
async def test_json_100000_levels_deep_is_refused(alice: Person, json_depth: int) -> None:
    """The part that fits into a body is not JSON; all of it is too large."""
    for depth, status, code in (
        (json_depth, 413, "body_too_large"),
        (30_000, 422, "invalid_request"),
    ):
        content = b"[" * depth + b"]" * depth
        answer = await alice.ask("POST", "/reservations", content=content, headers=raw())
        refused(answer, status, code)


@pytest.mark.parametrize(
    ("characters", "status", "code"),
    [(60_000, 401, "unauthenticated"), (65_536, 431, "head_too_large")],
)
async def test_a_long_token_is_refused(site: Site, characters: int, status: int, code: str) -> None:
    headers = {"Authorization": f"Bearer {'x' * characters}"}
    answer = await site.http.get(f"{site.urls[0]}/v1/me", headers=headers)
    refused(answer, status, code)


@pytest.mark.parametrize(
    ("length", "status", "code"),
    [(60_000, 422, "invalid_request"), (MEGABYTE, 413, "body_too_large")],
)
async def test_a_long_password_is_not_hashed(
    site: Site, length: int, status: int, code: str
) -> None:
    """Two refusals cost less of the gateway's CPU than one registration, which hashes."""
    before = _cpu_seconds(site)
    for _ in range(REFUSALS):
        assert (await site.register(fresh_email(), PASSWORD)).is_success
    hashed = _cpu_seconds(site)
    for _ in range(REFUSALS):
        refused(await site.register(fresh_email(), "x" * length), status, code)
        refused(await site.log_in(fresh_email(), "x" * length), status, code)
    assert _cpu_seconds(site) - hashed < hashed - before


def _cpu_seconds(site: Site) -> float:
    return sum(gateway.cpu_seconds for gateway in site.deployment.gateways)


async def test_an_address_with_a_letter_that_lower_casing_changes_is_unknown(site: Site) -> None:
    """KELVIN SIGN becomes a k: an account has one name, or the throttle would count for each."""
    person = await site.newcomer()
    email = person.email.replace("someone", "Kim".lower())
    assert (await site.register(email)).status_code == 201
    form = {"username": email.replace("k", "\u212a"), "password": PASSWORD}
    # From another address, because a wrong guess counts for the address too.
    transport = httpx.AsyncHTTPTransport(local_address="127.1.98.1")
    async with httpx.AsyncClient(transport=transport, trust_env=False) as http:
        answer = await http.post(f"{site.urls[0]}/v1/tokens", data=form)
    refused(answer, 401, "invalid_credentials")
    assert (await site.log_in(email.upper(), PASSWORD)).status_code == 200


async def test_a_body_at_a_byte_a_second_times_out_and_closes_the_connection(alice: Person) -> None:
    address = urlsplit(alice.deployment.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = (
        f"PUT /v1/cart/items/{new_id()} HTTP/1.1\r\nHost: {address.netloc}\r\n"
        f"Authorization: Bearer {alice.token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 15\r\n\r\n"
    )
    writer.write(head.encode())
    answer = asyncio.create_task(reader.read())
    started = time.monotonic()
    for byte in b'{"quantity": 1}':
        if answer.done():
            break
        writer.write(bytes([byte]))
        await asyncio.wait([answer], timeout=1)
    assert b" 408 " in (await asyncio.wait_for(answer, 1)).partition(b"\r\n")[0]
    assert time.monotonic() - started < 10
    writer.close()
