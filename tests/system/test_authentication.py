"""Authentication: a client without a valid token gets a challenge and nothing else."""

import base64
import json
import time
from uuid import uuid4

import jwt
import pytest

from shared.ids import new_id
from tests.deployment import JWT_SECRET
from tests.system.clients import Person, Site, refused

SOME_ID = "01a20400-0000-7000-8000-000000000001"
GUARDED = [
    ("GET", "/me"),
    ("POST", "/events"),
    ("POST", f"/events/{SOME_ID}/cancel"),
    ("POST", f"/events/{SOME_ID}/end"),
    ("POST", f"/events/{SOME_ID}/ticket-types"),
    ("PATCH", f"/ticket-types/{SOME_ID}"),
    ("POST", "/reservations"),
    ("PUT", f"/cart/items/{SOME_ID}"),
    ("DELETE", f"/cart/items/{SOME_ID}"),
    ("DELETE", "/cart"),
    ("GET", "/cart"),
    ("GET", f"/commands/{SOME_ID}"),
    ("GET", f"/commands/{SOME_ID}/events"),
]


@pytest.mark.parametrize(("method", "path"), GUARDED)
async def test_without_a_token_there_is_a_challenge(site: Site, method: str, path: str) -> None:
    answer = await site.http.request(method, f"{site.urls[0]}/v1{path}")
    assert refused(answer, 401, "unauthenticated") == {}
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_the_catalogue_needs_no_token(site: Site, organizer: Person) -> None:
    event = await organizer.event()
    for path in ("/events", f"/events/{event['id']}"):
        assert (await site.http.get(f"{site.urls[0]}/v1{path}")).status_code == 200


async def test_a_token_made_with_the_secret_is_accepted(site: Site, organizer: Person) -> None:
    """Otherwise the forgeries below could be refused for another reason than theirs."""
    await is_accepted(site, await site.token_for(organizer.id))


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": None},
        {"exp": int(time.time()) - 60},
        {"exp": int(time.time()) + 10 * 365 * 86_400},
        {"iat": int(time.time()) + 3_600, "exp": int(time.time()) + 7_200},
        {"nbf": int(time.time()) + 3_600},
        {"iss": None},
        {"iss": "somebody else"},
        {"aud": None},
        {"aud": "somebody else"},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": str(uuid4())},
    ],
    ids=", ".join,  # not the values: test IDs have to be the same in every process
)
async def test_a_token_with_a_bad_claim_is_refused(
    site: Site, organizer: Person, claims: dict[str, object]
) -> None:
    good = jwt.decode(organizer.token, options={"verify_signature": False})
    present = {name: value for name, value in (good | claims).items() if value is not None}
    # By hand: PyJWT refuses to make some of these.
    await is_refused(site, sign_by_hand(present))


async def test_a_token_that_is_not_signed_by_us_is_refused(site: Site, organizer: Person) -> None:
    claims = jwt.decode(organizer.token, options={"verify_signature": False})
    header, payload, signature = organizer.token.split(".")
    for forged in (
        jwt.encode(claims, "another secret of more than 32 bytes!", "HS256"),
        jwt.encode(claims, JWT_SECRET * 2, "HS512"),
        jwt.encode(claims, None, "none"),
        f"{header}.{payload}.",
        f"{header}.{payload}.{signature[::-1]}",
        f"{header}.{encoded(claims | {'sub': str(uuid4())})}.{signature}",
    ):
        await is_refused(site, forged)


async def test_the_worker_refuses_a_command_of_a_user_that_does_not_exist(site: Site) -> None:
    """As after a restore of a backup from before the registration."""
    headers = {"Authorization": f"Bearer {await site.token_for(new_id())}"}
    url = f"{site.urls[0]}/v1"
    body = {"items": [{"ticket_type_id": new_id(), "quantity": 1}]}
    answer = await site.http.post(
        f"{url}/reservations", json=body, headers=headers | {"Prefer": "wait=10"}
    )
    refused(answer, 401, "user_not_found")
    for path in ("me", "cart", f"commands/{new_id()}", "events?organizer=me"):
        refused(await site.http.get(f"{url}/{path}", headers=headers), 401, "unauthenticated")


@pytest.mark.parametrize("name", ["kid", "jku", "x5u", "jwk", "crit"])
async def test_a_token_does_not_choose_its_key(site: Site, organizer: Person, name: str) -> None:
    claims = jwt.decode(organizer.token, options={"verify_signature": False})
    await is_refused(site, sign_by_hand(claims, {name: "http://127.0.0.1:1/key"}))


@pytest.mark.parametrize(
    "authorization", ["Bearer", "Bearer x", "Bearer a.b.c", "Basic eDp5", "x" * 32_000]
)
async def test_a_malformed_authorization_header_is_refused(site: Site, authorization: str) -> None:
    answer = await site.http.get(f"{site.urls[0]}/v1/me", headers={"Authorization": authorization})
    refused(answer, 401, "unauthenticated")


async def test_two_authorization_headers_are_malformed(site: Site, organizer: Person) -> None:
    """Readers disagree on which one counts, so neither does."""
    good, bad = (b"Authorization", f"Bearer {organizer.token}".encode()), (b"Authorization", b"x")
    for headers in ([good, bad], [bad, good], [good, good]):
        for method, path in (("GET", "/me"), ("GET", "/cart"), ("DELETE", "/cart")):
            answer = await site.http.request(method, f"{site.urls[0]}/v1{path}", headers=headers)
            refused(answer, 400, "malformed_request")


@pytest.mark.parametrize("seconds_ahead", [1, 5])
async def test_a_token_of_a_gateway_whose_clock_is_ahead_is_good(
    site: Site, organizer: Person, seconds_ahead: int
) -> None:
    issued_at = int(time.time()) + seconds_ahead
    claims = {"iat": issued_at, "exp": issued_at + 3_600}
    await is_accepted(site, await site.token_for(organizer.id, **claims))


async def is_accepted(site: Site, token: str) -> None:
    answer = await site.http.get(
        f"{site.urls[0]}/v1/me", headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 200


async def is_refused(site: Site, token: str) -> None:
    answer = await site.http.get(
        f"{site.urls[0]}/v1/me", headers={"Authorization": f"Bearer {token}"}
    )
    refused(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def sign_by_hand(claims: dict[str, object], header: dict[str, object] | None = None) -> str:
    """A token with our signature, whatever it says."""
    content = f"{encoded({'alg': 'HS256', 'typ': 'JWT'} | (header or {}))}.{encoded(claims)}"
    signature = jwt.get_algorithm_by_name("HS256").sign(content.encode(), JWT_SECRET.encode())
    return f"{content}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def encoded(part: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
