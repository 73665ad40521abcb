"""Gateways, workers and payments as processes that a test may kill and start again."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import httpx

from dev.addresses import free_port
from tests.databases import services_with_copy_of
from tests.forks import ForkedProcess, fork_server

JWT_SECRET = "a secret of the tests, of more than 32 bytes"
READY_WITHIN_SECONDS = 20
WORKER_PORT = "HOLDFAST_WORKER_PORT"
"""Also of the workers that tests start in another way."""
PORT_VARIABLES = {
    "gateway": "HOLDFAST_PORT",
    "worker": "HOLDFAST_WORKER_PORT",
    "payments": "HOLDFAST_PAYMENTS_PORT",
}


class Process:
    """One gateway, worker or payments process."""

    def __init__(self, module: str, port: int, environment: dict[str, str], log: Path) -> None:
        self.module = module
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self.environment = environment
        self._process: ForkedProcess | None = None

    async def start(self) -> None:
        await self.launch()
        await self.ready()

    async def launch(self) -> None:
        """Start it without waiting until it can serve."""
        environment = os.environ | self.environment
        self._process = await fork_server().start(self.module, environment, self.log)

    async def ready(self) -> None:
        """Wait until it can serve."""
        async with httpx.AsyncClient() as client, asyncio.timeout(READY_WITHIN_SECONDS):
            while not await self._is_ready(client):
                await asyncio.sleep(0.05)

    async def _is_ready(self, client: httpx.AsyncClient) -> bool:
        if self._process is not None and self._process.returncode is not None:
            raise AssertionError(f"{self.module} has ended:\n{self.log.read_text()[-4000:]}")
        try:
            return (await client.get(f"{self.url}/health/ready")).status_code == 200
        except httpx.HTTPError:
            return False

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def kill(self) -> None:
        """End it as a crash would."""
        self.signal(signal.SIGKILL)
        await self.ended()

    async def stop(self) -> int:
        """End it as an operator would; return its exit code."""
        self.signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> int:
        assert self._process is not None
        async with asyncio.timeout(30):
            return await self._process.wait()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def cpu_seconds(self) -> float:
        """Return its CPU seconds so far, independent of other processes."""
        assert self._process is not None
        stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None


class Deployment:
    """Any number of processes on one database and one broker."""

    def __init__(self, database_url: str, broker_url: str, **settings: str) -> None:
        self.database_url = database_url
        self.broker_url = broker_url
        self.gateways: list[Process] = []
        self.workers: list[Process] = []
        self.payments: list[Process] = []
        self._environment = {
            "HOLDFAST_DATABASE_URL": database_url,
            "HOLDFAST_BROKER_URL": broker_url,
            "HOLDFAST_JWT_SECRET": JWT_SECRET,
        } | {f"HOLDFAST_{name.upper()}": value for name, value in settings.items()}
        self._folder = TemporaryDirectory(prefix="holdfast-tests-")

    async def start(
        self, *, gateways: int = 1, workers: int = 1, demo_payments: bool = False
    ) -> None:
        """Start processes and wait until all of them are ready."""
        if demo_payments:
            demo = self.add("payments", self.payments, HOLDFAST_DEMO_PAYMENTS="1")
            self._environment["HOLDFAST_PAYMENTS_URL"] = demo.url
        started = [self.add("worker", self.workers) for _ in range(workers)]
        # A worker declares the queues that a gateway publishes to.
        await asyncio.gather(*(process.start() for process in started))
        started = [self.add("gateway", self.gateways) for _ in range(gateways)]
        await asyncio.gather(*(process.start() for process in started))
        for process in self.payments:
            process.environment |= {
                "HOLDFAST_GATEWAY_URL": self.url,
                "HOLDFAST_PAYMENTS_PUBLIC_URL": process.url,
                "HOLDFAST_PAYMENTS_RETURN_URL": self.url,
            }
            await process.start()

    def add(self, module: str, group: list[Process], **settings: str) -> Process:
        port = free_port()
        environment = (
            self._environment | {PORT_VARIABLES.get(module, WORKER_PORT): str(port)} | settings
        )
        log = Path(self._folder.name) / f"{module}-{len(group) + 1}.log"
        process = Process(module, port, environment, log)
        group.append(process)
        return process

    @property
    def url(self) -> str:
        """The first gateway's."""
        return self.gateways[0].url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in self.payments + self.gateways + self.workers:
            if process.is_running:
                process.signal(signal.SIGKILL)
                await process.ended()
        self._folder.cleanup()


@asynccontextmanager
async def own_deployment(template_url: str, **settings: str) -> AsyncIterator[Deployment]:
    """Yield a deployment, not started, on a vhost and a copy of the database of its own."""
    async with (
        services_with_copy_of(template_url) as own,
        Deployment(own.database_url, own.broker_url, **settings) as deployment,
    ):
        yield deployment
