"""Parallel runs of the tests: what stays together, and what runs alone."""

import threading
from collections import Counter
from pathlib import Path

import pytest

from dev.processes.process import REPOSITORY
from shared.ids import new_id
from tests import parallel
from tests.parallel import group

FILES = [str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "tests").rglob("test_*.py")]


def test_a_file_is_never_split() -> None:
    assert group("tests/worker/test_races.py") == "tests/worker/test_races.py"


def test_the_files_that_share_a_system_run_in_few_processes(request: pytest.FixtureRequest) -> None:
    items = request.session.items
    collected = {item.path for item in items}
    using = {item.path for item in items if "system" in getattr(item, "fixturenames", ())}
    assert using == {REPOSITORY / path for path in parallel.SYSTEM_SECONDS} & collected
    assert len({group(path) for path in parallel.SYSTEM_SECONDS}) == parallel.SYSTEM_GROUPS


def test_the_groups_of_the_system_take_about_as_long() -> None:
    totals: Counter[str] = Counter()
    for path, seconds in parallel.SYSTEM_SECONDS.items():
        totals[group(path)] += seconds
    assert max(totals.values()) < 1.1 * min(totals.values())


@pytest.mark.parametrize("prefix", [*parallel.SYSTEM_SECONDS, *parallel.SLOWEST_FIRST])
def test_every_path_that_is_named_exists(prefix: str) -> None:
    assert [file for file in FILES if file.startswith(prefix)]


def test_a_test_runs_alone_when_the_running_ones_have_ended_and_before_later_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run_id, order = new_id(), []

    def turn(name: str, *, alone: bool) -> threading.Thread:
        def take() -> None:
            with parallel.turn(run_id, alone=alone):
                order.append(name)

        thread = threading.Thread(target=take)
        thread.start()
        thread.join(0.2)
        return thread

    with parallel.turn(run_id, alone=False):
        beside = turn("beside", alone=False)
        assert order == ["beside"]
        alone = turn("alone", alone=True)
        later = turn("later", alone=False)
        assert order == ["beside"]
    for thread in (beside, alone, later):
        thread.join(10)
    assert order == ["beside", "alone", "later"]


def test_an_id_is_not_part_of_a_tests_name() -> None:
    assert parallel.pytest_make_parametrize_id(new_id(), "sender") == "sender"
    assert parallel.pytest_make_parametrize_id("expired", "status") is None
