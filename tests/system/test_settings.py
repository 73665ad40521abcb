"""Settings: each process refuses a bad value and names the variable; a good one takes effect."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.deployment import JWT_SECRET, Deployment
from tests.forks import fork_server
from tests.system.clients import Person

SECRET = "a-password-in-a-url"
GOOD = {
    "HOLDFAST_DATABASE_URL": f"postgresql://somebody:{SECRET}@127.0.0.1:1/none",
    "HOLDFAST_BROKER_URL": f"amqp://somebody:{SECRET}@127.0.0.1:1/none",
    "HOLDFAST_JWT_SECRET": JWT_SECRET,
}
BOTH = [
    ("HOLDFAST_DATABASE_URL", ""),
    ("HOLDFAST_DATABASE_URL", f"nonsense-{SECRET}"),
    ("HOLDFAST_BROKER_URL", ""),
    ("HOLDFAST_BROKER_URL", f"http://{SECRET}"),
    ("HOLDFAST_COMMAND_WINDOW_SECONDS", "0"),
]
CASES = [
    *(("gateway", variable, value) for variable, value in BOTH),
    *(("worker", variable, value) for variable, value in BOTH),
    ("gateway", "HOLDFAST_JWT_SECRET", ""),
    ("gateway", "HOLDFAST_JWT_SECRET", "31 bytes long, one too few here"),
    ("gateway", "HOLDFAST_PORT", "http"),
    ("gateway", "HOLDFAST_READ_DATABASE_URL", f"nonsense-{SECRET}"),
    ("worker", "HOLDFAST_HOLD_SECONDS", "0"),
    ("worker", "HOLDFAST_HOLD_SECONDS", "ten minutes"),
    ("worker", "HOLDFAST_MAX_HOLD_SECONDS", "0"),
    ("worker", "HOLDFAST_PAYMENT_SECONDS", "0"),
    ("worker", "HOLDFAST_PAYMENT_GRACE_SECONDS", "-1"),
    ("worker", "HOLDFAST_RETENTION_DAYS", "0"),
    ("worker", "HOLDFAST_RETENTION_DAYS", "a month"),
    ("worker", "HOLDFAST_WORKER_PORT", "70000"),
    ("payments", "HOLDFAST_PAYMENTS_PORT", "70000"),
    ("payments", "HOLDFAST_STRIPE_SECRET_KEY", f"pk_live_{SECRET}"),
]


@pytest.mark.parametrize(("module", "variable", "value"), CASES)
async def test_a_bad_value_is_refused_by_the_name_of_its_variable(
    module: str, variable: str, value: str, tmp_path: Path
) -> None:
    code, output = await run(module, GOOD | {variable: value}, tmp_path / "log")
    assert code != 0
    assert variable in output
    assert "Traceback" not in output
    assert SECRET not in output


async def test_every_bad_value_is_named_at_once(tmp_path: Path) -> None:
    bad = {"HOLDFAST_JWT_SECRET": "", "HOLDFAST_PORT": "-1"}
    code, output = await run("gateway", GOOD | bad, tmp_path / "log")
    assert code != 0
    assert "HOLDFAST_JWT_SECRET" in output
    assert "HOLDFAST_PORT" in output


async def test_a_gateway_reads_from_the_replica_that_it_is_given(
    system: Deployment, organizer: Person
) -> None:
    gateway = system.add(
        "gateway",
        [],
        HOLDFAST_DATABASE_URL=GOOD["HOLDFAST_DATABASE_URL"],
        HOLDFAST_READ_DATABASE_URL=system.database_url,
    )
    await gateway.start()
    try:
        headers = {"Authorization": f"Bearer {organizer.token}"}
        me = await organizer.http.get(f"{gateway.url}/v1/me", headers=headers)
        assert me.json()["id"] == organizer.id
    finally:
        gateway.signal(signal.SIGKILL)
        await gateway.ended()


async def run(module: str, settings: dict[str, str], log: Path) -> tuple[int, str]:
    """Run a process that ends by itself; return its exit code and its output."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("HOLDFAST_")}
    process = await fork_server().start(module, inherited | settings, log)
    try:
        async with asyncio.timeout(15):
            code = await process.wait()
    finally:
        process.send_signal(signal.SIGKILL)
    return code, await asyncio.to_thread(log.read_text)
