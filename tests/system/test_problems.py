"""Problems: errors follow RFC 9457 and do not quote the request."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.ids import new_id
from tests.system.clients import Person, Site, fresh_email, from_now, refused

CANARY = "canary-7f3a91"
ID = "01a20400-0000-7000-8000-000000000001"
EVENT = {"name": "A match", "starts_at": "2031-05-01T20:00:00Z", "ends_at": "2031-05-01T22:00:00Z"}
TICKET_TYPE = {
    "name": "Standing",
    "total_quantity": 5,
    "sale_starts_at": "2026-01-01T00:00:00Z",
    "sale_ends_at": "2031-01-01T00:00:00Z",
}
BODIES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/users", {"email": "somebody@example.org", "password": "long enough, this"}),
    ("POST", "/events", EVENT),
    ("POST", f"/events/{ID}/ticket-types", TICKET_TYPE),
    ("PATCH", f"/ticket-types/{ID}", {"name": "Seated"}),
    ("POST", "/reservations", {"items": [{"ticket_type_id": ID, "quantity": 1}]}),
    ("PUT", f"/cart/items/{ID}", {"quantity": 1}),
]


def raw(kind: str = "application/json") -> dict[str, str]:
    return {"Content-Type": kind}


@pytest.mark.parametrize(("method", "path", "body"), BODIES)
@pytest.mark.parametrize("field", ["user_id", "status", "command_id", "reserved_quantity"])
async def test_an_unknown_field_is_refused(
    alice: Person, method: str, path: str, body: dict[str, Any], field: str
) -> None:
    answer = await alice.ask(method, path, json=body | {field: CANARY}, prefer="wait=10")
    problem = refused(answer, 422, "invalid_request")
    (error,) = problem["errors"]
    assert error["loc"] == ["body", field]
    assert error["msg"]
    assert CANARY not in answer.text


async def test_an_unknown_field_of_a_line_is_refused(alice: Person) -> None:
    line = {"ticket_type_id": ID, "quantity": 1, "price": 0}
    answer = await alice.ask("POST", "/reservations", json={"items": [line]})
    errors = refused(answer, 422, "invalid_request")["errors"]
    assert errors[0]["loc"] == ["body", "items", 0, "price"]


@pytest.mark.parametrize(("method", "path", "body"), BODIES)
async def test_a_missing_field_is_named(
    alice: Person, method: str, path: str, body: dict[str, Any]
) -> None:
    answer = await alice.ask(method, path, json={})
    errors = refused(answer, 422, "invalid_request")["errors"]
    if method != "PATCH":  # PATCH may leave out every field, but not all of them
        assert {error["loc"][-1] for error in errors} == set(body)
    assert set(errors[0]) == {"loc", "msg"}


@pytest.mark.parametrize(("method", "path", "body"), BODIES)
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"[" * 60_000,
        b'{"a": ' * 9_000,
        b"\xff\xfe{}",
        b'{"quantity": NaN}',
        b'{"name": "\\ud800"}',
    ],
    ids=["empty", "open", "null", "array", "text", "deep", "deep objects", "bytes", "NaN", "lone"],
)
async def test_a_body_that_is_not_a_json_object_is_refused(
    alice: Person, method: str, path: str, body: dict[str, Any], content: bytes
) -> None:
    answer = await alice.ask(method, path, content=content, headers=raw())
    assert refused(answer, 422, "invalid_request")["errors"]


async def test_a_member_named_twice_is_refused(alice: Person) -> None:
    for content in (
        b'{"quantity": 1, "quantity": 2}',
        b'{"quantity": 1, "\\u0071uantity": 2}',
    ):
        answer = await alice.ask("PUT", f"/cart/items/{ID}", content=content, headers=raw())
        refused(answer, 422, "invalid_request")


async def test_a_problem_does_not_quote_the_input(site: Site, alice: Person) -> None:
    short, long = "qw9!" * 2, CANARY * 20
    for body in (
        {"email": fresh_email(), "password": short},
        {"email": fresh_email(), "password": long},
        {"email": CANARY, "password": long, CANARY: CANARY},
        {"email": {CANARY: CANARY}, "password": [CANARY]},
    ):
        answer = await site.http.post(f"{site.urls[0]}/v1/users", json=body)
        problem = refused(answer, 422, "invalid_request")
        for error in problem["errors"]:
            assert short not in error["msg"]
            assert CANARY not in error["msg"]
    for answer in (
        await alice.get(f"/commands/{CANARY}"),
        await alice.set(CANARY, 1),
        await alice.get(f"/events?cursor={CANARY}&limit={CANARY}"),
        await alice.get(f"/{CANARY}"),
        await alice.reserve(CANARY),
        await alice.reserve(ID, key=CANARY),
    ):
        assert answer.status_code in (404, 422)
        assert answer.headers["content-type"] == "application/problem+json"
        assert CANARY not in answer.text


async def test_an_absent_route_and_a_wrong_method_are_problems(alice: Person) -> None:
    refused(await alice.get("/tickets"), 404, "not_found")
    wrong = await alice.ask("PATCH", "/cart")
    refused(wrong, 405, "method_not_allowed")
    assert "GET" in wrong.headers["allow"] or "DELETE" in wrong.headers["allow"]


@pytest.mark.parametrize("path", ["/v1/events", "/v1/cart", "/v1/me", "/health/live", "/metrics"])
async def test_every_get_route_has_head(alice: Person, path: str) -> None:
    headers = {"Authorization": f"Bearer {alice.token}"}
    got, head = [
        await alice.http.request(method, f"{alice.deployment.url}{path}", headers=headers)
        for method in ("GET", "HEAD")
    ]
    assert head.status_code == got.status_code == 200
    assert head.content == b""
    assert head.headers["content-type"] == got.headers["content-type"]


async def test_a_stream_has_no_head(alice: Person) -> None:
    answer = await alice.ask("HEAD", f"/commands/{new_id()}/events")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data", ""])
async def test_another_media_type_is_refused(alice: Person, kind: str) -> None:
    content = b'{"quantity": 1}'
    answer = await alice.ask("PUT", f"/cart/items/{ID}", content=content, headers=raw(kind))
    refused(answer, 415, "unsupported_media_type")


async def test_a_compressed_body_is_refused(alice: Person) -> None:
    headers = raw() | {"Content-Encoding": "gzip"}
    answer = await alice.ask("PUT", f"/cart/items/{ID}", content=b"\x1f\x8b", headers=headers)
    refused(answer, 415, "unsupported_media_type")


async def test_a_body_over_64_kib_is_refused_with_or_without_a_content_length(
    alice: Person,
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(70):
            yield b" " * 1024

    for content in (b" " * (64 * 1024 + 1), chunks()):
        answer = await alice.ask("PUT", f"/cart/items/{ID}", content=content, headers=raw())
        refused(answer, 413, "body_too_large")


async def test_a_problem_of_a_command_names_the_command(alice: Person) -> None:
    key = new_id()
    problem = refused(await alice.release(ID, key=key), 404, "item_not_in_cart")
    assert problem["command_id"] == key


async def test_the_code_tells_the_type_and_the_title(alice: Person) -> None:
    """RFC 9457: both are the same for every occurrence; only `detail` varies."""
    one, other = [(await alice.release(new_id())).json() for _ in range(2)]
    assert one["type"] == other["type"]
    assert one["title"] == other["title"]
    different = (await alice.reserve(new_id())).json()
    assert different["type"] != one["type"]
    assert different["title"] != one["title"]


async def test_every_refusal_over_http_has_the_code_and_data_of_its_outcome(
    organizer: Person, alice: Person, ticket_type_id: str
) -> None:
    event = await organizer.event()
    not_yet = await organizer.ticket_type(event["id"], sale_starts_at=from_now(days=1))
    for answer in (
        await alice.reserve(ticket_type_id, 11),
        await alice.reserve(not_yet["id"]),
        await alice.reserve(new_id()),
        await alice.release(new_id()),
        await alice.close(event["id"], "end"),
    ):
        problem = answer.json()
        refusal = (await alice.poll(problem["command_id"]))["refusal"]
        assert refusal.items() <= problem.items()
        assert set(problem) - set(refusal) == {"type", "title", "status", "command_id"}
