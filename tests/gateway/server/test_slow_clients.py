"""Clients that send a head slowly, or none, or read no answer: they are closed, and no others."""

import asyncio
import time

import pytest

from gateway.server import slow_clients
from gateway.server.slow_clients import SlowClients
from tests.gateway.waiting_server import LARGE_BYTES, WITHIN_SECONDS, WaitingServer

TIMEOUT_SECONDS = 0.4


@pytest.fixture
async def watched(server: WaitingServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(slow_clients, "HEAD_TIMEOUT_SECONDS", TIMEOUT_SECONDS)
    monkeypatch.setattr(slow_clients, "LOOK_EVERY_SECONDS", 0.05)
    heads = SlowClients()
    heads.start(server.server.server_state.connections)
    yield server
    heads.stop()


async def open_and_say(server: WaitingServer, data: bytes):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(data)
    return reader, writer


@pytest.mark.parametrize("begun", [b"", b"GE", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_who_never_ends_a_head_is_closed(watched: WaitingServer, begun: bytes):
    started = time.monotonic()
    reader, writer = await open_and_say(watched, begun)
    assert await asyncio.wait_for(reader.read(), 3) == b""
    assert time.monotonic() - started >= TIMEOUT_SECONDS
    writer.close()


async def test_a_byte_now_and_then_does_not_help(watched: WaitingServer):
    reader, writer = await open_and_say(watched, b"GET / HTTP/1.1\r\nX-Slow: ")
    closed = asyncio.create_task(reader.read())
    for _ in range(40):
        writer.write(b"x")
        await asyncio.wait([closed], timeout=0.05)
    assert closed.done()
    writer.close()


async def test_after_a_first_request_too(watched: WaitingServer):
    for more in (b"GET / HT", b"\r\n"):
        reader, writer = await open_and_say(watched, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        writer.write(more)
        assert await asyncio.wait_for(reader.read(), 3) == b""
        writer.close()


async def test_who_waits_for_an_answer_or_between_requests_is_left_alone(watched: WaitingServer):
    _, waits = await open_and_say(watched, b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
    reader, writer = await open_and_say(watched, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(TIMEOUT_SECONDS * 2)
    assert watched.left == 0
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    waits.close()
    writer.close()


async def test_who_has_sent_a_part_of_the_next_head_gets_what_is_waited_for(
    watched: WaitingServer,
):
    """The server itself does not read on before it has answered."""
    reader, writer = await open_and_say(watched, b"GET /later HTTP/1.1\r\nHost: x\r\n\r\n")
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HT")
    await asyncio.sleep(TIMEOUT_SECONDS * 2)
    assert not reader.at_eof()
    writer.write(b"TP/1.1\r\nHost: x\r\n\r\n")
    watched.go_on.set()
    for _ in range(3):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_who_reads_no_answer_is_cut_off(
    watched: WaitingServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(slow_clients, "UNREAD_TIMEOUT_SECONDS", TIMEOUT_SECONDS)
    reader, writer = await open_and_say(watched, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    reader._transport.pause_reading()
    connections = watched.server.server_state.connections
    async with asyncio.timeout(WITHIN_SECONDS):
        while not connections:
            await asyncio.sleep(0.01)
        while connections:
            await asyncio.sleep(0.01)
    writer.close()


async def test_who_reads_slowly_is_not(watched: WaitingServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(slow_clients, "UNREAD_TIMEOUT_SECONDS", TIMEOUT_SECONDS)
    reader, writer = await open_and_say(watched, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    left = LARGE_BYTES
    while left:
        left -= len(await reader.read(LARGE_BYTES // 4))
        await asyncio.sleep(TIMEOUT_SECONDS / 200)
    writer.close()


async def test_many_requests_one_after_the_other_are_not_one_slow_one(watched: WaitingServer):
    reader, writer = await open_and_say(watched, b"")
    ends_at = time.monotonic() + TIMEOUT_SECONDS * 2
    while time.monotonic() < ends_at:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
        await asyncio.sleep(0.1)
        writer.write(b"x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    writer.close()
