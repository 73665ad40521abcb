"""What the tests of the developer's tools share."""

import os
import socket
import sys
from collections.abc import Iterator

import pytest

from dev.processes.process import Process, descendants
from dev.servers.discovery import SKIP_VARIABLE

PYTHON = sys.executable


@pytest.fixture(autouse=True)
def no_step_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SKIP_VARIABLE, raising=False)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def children() -> Iterator[set[int]]:
    """The processes that ran before; the test must leave no others behind."""
    Process(["true"], environment=os.environ).wait()  # starts the guard, which stays
    before = set(descendants(os.getpid()))
    yield before
    assert set(descendants(os.getpid())) <= before
