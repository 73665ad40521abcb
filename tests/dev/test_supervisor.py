"""Children run in parallel, are restarted when they die, and stop when told to."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dev.processes.process import REPOSITORY, Process, descendants
from dev.processes.supervisor import Command, prefix, supervised
from tests.dev.conftest import PYTHON

WITHIN_SECONDS = 10.0
SLEEPS = "import time; time.sleep(60)"


def eventually(is_so: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + WITHIN_SECONDS
    while not is_so():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def command(name: str, program: str) -> Command:
    return Command(name, [PYTHON, "-c", program], os.environ)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_the_prefixes_of_children_are_aligned() -> None:
    assert prefix("gateway", coloured=False) == "gateway  │ "
    assert prefix("worker-1", coloured=False) == "worker-1 │ "
    assert prefix("worker-1", coloured=True).endswith("mworker-1 │ \x1b[0m")


@pytest.mark.usefixtures("children")
def test_the_output_of_children_is_merged_under_their_names(
    capsys: pytest.CaptureFixture[str],
) -> None:
    talks = """
import sys, time
print("hello", flush=True)
print("oops", file=sys.stderr, flush=True)
time.sleep(60)
"""
    printed = ""

    def all_there() -> bool:
        nonlocal printed
        printed += capsys.readouterr().out
        return printed.count("\n") == 4

    with supervised([command("gateway", talks), command("worker-1", talks)]):
        eventually(all_there)
    assert sorted(printed.splitlines()) == [
        "gateway  │ hello",
        "gateway  │ oops",
        "worker-1 │ hello",
        "worker-1 │ oops",
    ]


@pytest.mark.usefixtures("children")
def test_a_child_that_ends_is_restarted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    starts = tmp_path / "starts"
    ends_once = f"""
import os, pathlib, signal, time
starts = pathlib.Path({str(starts)!r})
first = not starts.exists()
starts.open("a").write("x")
os.kill(os.getpid(), signal.SIGKILL) if first else time.sleep(60)
"""
    with supervised([command("worker-1", ends_once)]) as [child]:
        eventually(lambda: starts.exists() and starts.read_text() == "xx")
        assert child.exits == 1
    said = capsys.readouterr().out
    assert said == "worker-1 │ killed by signal 9; restarting in 0.5 s\n"


@pytest.mark.usefixtures("children")
def test_a_child_that_keeps_ending_is_restarted_after_growing_delays() -> None:
    with supervised([command("worker-1", "raise SystemExit(3)")]) as [child]:
        time.sleep(1.2)
        assert 1 <= child.exits <= 2


def test_a_kill_reaches_grandchildren_in_their_own_sessions() -> None:
    starts_another = f"""
import subprocess, time
subprocess.Popen([{PYTHON!r}, "-c", {SLEEPS!r}], start_new_session=True)
time.sleep(60)
"""
    process = Process([PYTHON, "-c", starts_another], environment=os.environ)
    eventually(lambda: len(descendants(process.pid)) == 1)
    [grandchild] = descendants(process.pid)
    process.kill()
    eventually(lambda: not is_running(grandchild))


def test_no_child_outlives_a_killed_parent() -> None:
    starts_a_child = f"""
import os, time
from dev.processes.process import Process
print(Process([{PYTHON!r}, "-c", {SLEEPS!r}], environment=os.environ).pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [PYTHON, "-c", starts_a_child], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.send_signal(signal.SIGKILL)
        eventually(lambda: not is_running(child))
