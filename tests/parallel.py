"""How the tests run in parallel: which of them stay together, in which order, and which run alone.

pytest-xdist runs them in several processes. Each process has its own databases, vhosts, gateways
and workers, because it makes its own session fixtures. The files that use the fixture `system`
share two processes, because that fixture starts two gateways and two workers.

Files in a folder `alone` measure times. They run one after another when the rest is done, and no
other test runs beside them: a test that ran alone in the middle would wait until the longest
running one has ended, while the other processes wait for it.
"""

import fcntl
import gc
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from shared.ids import is_uuid7

ALONE = "/alone/"
SYSTEM_GROUPS = 2
SYSTEM_SECONDS = {
    "tests/loadtest/test_against_a_system.py": 30,
    "tests/system/test_accounts.py": 14,
    "tests/system/test_authentication.py": 4,
    "tests/system/test_authorization.py": 9,
    "tests/system/test_availability.py": 1,
    "tests/system/test_bad_input.py": 13,
    "tests/system/test_cart.py": 5,
    "tests/system/test_catalogue.py": 8,
    "tests/system/test_commands.py": 3,
    "tests/system/test_deadlines.py": 15,
    "tests/system/test_event_list.py": 5,
    "tests/system/test_idempotency.py": 4,
    "tests/system/test_key_rotation.py": 7,
    "tests/system/test_login_throttle.py": 20,
    "tests/system/test_orders.py": 13,
    "tests/system/test_patience.py": 15,
    "tests/system/test_preferences.py": 6,
    "tests/system/test_problems.py": 7,
    "tests/system/test_proxy.py": 1,
    "tests/system/test_queue.py": 12,
    "tests/system/test_service.py": 3,
    "tests/system/test_settings.py": 5,
    "tests/system/test_two_gateways.py": 7,
}
"""The files that use the fixture `system`, and about how long each takes. A test compares the names
with the fixtures; the seconds balance the groups and may be out of date."""
SLOWEST_FIRST = (
    "tests/reliability/chaos/test_run.py",
    "tests/loadtest/test_bench.py",
    "tests/worker/test_poison_messages.py",
    "tests/system/test_crash_of_",
    "tests/system/test_overload_of_workers.py",
    "tests/worker/storage/test_plans.py",
    "tests/reliability/test_fuzzing.py",
    "tests/worker/operations/",
    "tests/system/",
    "tests/reliability/",
    "tests/dev/",
    "tests/migrations/",
    "tests/worker/",
)
"""After the files of `SYSTEM_SECONDS`. A long file that starts last would keep one process busy
while the others have nothing to do."""

RUN_ID = pytest.StashKey[str]()
ENDED = pytest.StashKey[list[float]]()
"""When each process had no tests left. Both are kept by the process that starts the others."""


def group(path: str) -> str:
    """Return what all tests that have to run in one process have in common."""
    if ALONE in path:
        return "alone"
    return _system_groups().get(path, path)


@cache
def _system_groups() -> dict[str, str]:
    """Return the group of each file that uses the fixture `system`: both take about as long."""
    totals = dict.fromkeys((f"system {number}" for number in range(1, SYSTEM_GROUPS + 1)), 0)
    groups = {}
    for path, seconds in sorted(SYSTEM_SECONDS.items(), key=lambda item: -item[1]):
        groups[path] = min(totals, key=lambda name: totals[name])
        totals[groups[path]] += seconds
    return groups


class GroupScheduling(LoadScopeScheduling):
    """Gives whole groups to the processes; the default gives single tests."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid.partition("::")[0])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> GroupScheduling:
    config.option.loadscopereorder = False  # keeps the order of `pytest_collection_modifyitems`
    return GroupScheduling(config, log)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a parameter that is a new ID by its argument: all processes must collect equal names."""
    return argname if isinstance(val, str) and is_uuid7(val) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _rank(item.nodeid))


def _rank(node_id: str) -> int:
    path = node_id.partition("::")[0]
    if ALONE in path:
        return len(SLOWEST_FIRST) + 1
    if path in SYSTEM_SECONDS:
        return -1
    ranks = (rank for rank, prefix in enumerate(SLOWEST_FIRST) if path.startswith(prefix))
    return next(ranks, len(SLOWEST_FIRST))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect no garbage meanwhile: what is made here lives as long as the process."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Run a test of a folder `alone` while no other test of this run is running."""
    worker_input = getattr(item.config, "workerinput", None)
    if worker_input is None:
        return (yield)
    with turn(worker_input["testrunuid"], alone=ALONE in item.nodeid.partition("::")[0]):
        return (yield)


@contextmanager
def turn(run_id: str, *, alone: bool) -> Iterator[None]:
    """Hold the lock of the running tests: shared, or exclusive where `alone`.

    The first lock is held while waiting for the second, so that tests that share the second lock
    cannot keep an exclusive one waiting indefinitely.
    """
    with _lock_file(run_id, "queue").open("a") as queue, _lock_file(run_id, "run").open("a") as run:
        fcntl.flock(queue, fcntl.LOCK_EX)
        fcntl.flock(run, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        if not alone:
            fcntl.flock(queue, fcntl.LOCK_UN)
        yield  # closing the files releases what is still locked


def _lock_file(run_id: str, name: str) -> Path:
    return Path(tempfile.gettempdir()) / f"holdfast-tests-{run_id}.{name}"


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    node.config.stash[RUN_ID] = node.workerinput["testrunuid"]
    node.config.stash.setdefault(ENDED, [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: WorkerController, error: object) -> None:
    node.config.stash[ENDED].append(time.time())


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how well the tests were shared out."""
    if ended := config.stash.get(ENDED, None):
        before = ", ".join(f"{max(ended) - at:.0f}" for at in sorted(ended))
        terminalreporter.write_line(f"seconds that each process had no tests left: {before}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove the lock files, in the process that started the others."""
    run_id = session.config.stash.get(RUN_ID, None)
    if run_id is not None:
        for name in ("queue", "run"):
            _lock_file(run_id, name).unlink(missing_ok=True)
