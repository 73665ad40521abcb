"""Processes that a fork server starts; see `tests.fork_server`."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from functools import cache
from pathlib import Path


class ForkedProcess:
    """Like a process of `asyncio.subprocess`."""

    def __init__(self, pid: int, exit_code: "Future[int]") -> None:
        self.pid = pid
        self._exit_code = exit_code

    @property
    def returncode(self) -> int | None:
        return self._exit_code.result() if self._exit_code.done() else None

    def send_signal(self, number: int) -> None:
        # Until its end is told nothing else has its PID: the fork server tells at once.
        if not self._exit_code.done():
            os.kill(self.pid, number)

    async def wait(self) -> int:
        return await asyncio.shield(asyncio.wrap_future(self._exit_code))


class ForkServer:
    """The side of the tests: one for each process of pytest."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.fork_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._lock = threading.Lock()
        self._asked: deque[Future[ForkedProcess]] = deque()
        self._running: dict[int, Future[int]] = {}
        threading.Thread(target=self._listen, daemon=True).start()

    async def start(self, module: str, environment: Mapping[str, str], log: Path) -> ForkedProcess:
        request = {"module": module, "environment": dict(environment), "log": str(log)}
        started: Future[ForkedProcess] = Future()
        stdin = self._server.stdin
        assert stdin is not None
        with self._lock:
            self._asked.append(started)
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
        return await asyncio.wrap_future(started)

    def _listen(self) -> None:
        assert self._server.stdout is not None
        for line in self._server.stdout:
            told = json.loads(line)
            if pid := told.get("started"):
                self._running[pid] = Future()
                self._asked.popleft().set_result(ForkedProcess(pid, self._running[pid]))
            else:
                self._running.pop(told["ended"]).set_result(told["code"])
        for asked in self._asked:
            asked.set_exception(RuntimeError("the fork server has ended"))

    def stop(self) -> None:
        """End it, and wait for it, so that its CPU time counts as that of the tests."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()


@cache
def fork_server() -> ForkServer:
    """Return this process's, started at the first call."""
    return ForkServer()
