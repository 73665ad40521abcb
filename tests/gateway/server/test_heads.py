"""Heads of requests: what is no HTTP is refused; an upgrade that nobody makes changes nothing."""

import json
from collections.abc import AsyncIterator

import pytest

from gateway.server import heads
from gateway.server.heads import HeadsProtocol
from tests.gateway.wire import Wire

READ = b"GET /read HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
BODY = b"GET /within HTTP/1.1\r\nHost: x\r\n\r\n"
WRITE = b"POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%b\r\n" % (len(BODY), UPGRADE)


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    wire = Wire(HeadsProtocol)
    yield wire
    wire.protocol._unset_keepalive_if_required()


@pytest.mark.parametrize(
    "packets",
    [
        (WRITE + BODY,),
        (WRITE, BODY),
        (WRITE[:20], WRITE[20:-10], WRITE[-10:] + BODY[:5], BODY[5:]),
    ],
)
async def test_the_body_of_what_would_upgrade_is_its_body(wire: Wire, packets: tuple[bytes, ...]):
    answered = b"".join([await wire.say(packet) for packet in packets])
    assert answered.count(b"HTTP/1.1 200") == 1
    assert wire.reached_the_app == ["/write"]
    assert (await wire.say(READ)).startswith(b"HTTP/1.1 200")


async def test_the_requests_behind_it_are_answered(wire: Wire):
    would_upgrade = READ.replace(b"Host: x\r\n", b"Host: x\r\n" + UPGRADE)
    together = 600
    answered = await wire.say(would_upgrade * together + READ)
    for _ in range(together):
        answered += await wire.heard()
    assert answered.count(b"HTTP/1.1 200") == together + 1


async def test_who_would_upgrade_and_be_closed_is_closed(wire: Wire):
    answered = await wire.say(
        b"GET /read HTTP/1.1\r\nHost: x\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n\r\n"
    )
    assert answered.startswith(b"HTTP/1.1 200")
    assert b"connection: close\r\n" in answered
    assert wire.closed


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /read HTTP/1.1\r\n\r\n",
        b"GET /read HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
        b"GET /read HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET /read HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
        b"no HTTP\r\n\r\n",
        b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_what_is_no_request_gets_a_problem_and_is_closed(wire: Wire, request_: bytes):
    head, _, body = (await wire.say(request_)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\ncontent-type: application/problem+json" in head
    assert b"\r\nconnection: close" in head
    assert json.loads(body)["code"] == "malformed_request"
    assert wire.closed
    assert wire.reached_the_app == []


async def test_before_hosts_none_is_needed(wire: Wire):
    assert (await wire.say(b"GET /read HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("begun", [b"GET /read HTTP/1.1\r\nX: ", b"GET /"])
async def test_a_head_without_end_is_not_read_to_its_end(wire: Wire, begun: bytes):
    answered = await wire.say(begun)
    for _ in range(heads.MAX_HEAD_BYTES // 1_000 + 1):
        assert answered == b""
        answered = await wire.say(b"x" * 1_000)
    head, _, body = answered.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert json.loads(body)["code"] == "head_too_large"
    assert wire.closed


async def test_many_heads_are_not_one_long_one(wire: Wire):
    for _ in range(100):
        assert await wire.say(READ[:9] + b"x" * 1_000) == b""
        assert (await wire.say(READ[9:])).startswith(b"HTTP/1.1 200")
