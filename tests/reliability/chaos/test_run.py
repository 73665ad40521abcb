"""A short run of all of it, and one with a worker that is wrong: there it must not be silent."""

import pytest

from dev.servers.discovery import Unavailable
from reliability.chaos.__main__ import run
from reliability.chaos.arguments import read_arguments
from reliability.chaos.clients import http_buyers, queue_buyers

FAULTS = ("worker-after-commit", "worker-before-reply", "lost-commit", "postgres-restart")


async def test_a_system_that_is_broken_keeps_every_invariant() -> None:
    options = read_arguments(["--faults", ",".join(FAULTS), "--commands", "1000", "--seed", "1"])
    try:
        summed = await run(options)
    except Unavailable as reason:
        pytest.skip(str(reason))
    assert summed["violations"] == []
    assert summed["commands"] >= 1_000
    assert {**summed["faults"], **summed["faults_without_target"]}.keys() == set(FAULTS)
    assert sum(summed["faults"].values()) >= len(FAULTS) - 1
    assert summed["database_checks"] > 10


async def test_a_worker_that_acknowledges_too_early_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Control: it loses what it holds when it is killed."""
    for clients in (http_buyers, queue_buyers):
        monkeypatch.setattr(clients, "GIVE_UP_SECONDS", 8.0)
    options = read_arguments(["--faults", "worker-before-commit", "--commands", "200"])
    try:
        summed = await run(options, worker_module="tests.reliability.chaos.careless_worker")
    except Unavailable as reason:
        pytest.skip(str(reason))
    assert any("never decided" in each or "I3" in each for each in summed["violations"])
