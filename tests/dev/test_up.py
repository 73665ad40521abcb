"""`make up` starts the whole system and leaves no process behind."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping

import httpx
import pytest

from dev.addresses import free_port
from dev.processes.process import REPOSITORY, descendants
from dev.services import services
from tests.dev.conftest import PYTHON

READY_WITHIN_SECONDS = 60.0
STOPPED_WITHIN_SECONDS = 30.0
UP = [PYTHON, "-m", "dev.up"]


def refusal(**variables: str) -> str:
    refused = subprocess.run(
        UP, cwd=REPOSITORY, env=os.environ | variables, capture_output=True, text=True, timeout=20
    )
    assert refused.returncode == 1
    return refused.stderr


def test_a_taken_port_is_refused_in_one_sentence(taken_port: int) -> None:
    said = refusal(HOLDFAST_PORT=str(taken_port))
    assert said == f"Port {taken_port} is taken: set HOLDFAST_PORT to a free one.\n"


def test_a_bad_number_is_refused_with_its_name() -> None:
    assert refusal(HOLDFAST_WORKERS="many").startswith("HOLDFAST_WORKERS is a number from 1 to")


@pytest.fixture
def environment() -> Iterator[Mapping[str, str]]:
    with services("tests") as found:
        yield os.environ | {
            "HOLDFAST_DATABASE_URL": found.database_url,
            "HOLDFAST_BROKER_URL": found.broker_url,
            "HOLDFAST_PORT": str(free_port()),
            "HOLDFAST_WORKER_PORT": str(free_port()),
            "HOLDFAST_PAYMENTS_PORT": str(free_port()),
        }


@pytest.mark.parametrize("stop_signal", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_a_demo_event_until_a_signal_and_leaves_no_process(
    environment: Mapping[str, str], stop_signal: signal.Signals
) -> None:
    with subprocess.Popen(
        UP, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True
    ) as up:
        assert up.stdout is not None
        watchdog = threading.Timer(READY_WITHIN_SECONDS, up.kill)  # ends the output below
        watchdog.start()
        lines = list(iter(up.stdout.readline, "Ctrl-C stops everything.\n"))
        watchdog.cancel()
        url = f"http://127.0.0.1:{environment['HOLDFAST_PORT']}"
        assert f"  {url}/docs\n" in lines
        assert [event["name"] for event in events(url)] == ["Holdfast Live"]
        (event,) = events(url)
        provider = httpx.get(f"{url}/v1/payment-provider", trust_env=False).json()
        assert provider["provider"] == "demo"
        assert provider["is_real"] is False
        assert event["payment_agent_id"] == provider["payment_agent_id"]
        started = descendants(up.pid)
        assert len(started) >= 4  # gateway, worker, payments, guard
        up.send_signal(stop_signal)
        killer = threading.Timer(STOPPED_WITHIN_SECONDS, up.kill)
        killer.start()
        assert "stopped\n" in up.stdout.readlines()
        assert up.wait() == 0
        killer.cancel()
    assert not [pid for pid in started if os.path.exists(f"/proc/{pid}")]


def events(url: str) -> list[dict[str, str]]:
    items: list[dict[str, str]] = httpx.get(f"{url}/v1/events", trust_env=False).json()["items"]
    return items
