"""The system under test: Postgres, RabbitMQ, their proxies, gateways and workers."""

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from dev.addresses import LOOPBACK, with_last_part
from dev.home import temporary_home
from dev.processes.process import descendants
from dev.servers.private_postgres import PrivatePostgres
from dev.servers.private_rabbitmq import PrivateRabbitMQ
from reliability.chaos.system.proxy import Proxy
from reliability.chaos.system.service import Service
from reliability.chaos.system.small_disk import SmallDisk

DATABASE = "holdfast"
MIGRATION_SECONDS = 120.0
QUEUE_SETTLES_SECONDS = 4.0
"""RabbitMQ 3.10 can lose a quorum queue that was declared less than three seconds ago."""
WORKERS, GATEWAYS = 2, 2
PAYMENT_SECONDS, GRACE_SECONDS = 5, 2
"""How long an order can be paid, and how much longer it has its tickets."""
WAYS = ("worker postgres", "worker rabbitmq", "gateway postgres", "gateway rabbitmq")
"""Each pair of client and server has a separate proxy."""


@dataclass
class SystemUnderTest:
    postgres: PrivatePostgres
    rabbit: PrivateRabbitMQ
    database_url: str
    jwt_secret: str
    proxies: dict[str, Proxy]
    """By the connection that they proxy."""
    disk: SmallDisk | None
    wal_disk: SmallDisk | None
    """Under the write-ahead log."""
    workers: list[Service] = field(default_factory=list)
    gateways: list[Service] = field(default_factory=list)

    async def all_ready(self) -> list[str]:
        """Wait until all processes are ready; return the names of those that are not in time."""
        services = self.workers + self.gateways
        ready = await asyncio.gather(*(each.ready() for each in services), return_exceptions=True)
        return [
            service.name
            for service, error in zip(services, ready, strict=True)
            if error is not None
        ]

    def postgres_pids(self) -> list[int]:
        return [self.postgres.pid, *descendants(self.postgres.pid)]

    def rabbit_pids(self) -> list[int]:
        return [self.rabbit.pid, *descendants(self.rabbit.pid)]


@asynccontextmanager
async def system(
    hold_seconds: int, *, with_small_disk: bool, with_wal_disk: bool, worker_module: str
) -> AsyncIterator[SystemUnderTest]:
    """Start the system with private ports and data, and stop it. Raises `Unavailable`."""
    with ExitStack() as servers:
        home = servers.enter_context(temporary_home())
        postgres = PrivatePostgres(home)
        servers.callback(postgres.stop)
        rabbit = PrivateRabbitMQ(home)
        servers.callback(rabbit.stop)
        await asyncio.gather(asyncio.to_thread(postgres.start), asyncio.to_thread(rabbit.start))
        database_url = with_last_part(postgres.url, DATABASE)
        await _create_database(postgres.url)
        await asyncio.to_thread(_migrate, database_url)
        disk = SmallDisk.mounted(servers, home.folder / "disk") if with_small_disk else None
        if disk is not None:
            await disk.take_table(database_url, "booking.cart_items", "booking.cart_items_pkey")
        wal_disk = SmallDisk.mounted(servers, home.folder / "wal-disk") if with_wal_disk else None
        if wal_disk is not None:
            await wal_disk.take_wal(postgres)
        async with AsyncExitStack() as stack:
            targets = {"postgres": postgres.port, "rabbitmq": rabbit.port}
            proxies = {
                way: await stack.enter_async_context(Proxy(LOOPBACK, targets[way.split()[1]]))
                for way in WAYS
            }
            secret = secrets.token_urlsafe(32)
            built = SystemUnderTest(postgres, rabbit, database_url, secret, proxies, disk, wal_disk)
            await _start_services(stack, built, home.folder, hold_seconds, worker_module)
            yield built


async def _create_database(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(f"CREATE DATABASE {DATABASE} TEMPLATE template0")
    await connection.close()


def _migrate(database_url: str) -> None:
    environment = os.environ | {"HOLDFAST_DATABASE_URL": database_url}
    command = [sys.executable, "-m", "migrations"]
    subprocess.run(command, env=environment, check=True, timeout=MIGRATION_SECONDS)


async def _start_services(
    stack: AsyncExitStack, built: SystemUnderTest, home: Path, hold_seconds: int, worker_module: str
) -> None:
    """Workers first: they declare the queue that gateways publish to."""

    def environment(role: str) -> dict[str, str]:
        proxies = built.proxies
        return {name: value for name, value in os.environ.items() if "HOLDFAST" not in name} | {
            "HOLDFAST_DATABASE_URL": through(proxies[f"{role} postgres"], built.database_url),
            "HOLDFAST_BROKER_URL": through(proxies[f"{role} rabbitmq"], built.rabbit.url),
            "HOLDFAST_JWT_SECRET": built.jwt_secret,
            "HOLDFAST_HOLD_SECONDS": str(hold_seconds),
            "HOLDFAST_PAYMENT_SECONDS": str(PAYMENT_SECONDS),
            "HOLDFAST_PAYMENT_GRACE_SECONDS": str(GRACE_SECONDS),
        }

    for number in range(WORKERS):
        worker = Service(
            f"worker-{number + 1}",
            worker_module,
            "HOLDFAST_WORKER_PORT",
            environment("worker"),
            home,
        )
        built.workers.append(await stack.enter_async_context(worker))
    await asyncio.gather(*(worker.ready() for worker in built.workers))
    for number in range(GATEWAYS):
        gateway = Service(
            f"gateway-{number + 1}",
            "reliability.chaos.system.crashing_gateway",
            "HOLDFAST_PORT",
            environment("gateway"),
            home,
        )
        built.gateways.append(await stack.enter_async_context(gateway))
    await asyncio.gather(*(gateway.ready() for gateway in built.gateways))
    await asyncio.sleep(QUEUE_SETTLES_SECONDS)


def through(proxy: Proxy, url: str) -> str:
    """The URL by which the same server is reached through a proxy."""
    address = urlsplit(url)
    credentials = address.netloc.rpartition("@")[0]
    return urlunsplit(address._replace(netloc=f"{credentials}@{LOOPBACK}:{proxy.port}"))
