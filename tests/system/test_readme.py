"""The README: its curl lines do what it says."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from shutil import which

import httpx
import pytest

from deploy.demo import add_demo_event, main
from dev.addresses import free_port
from dev.processes.process import REPOSITORY
from tests.deployment import own_deployment
from tests.system.amqp import Document
from tests.system.clients import Person, Site

DEFAULT_URL = "http://127.0.0.1:8000"
BLOCK = re.compile(r"<!-- curl: (?P<what>.+?) -->\n```sh\n(?P<lines>.+?)```", re.DOTALL)
BLOCKS = [match["lines"] for match in BLOCK.finditer((REPOSITORY / "README.md").read_text())]


@pytest.fixture(scope="module")
async def demo(http: httpx.AsyncClient, template_url: str) -> AsyncIterator[Site]:
    """What `make up` leaves in an empty database."""
    async with own_deployment(template_url) as deployment:
        await deployment.start(demo_payments=True)
        assert await asyncio.to_thread(add_demo_event, deployment.url)
        yield Site(deployment, http)


async def test_a_buyer_follows_the_readme_and_pays_for_two(demo: Site, tmp_path: Path) -> None:
    (lines,) = BLOCKS
    output, errors = await run(lines, demo, tmp_path)
    registered, reserved, cart, order = read_documents(output)
    assert errors == ""
    assert registered["status"] == reserved["status"] == "succeeded"
    assert registered["result"]["user"]["email"] == "ada@example.com"
    assert [item["quantity"] for item in cart["items"]] == [2]
    # The page of the cart also has names and prices.
    held = reserved["result"]["cart"]
    assert held["id"] == cart["id"]
    assert held["expires_at"] == cart["expires_at"]
    assert held["items"] == [
        {name: item[name] for name in ("ticket_type_id", "event_id", "quantity")}
        for item in cart["items"]
    ]
    (event,) = (await demo.http.get(f"{demo.urls[0]}/v1/events")).json()["items"]
    assert cart["items"][0]["event_id"] == event["id"]
    assert (order["status"], order["event_id"]) == ("paid", event["id"])
    assert [item["quantity"] for item in order["items"]] == [2]
    assert order["total"] == order["paid"] > 0

    # On a second run the buyer exists already, and buys two more.
    again, _ = await run(lines, demo, tmp_path)
    registered, _, cart, second = read_documents(again)
    assert registered["code"] == "email_taken"
    assert [item["quantity"] for item in cart["items"]] == [2]
    assert second["status"] == "paid"
    assert second["id"] != order["id"]


async def test_the_demo_event_is_added_once_and_can_be_bought(
    demo: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["demo", demo.deployment.url])
    assert await asyncio.to_thread(main) == 0
    assert "there is an event already" in capsys.readouterr().out
    buyer: Person = await demo.newcomer()
    (event,) = (await demo.http.get(f"{demo.urls[0]}/v1/events")).json()["items"]
    page = (await demo.http.get(f"{demo.urls[0]}/v1/events/{event['id']}")).json()
    lines = [(ticket_type["id"], 1) for ticket_type in page["ticket_types"]]
    assert lines
    assert (await buyer.reserve_all(lines)).status_code == 200


def test_a_demo_event_that_cannot_be_added_gives_one_line_of_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["demo", f"http://127.0.0.1:{free_port()}"])

    assert main() == 1
    assert "Connection refused" in capsys.readouterr().err


async def run(lines: str, site: Site, folder: Path) -> tuple[str, str]:
    """Run a block of the README in a shell, at this site; return what it printed."""
    if which("curl") is None:
        pytest.skip("there is no curl")
    assert DEFAULT_URL in lines
    shell = await asyncio.create_subprocess_exec(
        "bash",
        "-euo",
        "pipefail",
        "-c",
        lines.replace(DEFAULT_URL, site.urls[0]),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "no_proxy": "*"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        output, errors = await shell.communicate()
    assert shell.returncode == 0, errors.decode()
    return output.decode(), errors.decode()


def read_documents(output: str) -> list[Document]:
    """Read JSON documents that follow each other, with or without space between them."""
    decoder, documents = json.JSONDecoder(), []
    while output := output.strip():
        document, end = decoder.raw_decode(output)
        documents.append(document)
        output = output[end:]
    return documents
