"""What `make up` is to start, read from the environment."""

import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from dev.addresses import LOOPBACK, is_free
from dev.processes.supervisor import Command
from dev.services import Services

EVERYWHERE = "0.0.0.0"  # noqa: S104 (compared with, not listened on)
HIGHEST_PORT = 65_535
MOST_WORKERS = 64
SECRET_BYTES = 32
SECRET_VARIABLES = ("HOLDFAST_JWT_SECRET", "HOLDFAST_JWT_SECRET_FILE")

PROVIDER_VARIABLES = (
    "HOLDFAST_DEMO_PAYMENTS",
    "HOLDFAST_STRIPE_SECRET_KEY",
    "HOLDFAST_STRIPE_SECRET_KEY_FILE",
)
DEMO_PAYMENTS = {"HOLDFAST_DEMO_PAYMENTS": "1"}


class Refused(Exception):
    """`make up` cannot go on; the message says why in one sentence."""


@dataclass(frozen=True)
class Plan:
    host: str
    port: int
    workers: int
    worker_port: int
    payments_port: int

    @classmethod
    def from_environment(cls) -> "Plan":
        return cls(
            host=os.environ.get("HOLDFAST_HOST") or LOOPBACK,
            port=_number("HOLDFAST_PORT", 8000, HIGHEST_PORT),
            workers=_number("HOLDFAST_WORKERS", 1, MOST_WORKERS),
            worker_port=_number("HOLDFAST_WORKER_PORT", 8001, HIGHEST_PORT - MOST_WORKERS),
            payments_port=_number("HOLDFAST_PAYMENTS_PORT", 8100, HIGHEST_PORT),
        )

    @property
    def url(self) -> str:
        host = LOOPBACK if self.host == EVERYWHERE else self.host
        return f"http://{host}:{self.port}"

    @property
    def payments_url(self) -> str:
        return f"http://{LOOPBACK}:{self.payments_port}"

    @property
    def worker_ports(self) -> range:
        return range(self.worker_port, self.worker_port + self.workers)

    def check_ports(self) -> None:
        if self.port in self.worker_ports:
            raise Refused(f"HOLDFAST_PORT and HOLDFAST_WORKER_PORT both claim port {self.port}.")
        if self.payments_port in (self.port, *self.worker_ports):
            raise Refused(f"HOLDFAST_PAYMENTS_PORT claims port {self.payments_port}, as others do.")
        if not is_free(self.port, self.host):
            raise Refused(f"Port {self.port} is taken: set HOLDFAST_PORT to a free one.")
        for port in self.worker_ports:
            if not is_free(port):
                raise Refused(f"Port {port} is taken: set HOLDFAST_WORKER_PORT to a free one.")
        if not is_free(self.payments_port):
            raise Refused(
                f"Port {self.payments_port} is taken: set HOLDFAST_PAYMENTS_PORT to a free one."
            )

    def environment(self, found: Services) -> dict[str, str]:
        secret = {"HOLDFAST_JWT_SECRET": secrets.token_urlsafe(SECRET_BYTES)}
        return {
            **os.environ,
            **({} if any(map(os.environ.get, SECRET_VARIABLES)) else secret),
            "HOLDFAST_DATABASE_URL": found.database_url,
            "HOLDFAST_BROKER_URL": found.broker_url,
            "HOLDFAST_PAYMENTS_URL": self.payments_url,
            "PYTHONUNBUFFERED": "1",
        }

    def worker_commands(self, environment: Mapping[str, str]) -> list[Command]:
        return [
            Command(
                f"worker-{number}",
                [sys.executable, "-m", "worker"],
                {**environment, "HOLDFAST_WORKER_PORT": str(port)},
            )
            for number, port in enumerate(self.worker_ports, start=1)
        ]

    def payments_command(self, environment: Mapping[str, str]) -> Command:
        """Return the command with the demo provider, unless the environment names one."""
        demo = {} if any(map(os.environ.get, PROVIDER_VARIABLES)) else DEMO_PAYMENTS
        urls = {
            "HOLDFAST_GATEWAY_URL": self.url,
            "HOLDFAST_PAYMENTS_PORT": str(self.payments_port),
            "HOLDFAST_PAYMENTS_PUBLIC_URL": self.payments_url,
            "HOLDFAST_PAYMENTS_RETURN_URL": self.url,
        }
        given = {name: value for name, value in environment.items() if value}
        return Command("payments", [sys.executable, "-m", "payments"], {**urls, **given, **demo})

    def gateway_command(self, environment: Mapping[str, str]) -> Command:
        return Command("gateway", [sys.executable, "-m", "gateway"], environment)


def _number(variable: str, default: int, highest: int) -> int:
    value = os.environ.get(variable) or str(default)
    if not value.isdecimal() or not 1 <= int(value) <= highest:
        raise Refused(f"{variable} is a number from 1 to {highest}, not {value!r}.")
    return int(value)
