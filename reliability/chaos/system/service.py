"""A gateway or worker as a process that is started again whenever it dies."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import httpx

from dev.addresses import LOOPBACK, free_port
from dev.processes.process import Process
from reliability.chaos.system.crash_trigger import PIPE_VARIABLE, CrashPoint

LOOK_EVERY_SECONDS = 0.02
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 1.0
READY_SECONDS = 30.0
HEALTH_SECONDS = 2.0
STOPPED = "T"


class Service:
    """One process at a time, on one port."""

    def __init__(
        self, name: str, module: str, port_variable: str, environment: Mapping[str, str], home: Path
    ) -> None:
        self.name = name
        self.port = free_port()
        self.deaths: list[int] = []
        """The exit codes, in order."""
        self.log = home / f"{name}.log"
        self._module = module
        self._pipe = home / f"{name}.pipe"
        os.mkfifo(self._pipe)
        self._environment = {
            **environment,
            port_variable: str(self.port),
            PIPE_VARIABLE: str(self._pipe),
        }
        self._process: Process | None = None
        self._keeping: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    async def __aenter__(self) -> Self:
        self._keeping = asyncio.create_task(self._keep_running())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
        if self._process is not None:
            self._process.kill()

    async def ready(self) -> None:
        async with (
            httpx.AsyncClient(timeout=HEALTH_SECONDS, trust_env=False) as http,
            asyncio.timeout(READY_SECONDS),
        ):
            while True:
                try:
                    if (await http.get(f"{self.url}/health/ready")).status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(LOOK_EVERY_SECONDS)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal; return whether a process received it."""
        if self._process is None or not self._process.running:
            return False
        os.kill(self.pid, number)
        return True

    def arm(self, crash_point: CrashPoint) -> bool:
        return self._process is not None and self._process.running and crash_point.arm(self._pipe)

    async def died(self, since: int, within_seconds: float) -> bool:
        """Wait until it has died more often than `since`."""
        give_up_at = time.monotonic() + within_seconds
        while len(self.deaths) <= since:
            if time.monotonic() > give_up_at:
                return False
            await asyncio.sleep(LOOK_EVERY_SECONDS)
        return True

    async def stood_still(self, within_seconds: float) -> bool:
        """Wait until a signal has stopped it."""
        give_up_at = time.monotonic() + within_seconds
        while not self._is_stopped():
            if time.monotonic() > give_up_at:
                return False
            await asyncio.sleep(LOOK_EVERY_SECONDS)
        return True

    def _is_stopped(self) -> bool:
        try:
            status = Path(f"/proc/{self.pid}/stat").read_text()
        except OSError:
            return False
        return status.rpartition(")")[2].split()[0] == STOPPED

    async def _keep_running(self) -> None:
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            with self.log.open("ab") as log:
                self._process = Process(
                    [sys.executable, "-m", self._module], environment=self._environment, output=log
                )
            while self._process.running:
                await asyncio.sleep(LOOK_EVERY_SECONDS)
            self.deaths.append(self._process.wait())
            if self.deaths[-1] < 0:  # killed, by us: nothing speaks against another
                pause_seconds = FIRST_PAUSE_SECONDS
                continue
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
