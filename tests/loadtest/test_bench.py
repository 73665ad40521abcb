"""The bench's long measurements, at a tiny size: they end with 0, and write what docs need."""

import asyncio
import json
import re
import signal
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import asyncpg
import pytest

from dev.services import Services

PATIENCE_SECONDS = 180
PARTS = {"worker", "gateway", "postgres", "rabbitmq"}


async def bench(folder: Path, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest.bench", *arguments, "--docs", str(folder)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            output = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.terminate()  # it drops what it has made
            await process.wait()
    assert process.returncode == 0, output
    assert "All books balance." in output
    return output


def written(folder: Path, name: str) -> dict[str, Any]:
    ElementTree.fromstring((folder / f"{name}.svg").read_text())
    document: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return document


async def test_growth(tmp_path: Path) -> None:
    size = ("--outcomes", "2000", "--users", "200", "--carts", "200")
    fast = ("--rounds", "1", "--seconds", "1", "--only", "c")
    output = await bench(tmp_path, "--growth", *size, *fast)
    document = written(tmp_path, "growth")
    assert document["full"].items() >= {"outcomes": 2_000, "users": 200, "carts": 200}.items()
    assert document["full"]["database_bytes"] > 1_000_000
    assert [case["name"] for case in document["cases"]] == [
        "pgbench, one hot row, 16 clients",
        "queue, 100 commands a message",
        "queue x 100, buyers among all users",
        "queue, 1 command a message",
    ]
    for case in document["cases"]:
        assert case["full"]["rate"] / case["empty"]["rate"] == pytest.approx(case["ratio"], 0.01)
        assert f"| {case['name']} |" in output


async def test_orders(tmp_path: Path) -> None:
    size = ("--sales", "250", "--paid-orders", "500")
    output = await bench(tmp_path, "--orders", *size, "--rounds", "1", "--seconds", "2")
    rows = [line for line in output.splitlines() if line.startswith("| ")]
    figures = {row.split(" | ")[0]: row.split(" | ")[1:] for row in rows}
    sold = ("| check-out of", "| recording a payment", "| whole sales over HTTP")
    for start in sold:
        (name,) = (name for name in figures if name.startswith(start))
        per_second, hot_rows, with_orders = figures[name]
        assert int(per_second.replace(",", "")) > 0
        assert float(hot_rows) > 0
        assert float(with_orders.removesuffix(" |")) > 0
    seconds, *_ = figures["| with 250 paid orders"]
    assert float(seconds.removesuffix(" s")) < 30
    assert "All books balance." in output


async def test_memory(tmp_path: Path) -> None:
    output = await bench(tmp_path, "--memory", "--commands", "2000", "--seconds", "3")
    document = written(tmp_path, "memory")
    queue, http = document["ways"]
    assert queue["commands"] >= 2_000
    assert http["commands"] >= 1_000
    for way in (queue, http):
        assert way["last_to_first_step"].keys() == PARTS
        assert way["first_rate"] > 0
        assert way["later_rate"] > 0
        first, *_, last = way["samples"]
        assert (first["commands"], last["commands"]) == (0, way["commands"])
        for part in PARTS:
            assert last["footprints"][part]["rss_mb"] > 0
    assert "last to first 200" in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_stopped_while_it_fills_it_leaves_nothing(
    number: signal.Signals, own_services: Services
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest.bench", "--growth", "--outcomes", "1000000000"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    names: list[str] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while b"filling" not in (line := await process.stdout.readline()):
            assert not process.stdout.at_eof()
            names += re.findall(r"database (\w+)", line.decode())
        process.send_signal(number)
        rest = (await process.communicate())[0].decode()
    assert process.returncode == 2
    assert rest.endswith("stopped; nothing is written\n")
    assert len(names) == 2
    connection = await asyncpg.connect(own_services.database_url, timeout=10)
    try:
        left = "SELECT datname FROM pg_database WHERE datname = ANY ($1::text[])"
        assert await connection.fetch(left, names) == []
    finally:
        await connection.close()
