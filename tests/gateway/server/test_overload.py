"""When the gateway refuses work as too much, and which work."""

import asyncio
import time

import pytest

from gateway.http.problems import ProblemError
from gateway.server import overload
from gateway.server.overload import MAX_IN_FLIGHT_COMMANDS, MAX_IN_PROGRESS, Overload
from gateway.telemetry import Metrics
from shared.ids import new_id
from tests.gateway.overloads import Load, an_overload, make_busy


@pytest.fixture
def load() -> Load:
    return Load()


@pytest.fixture
def measured(load: Load) -> Overload:
    return an_overload(load)


@pytest.mark.parametrize(
    ("method", "path", "where_the_process_is_busy", "where_workers_are_behind"),
    [
        ("POST", "/v1/reservations", True, True),
        ("DELETE", "/v1/cart", True, True),
        ("GET", "/v1/cart", True, False),
        ("HEAD", "/v1/cart", True, False),
        ("OPTIONS", "/v1/cart", True, False),
        ("GET", "/v1/events", True, False),
        ("POST", "/v1/tokens", True, False),
        ("GET", "/v1/commands/x", False, False),
        ("GET", "/v1/commands/x/events", False, False),
        ("GET", "/health/live", False, False),
        ("GET", "/metrics", False, False),
        ("GET", "/openapi.json", False, False),
    ],
)
def test_what_is_refused(
    measured: Overload,
    load: Load,
    method: str,
    path: str,
    where_the_process_is_busy: bool,
    where_workers_are_behind: bool,
):
    assert not measured.refuses_request(method, path)
    load.in_flight = MAX_IN_FLIGHT_COMMANDS
    assert measured.refuses_request(method, path) == where_workers_are_behind
    load.in_flight = 0
    assert not measured.refuses_request(method, path)
    make_busy(measured)
    assert measured.refuses_request(method, path) == where_the_process_is_busy


@pytest.mark.parametrize(("lag", "in_progress"), [(2, 0.5), (0.5, 2)])
def test_only_much_work_and_no_time_together_are_an_overload(
    measured: Overload, lag: float, in_progress: float
):
    measured.lag_seconds = overload.MAX_LAG_SECONDS * lag
    measured.in_progress = int(MAX_IN_PROGRESS * in_progress)
    assert not measured.is_process_overloaded


def test_requests_that_only_wait_are_no_work(measured: Overload, load: Load):
    make_busy(measured)
    load.idle = 1
    assert not measured.is_process_overloaded


def test_a_command_is_checked_again_when_it_was_read(load: Load):
    metrics = Metrics()
    measured = an_overload(load, metrics)
    command_id = new_id()
    load.in_flight = MAX_IN_FLIGHT_COMMANDS - 1
    measured.check_command(command_id)
    load.in_flight = MAX_IN_FLIGHT_COMMANDS
    waits = set()
    for _ in range(5):
        with pytest.raises(ProblemError) as refused:
            measured.check_command(command_id)
        assert refused.value.code == "overloaded"
        assert refused.value.more == {"command_id": command_id}
        assert refused.value.headers is not None
        waits.add(refused.value.headers["Retry-After"])
    assert waits == {"1", "2", "3", "4", "5"}
    assert metrics.shed._value.get() == 5


async def test_the_lag_is_that_of_the_loop(measured: Overload):
    measured.start()
    await asyncio.sleep(0.1)
    calm = measured.lag_seconds
    time.sleep(0.2)  # noqa: ASYNC251 - the loop is to lag
    for _ in range(3):
        await asyncio.sleep(0)
    assert calm < 0.1 < measured.lag_seconds
    await asyncio.sleep(0.1)
    assert measured.lag_seconds < 0.1
    measured.stop()


async def test_a_thread_that_computes_all_the_time_is_busy(
    measured: Overload, monkeypatch: pytest.MonkeyPatch
):
    """The test sets the thread's clock: others compute on this machine, too."""
    measured.in_progress = MAX_IN_PROGRESS
    monkeypatch.setattr(time, "thread_time", time.monotonic)
    measured.start()
    async with asyncio.timeout(10):
        while measured.busy_share <= overload.MAX_BUSY_SHARE:
            await asyncio.sleep(0.02)
    measured.lag_seconds = 0.0
    assert measured.is_process_overloaded

    monkeypatch.setattr(time, "thread_time", lambda: 0.0)
    async with asyncio.timeout(10):
        while measured.busy_share >= overload.MAX_BUSY_SHARE / 2:
            await asyncio.sleep(0.02)
    measured.stop()


async def test_refusals_slow_down_while_the_event_loop_is_saturated(
    measured: Overload, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(overload, "MAX_LAG_SECONDS", -1)  # every lag is too much
    measured.start()
    async with asyncio.timeout(10):
        while measured.refusals_per_second > overload.MAX_REFUSALS_PER_SECOND / 2:
            await asyncio.sleep(0.02)
    slow = measured.refusals_per_second
    monkeypatch.setattr(overload, "MAX_LAG_SECONDS", 10)
    measured.busy_share = 0.0
    async with asyncio.timeout(10):
        while measured.refusals_per_second < slow * 1.5:
            await asyncio.sleep(0.02)
    measured.stop()


async def test_a_thread_that_waits_is_not_busy(measured: Overload):
    measured.start()
    await asyncio.sleep(0.5)
    assert measured.busy_share < 0.5
    measured.stop()
