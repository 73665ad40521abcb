"""Clients in front of the proxy of the compose file: what it takes from the gateway."""

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dev.addresses import answers, free_port
from shared.ids import new_id
from tests.system.clients import Person, Site
from tests.system.pauses import workers_paused

CONFIG = Path(__file__).parents[2] / "deploy" / "nginx.conf"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
HEADER_TIMEOUT_SECONDS = 8

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="module")
def port(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Of the proxy in front of the first gateway."""
    folder = tmp_path_factory.mktemp("nginx")
    port = free_port()
    config = CONFIG.read_text()
    for found, instead in (
        ("server gateway:8000;", f"server {urlsplit(site.urls[0]).netloc};"),
        ("server payments:8100;", "server 127.0.0.1:9;"),
        ("listen 8080 ", f"listen 127.0.0.1:{port} "),
        ("/tmp/", f"{folder}/"),
    ):
        assert found in config
        config = config.replace(found, instead)
    (folder / "nginx.conf").write_text(config)
    assert NGINX is not None
    command = [NGINX, "-p", str(folder), "-c", "nginx.conf", "-g", "daemon off;"]
    with subprocess.Popen(command) as nginx:
        give_up_at = time.monotonic() + 10
        while not answers("127.0.0.1", port):
            assert nginx.poll() is None
            assert time.monotonic() < give_up_at
            time.sleep(0.05)
        yield port
        nginx.terminate()


async def ask(port: int, *pieces: bytes, half_close: bool = False) -> Answer:
    """Send the pieces of one request; return status, headers and what came until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(HEADER_TIMEOUT_SECONDS * 2):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        if half_close:
            writer.write_eof()
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, body


def request(person: Person, method: str, path: str, *lines: str) -> bytes:
    head = (
        f"{method} /v1{path} HTTP/1.1",
        "Host: proxy",
        "Connection: close",
        f"Authorization: Bearer {person.token}",
        *lines,
    )
    return "\r\n".join((*head, "", "")).encode()


def code_of(answer: Answer) -> str:
    status, headers, body = answer
    assert headers["content-type"] == "application/problem+json"
    problem = json.loads(body)
    assert problem["status"] == status
    return str(problem["code"])


async def test_a_client_that_half_closes_gets_its_answer(port: int, alice: Person) -> None:
    waiting = request(alice, "DELETE", "/cart", "Prefer: wait=10")
    async with workers_paused(alice.deployment):
        asking = asyncio.create_task(ask(port, waiting, half_close=True))
        await asyncio.sleep(0.5)
        assert not asking.done()
    status, _, body = await asking
    assert status == 200
    assert json.loads(body)["status"] == "succeeded"


async def test_a_transfer_coding_that_is_not_understood(port: int, alice: Person) -> None:
    head = request(alice, "POST", "/reservations", "Transfer-Encoding: gzip, chunked")
    answer = await ask(port, head + b"0\r\n\r\n")
    assert answer[0] == 501
    assert code_of(answer) == "unsupported_transfer_coding"


async def test_two_authorization_headers(port: int, alice: Person) -> None:
    answer = await ask(port, request(alice, "GET", "/cart", "Authorization: Bearer x"))
    assert answer[0] == 400
    assert code_of(answer) == "malformed_request"


@pytest.mark.parametrize("piece_bytes", [4_000, 1_000_000])
@pytest.mark.parametrize(
    "lines",
    [
        [f"X-Long: {'x' * 66_000}"],
        [f"X-Long: {'x' * 131_000}"],
        [f"X-Long-{number}: {'x' * 10_000}" for number in range(7)],
    ],
)
async def test_a_head_over_64_kib(
    port: int, alice: Person, lines: list[str], piece_bytes: int
) -> None:
    head = request(alice, "GET", "/cart", *lines)
    pieces = [head[at : at + piece_bytes] for at in range(0, len(head), piece_bytes)]
    answer = await ask(port, *pieces)
    assert answer[0] == 431
    assert code_of(answer) == "head_too_large"


async def test_a_head_below_64_kib(port: int, alice: Person) -> None:
    status, _, _ = await ask(port, request(alice, "GET", "/cart", f"X-Long: {'x' * 60_000}"))
    assert status == 200


async def test_what_is_no_http(port: int) -> None:
    answer = await ask(port, b"no HTTP\r\n\r\n")
    assert answer[0] == 400
    assert code_of(answer) == "malformed_request"


async def test_a_head_and_a_body_that_never_end_are_given_up(port: int, alice: Person) -> None:
    head = request(alice, "GET", "/cart")[:-4]
    body = (
        request(
            alice, "POST", "/reservations", "Content-Type: application/json", "Content-Length: 9"
        )
        + b"{"
    )
    started = time.monotonic()

    async def ended(data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        async with asyncio.timeout(HEADER_TIMEOUT_SECONDS * 2):
            received = await reader.read()
        writer.close()
        return received

    _, answer = await asyncio.gather(ended(head), ended(body))
    assert time.monotonic() - started < HEADER_TIMEOUT_SECONDS + 4
    assert b" 408 " in answer.partition(b"\r\n")[0]


async def test_a_stream_is_not_held_back(port: int, alice: Person) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(alice, "GET", f"/commands/{new_id()}/events"))
    async with asyncio.timeout(2):
        await reader.readuntil(b"\r\n\r\n")
        assert b": waiting" in await reader.readuntil(b"waiting")
    writer.close()
