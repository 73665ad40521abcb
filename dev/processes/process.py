"""Child processes: each leads a session of its own, and none outlives its parent."""

import atexit
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

REPOSITORY = Path(__file__).resolve().parents[2]
STOP_SECONDS = 15.0


@dataclass(frozen=True)
class Account:
    """The system user that a process runs as."""

    user_id: int
    group_id: int


class Process:
    """A running command with all its descendants."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str],
        folder: Path = REPOSITORY,
        output: IO[bytes] | int = subprocess.DEVNULL,
        account: Account | None = None,
    ) -> None:
        self._popen = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=account.user_id if account else None,
            group=account.group_id if account else None,
            extra_groups=[] if account else None,
        )
        _guard().watch(self.pid)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def output(self) -> IO[bytes]:
        assert self._popen.stdout is not None, "started without output=subprocess.PIPE"
        return self._popen.stdout

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def wait(self) -> int:
        exit_code = self._popen.wait()
        _guard().forget(self.pid)
        return exit_code

    def stop(
        self, stop_signal: signal.Signals = signal.SIGTERM, timeout_seconds: float = STOP_SECONDS
    ) -> None:
        """Send `stop_signal`, wait, and then kill."""
        if self.running:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, stop_signal)
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(timeout_seconds)
        self.kill()

    def kill(self) -> None:
        """Send SIGKILL to the process and all its descendants."""
        if self.running:
            kill_tree(self.pid)
        self.wait()


def kill_tree(pid: int) -> None:
    """Send SIGKILL to a process, its group and its descendants, which may be in other groups.

    The process is stopped first, so that it starts no further ones meanwhile.
    """
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    for each in [*descendants(pid), pid]:
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            # "pid (name) state parent …"; a name may hold spaces and brackets
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(status.parent.name))
    found, unexplored = [], [pid]
    while unexplored:
        offspring = children.get(unexplored.pop(), [])
        found += offspring
        unexplored += offspring
    return found


class Guard:
    """A process that notices when this one ends, and then ends the watched processes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "dev.processes.guard"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        atexit.register(self._dismiss)

    def watch(self, pid: int) -> None:
        self._send(f"+{pid}\n")

    def forget(self, pid: int) -> None:
        self._send(f"-{pid}\n")

    def _send(self, line: str) -> None:
        assert self._popen.stdin is not None
        with self._lock, suppress(BrokenPipeError):
            self._popen.stdin.write(line.encode())
            self._popen.stdin.flush()

    def _dismiss(self) -> None:
        assert self._popen.stdin is not None
        with suppress(BrokenPipeError):
            self._popen.stdin.close()
        self._popen.wait()


@cache
def _the_guard() -> Guard:
    return Guard()


def _guard() -> Guard:
    with _one_guard:  # `cache` alone would let two threads create one each
        return _the_guard()


_one_guard = threading.Lock()
