"""How the tests run in parallel: which of them stay together, in which order, and which run alone.

pytest-xdist runs them in several processes. Each process has its own databases, vhosts, gateways
and workers, because it makes its own session fixtures. The files that use the fixture `system`
share two processes, because that fixture starts two gateways and two workers.
"""

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from shared.ids import is_uuid7

SYSTEM_FOLDER = "tests/system/"
SYSTEM_GROUPS = 2
WITHOUT_SHARED_SYSTEM = (
    "tests/system/permissions/",
    "tests/system/test_canary.py",
    "tests/system/test_crash_of_",
    "tests/system/test_deadlines.py",
    "tests/system/test_holds.py",
    "tests/system/test_overload.py",
    "tests/system/test_patience.py",
    "tests/system/test_readme.py",
    "tests/system/test_settings.py",
    "tests/system/test_without_a_queue.py",
)
"""Files that start processes of their own. A file that is missing here costs time only."""
SLOWEST_FIRST = (
    "tests/reliability/chaos/test_run.py",
    "tests/system/test_",
    "tests/loadtest/test_bench.py",
    "tests/reliability/",
    "tests/system/permissions/",
    "tests/dev/",
    "tests/migrations/",
    "tests/worker/",
)
"""A long file that starts last would keep one process busy while the others have nothing to do."""

RUN_ID = pytest.StashKey[str]()
"""Kept by the process that starts the others."""


def group(path: str) -> str:
    """Return what all tests that have to run in one process have in common."""
    if path.startswith(SYSTEM_FOLDER) and not path.startswith(WITHOUT_SHARED_SYSTEM):
        return f"{SYSTEM_FOLDER} {crc32(path.encode()) % SYSTEM_GROUPS}"
    return path


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
    ranks = (rank for rank, path in enumerate(SLOWEST_FIRST) if node_id.startswith(path))
    return next(ranks, len(SLOWEST_FIRST))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Run a test that is marked `alone` while no other test of this run is running."""
    worker_input = getattr(item.config, "workerinput", None)
    if worker_input is None:
        return (yield)
    with turn(worker_input["testrunuid"], alone=item.get_closest_marker("alone") is not None):
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


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove the lock files, in the process that started the others."""
    run_id = session.config.stash.get(RUN_ID, None)
    if run_id is not None:
        for name in ("queue", "run"):
            _lock_file(run_id, name).unlink(missing_ok=True)
