"""Reading the body of a request: what is too large, too slow, or not what it says."""

import asyncio

import pytest
from fastapi import Request

from gateway.http import request_body
from gateway.http.problems import ProblemError
from gateway.http.request_body import MAX_BODY_BYTES, read_json
from shared import strict_json
from shared.bodies import EventBody, ReservationBody

SOME_ID = "01936f2e-8a34-7c3e-9d41-0b0f5a4c2d11"
"""A constant: it is part of test IDs, which have to be the same in every process."""
ITEM = f'{{"ticket_type_id":"{SOME_ID}","quantity":2}}'


def request(*chunks: bytes, **headers: str) -> Request:
    """A request whose body arrives in these chunks; after an empty one nothing comes any more."""
    headers = {"content_type": "application/json"} | headers
    arriving = iter(chunks)
    left = len(chunks)

    async def receive():
        nonlocal left
        chunk = next(arriving)
        left -= 1
        if not chunk and left == 0 and len(chunks) > 1:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": chunk, "more_body": left > 0}

    pairs = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items() if v]
    return Request({"type": "http", "headers": pairs}, receive)


async def refusal(asked: Request, model=ReservationBody) -> ProblemError:
    with pytest.raises(ProblemError) as refused:
        await read_json(asked, model)
    return refused.value


@pytest.mark.parametrize(
    "media_type", ["application/json", "Application/JSON", "application/json; charset=utf-8"]
)
async def test_a_body_is_read_in_any_pieces(media_type: str):
    body = f'{{"items":[{ITEM}]}}'.encode()
    read = await read_json(request(body[:7], body[7:], content_type=media_type), ReservationBody)
    assert read.items[0].quantity == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"content_type": ""},
        {"content_type": "text/plain"},
        {"content_type": "application/x-www-form-urlencoded"},
        {"content_type": "application/jsonp"},
        {"content_encoding": "gzip"},
    ],
)
async def test_another_media_type(headers: dict[str, str]):
    assert (await refusal(request(b"{}", **headers))).code == "unsupported_media_type"


@pytest.mark.parametrize("chunks", [[b" " * (MAX_BODY_BYTES + 1)], [b" " * 4_096] * 17])
async def test_too_large_is_read_to_its_end(chunks: list[bytes]):
    asked = request(*chunks)
    assert (await refusal(asked)).code == "body_too_large"
    with pytest.raises(RuntimeError):  # nothing is left
        await asked.receive()


async def test_without_end_is_not_read_to_its_end():
    assert (await refusal(request(*[b" " * 65_536] * 1_000, b""))).code == "body_too_large"


async def test_a_body_that_comes_after_its_head_is_read_completely():
    body = f'{{"items":[{ITEM}]}}'.encode()
    has_come = asyncio.Event()
    asyncio.get_running_loop().call_later(0.02, has_come.set)

    async def receive():
        await has_come.wait()
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", b"application/json")]
    read = await read_json(Request({"type": "http", "headers": headers}, receive), ReservationBody)
    assert read.items[0].quantity == 2


async def test_a_client_that_disconnects_before_its_body_ends_the_read():
    async def receive():
        return {"type": "http.disconnect"}

    headers = [(b"content-type", b"application/json")]
    left = Request({"type": "http", "headers": headers}, receive)
    assert (await refusal(left)).code == "request_timeout"


async def test_too_slow(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(request_body, "BODY_TIMEOUT_SECONDS", 0.05)
    assert (await refusal(request(b"{", b""))).code == "request_timeout"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        "{",
        "[" * 60_000,
        '{"items":' * 7_000,
        '{"items":[]}',
        f'{{"items":[{",".join([ITEM] * 21)}]}}',
        f'{{"items":[{ITEM}],"user_id":"{SOME_ID}"}}',
        f'{{"items":[{ITEM}],"items":[{ITEM}]}}',
        f'{{"items":[{ITEM[:-1]},"quantity":2}}]}}',
        f'{{"items":[{ITEM},{ITEM[:-1]},"\\u0071uantity":2}}]}}',
        f'{{"items":[{ITEM}],"items" :[{ITEM}]}}',
        f'{{"items":[{ITEM},{ITEM}],"items":[{ITEM}]}}',
        '{"items":"\\ud800"}',
        f'{{"items":[{ITEM.replace("2}", "NaN}")}]}}',
        *(
            f'{{"items":[{{"ticket_type_id":"{SOME_ID}","quantity":{quantity}}}]}}'
            for quantity in ("0", "-1", "2147483648", "1e9", "1.5", '"1"', "true", "null", "1.0")
        ),
    ],
    ids=lambda body: body[:40],
)
async def test_a_reservation_that_is_none(body: str):
    assert (await refusal(request(body.encode()))).code == "invalid_request"


async def test_without_repeated_members_a_body_is_parsed_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(strict_json, "_CHECK", None)
    body = f'{{"items":[{ITEM},{ITEM}]}}'.encode()
    assert len((await read_json(request(body), ReservationBody)).items) == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"name": '"a\\u0000b"'},
        {"name": '""'},
        {"name": f'"{"a" * 201}"'},
        {"starts_at": "1893456000"},
        {"starts_at": '"0001-01-01T00:00:00+10:00"'},
        {"starts_at": '"0001-01-01T00:00:00Z"'},
        {"ends_at": '"9999-12-31T23:59:59.999999Z"'},
        {"name": '"   "'},
        {"starts_at": '"2030-01-01"'},
        {"starts_at": '"2030-01-01T00:00:00"'},
        {"ends_at": '"2030-01-01T00:00:00Z"'},
    ],
    ids=str,
)
async def test_an_event_that_is_none(fields: dict[str, str]):
    valid = {
        "name": '"Concert"',
        "starts_at": '"2030-01-01T00:00:00Z"',
        "ends_at": '"2030-01-02T00:00:00+01:00"',
    }
    body = ",".join(f'"{name}":{value}' for name, value in (valid | fields).items())
    problem = await refusal(request(f"{{{body}}}".encode()), EventBody)
    assert problem.code == "invalid_request"
    assert all(error["loc"][0] == "body" for error in problem.more["errors"])
