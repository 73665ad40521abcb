"""An operator's work, with accounts that have no other rights."""

import asyncio
import json
import os
import sys
from typing import Any

from tests.system.clients import eventually
from tests.system.permissions.publisher import ANSWER_SECONDS, Publisher


async def run(module: str, *arguments: str, **environment: str) -> tuple[int | None, Any]:
    """Run a tool; return its exit code and the JSON that it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        "--json",
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        output, _ = await process.communicate()
    return process.returncode, json.loads(output)


async def test_an_operator_may_run_the_audit(
    publisher: Publisher, databases: dict[str, str]
) -> None:
    code, _ = await run("worker.audit", HOLDFAST_DATABASE_URL=databases["operator"])

    assert code == 0


async def test_an_operator_may_retry_a_dead_letter(
    publisher: Publisher, brokers: dict[str, str]
) -> None:
    """The operator has reviewed it, so the worker accepts it from the operator's account."""
    await publisher.hand_in("worker", user_id="worker")
    broker = {"HOLDFAST_BROKER_URL": brokers["operator"]}

    async def letters() -> list[Any]:
        _, listed = await run("worker.deadletters", "list", **broker)
        return [one for one in listed["letters"] if one["reason"] == "not_allowed"]

    await eventually(letters, bool, ANSWER_SECONDS)
    code, told = await run("worker.deadletters", "retry", "--reason", "not_allowed", **broker)

    assert code == 0
    assert [o["status"] for one in told["republished"] for o in one["outcomes"]] == ["succeeded"]
    assert await publisher.held() == 1
    assert await letters() == []
