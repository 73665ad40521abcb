"""Starts and stops gateways, workers and the baseline for the bench."""

import os
import secrets
import subprocess
import sys
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from dev.addresses import LOOPBACK, free_port, last_part
from dev.processes.process import Process
from dev.services import Services
from dev.waiting import wait_until
from loadtest.bench.system.processes import SystemProcesses

READY_SECONDS = 60.0
ANSWER_SECONDS = 2.0
READY = 200
MIGRATION_SECONDS = 120.0


class Deployment:
    """Starts what a case needs and keeps it until another is needed."""

    def __init__(self, found: Services) -> None:
        self.database_url = found.database_url
        self.broker_url = found.broker_url
        self.jwt_secret = secrets.token_urlsafe(32)
        self.gateway_urls: list[str] = []
        self.baseline_urls: list[str] = []
        self._environment = os.environ | {
            "HOLDFAST_DATABASE_URL": found.database_url,
            "HOLDFAST_BROKER_URL": found.broker_url,
            "HOLDFAST_JWT_SECRET": self.jwt_secret,
        }
        self._running: dict[str, list[Process]] = {}
        self._folder = TemporaryDirectory(prefix="holdfast-bench-")

    def migrate(self) -> None:
        subprocess.run(
            [sys.executable, "-m", "migrations"],
            env=self._environment,
            check=True,
            timeout=MIGRATION_SECONDS,
        )

    def serve(self, workers: int, gateways: int) -> None:
        """Run so many of each, and nothing else. Raises `Unavailable`."""
        wanted = {"worker": workers, "gateway": gateways}
        if wanted == {name: len(processes) for name, processes in self._running.items()}:
            return
        self.stop()
        # Workers first: they declare the queue that gateways publish to.
        self._running["worker"] = [
            self._start("worker", "HOLDFAST_WORKER_PORT")[0] for _ in range(workers)
        ]
        started = [self._start("gateway", "HOLDFAST_PORT") for _ in range(gateways)]
        self._running["gateway"] = [process for process, _ in started]
        self.gateway_urls = [url for _, url in started]

    def serve_baseline(self, processes: int) -> None:
        """Run the baseline in so many processes, and nothing else. Raises `Unavailable`."""
        self.stop()
        arguments = ["--database-url", self.database_url, "--jwt-secret", self.jwt_secret]
        self.baseline_urls = []
        for _ in range(processes):
            port = free_port()
            process = self._run("loadtest.baseline", [*arguments, "--port", str(port)], {})
            self._running.setdefault("baseline", []).append(process)
            self.baseline_urls.append(self._await_ready(process, "loadtest.baseline", port))

    def stop(self) -> None:
        """Stop gateways first: workers decide what those have accepted."""
        for name in reversed(self._running):
            for process in self._running[name]:
                process.stop()
        self._running.clear()

    def pids(self, name: str) -> list[int]:
        """Return the processes of this name, "worker" or "gateway"."""
        return [process.pid for process in self._running[name]]

    def processes(self) -> SystemProcesses:
        started = {name: self.pids(name) for name in self._running}
        return SystemProcesses(started, last_part(self.database_url))

    def _start(self, module: str, port_variable: str) -> tuple[Process, str]:
        port = free_port()
        process = self._run(module, [], {port_variable: str(port)})
        return process, self._await_ready(process, module, port)

    def _run(self, module: str, arguments: list[str], settings: dict[str, str]) -> Process:
        with self._log(module).open("ab") as log:
            return Process(
                [sys.executable, "-m", module, *arguments],
                environment=self._environment | settings,
                output=log,
            )

    def _await_ready(self, process: Process, module: str, port: int) -> str:
        url = f"http://{LOOPBACK}:{port}"
        wait_until(
            lambda: _is_ready(port),
            process,
            READY_SECONDS,
            f"{module} did not start; its last words are in {self._log(module)}",
        )
        return url

    def _log(self, module: str) -> Path:
        return Path(self._folder.name) / f"{module}.log"

    def __enter__(self) -> Self:
        self.migrate()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        if error is None:
            self._folder.cleanup()


def _is_ready(port: int) -> bool:
    connection = HTTPConnection(LOOPBACK, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == READY
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
