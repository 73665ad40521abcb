"""Postgres and RabbitMQ for one purpose: for `make up`, or for one run of the tests.

Each is looked for in this order: the address in the environment, a server answering on this
machine, Docker, and a private server started from installed programs. On a server that others may
use too, Holdfast creates a database and a vhost of its own; the tests drop theirs afterwards.
"""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal

from dev.addresses import last_part, shown, with_last_part
from dev.home import Home, MakeHome, lasting_home, temporary_home
from dev.progress import say
from dev.servers.discovery import Server, Unavailable
from dev.servers.postgres import create_database, drop_database, find_postgres
from dev.servers.private_postgres import PrivatePostgres
from dev.servers.private_rabbitmq import PrivateRabbitMQ
from dev.servers.rabbitmq import delete_topology, failure_to_connect, find_rabbitmq, has_queue
from dev.servers.vhosts import create_vhost
from shared.topology import COMMANDS_EXCHANGE, COMMANDS_QUEUE, DEAD_EXCHANGE, DEAD_QUEUE

Purpose = Literal["up", "tests"]
NAME = "holdfast"


@dataclass(frozen=True)
class Services:
    database_url: str
    broker_url: str
    summary: tuple[str, str]
    """Which servers are used, a line for each."""


@contextmanager
def services(purpose: Purpose) -> Iterator[Services]:
    """Find or start both. Raises `Unavailable` if that fails for one."""
    with ExitStack() as stack:
        home = cache(partial(_home, purpose, stack))
        name = _name(purpose)
        database_url, postgres_line = _found_database(home, name, purpose, stack)
        rabbitmq = find_rabbitmq(home, stack)
        broker_url = _vhost(rabbitmq, name, purpose, stack)
        say(rabbitmq_line := f"rabbitmq: {rabbitmq.how}, vhost {last_part(broker_url) or '/'}")
        yield Services(database_url, broker_url, (postgres_line, rabbitmq_line))


@contextmanager
def database(purpose: Purpose) -> Iterator[str]:
    """Find or start Postgres alone; yield the URL of a database. Raises `Unavailable`.

    For what needs no queue: making a vhost may take seconds.
    """
    with ExitStack() as stack:
        home = cache(partial(_home, purpose, stack))
        yield _found_database(home, _name(purpose), purpose, stack)[0]


@contextmanager
def private_postgres() -> Iterator[PrivatePostgres]:
    """Start a server that a test may kill and restart. Raises `Unavailable` if none can run."""
    with temporary_home() as home, PrivatePostgres(home) as server:
        yield server


@contextmanager
def private_rabbitmq() -> Iterator[PrivateRabbitMQ]:
    """Start a server that a test may kill and restart. Raises `Unavailable` if none can run."""
    with temporary_home() as home, PrivateRabbitMQ(home) as node:
        yield node


def _home(purpose: Purpose, stack: ExitStack) -> Home:
    return lasting_home() if purpose == "up" else stack.enter_context(temporary_home())


def _name(purpose: Purpose) -> str:
    return NAME if purpose == "up" else f"{NAME}_test_{secrets.token_hex(4)}"


def _found_database(
    home: MakeHome, name: str, purpose: Purpose, stack: ExitStack
) -> tuple[str, str]:
    """Return the URL of a database, and a line about its server."""
    postgres = find_postgres(home, stack)
    database_url = _database(postgres, name, purpose, stack)
    say(line := f"postgres: {postgres.how}, database {last_part(database_url)}")
    return database_url, line


def _database(server: Server, name: str, purpose: Purpose, stack: ExitStack) -> str:
    if server.ownership == "given" and purpose == "up":
        name = last_part(server.url) or name
    create_database(server.url, name)
    if purpose == "tests":
        stack.callback(drop_database, server.url, name)
    return with_last_part(server.url, name)


def _vhost(server: Server, name: str, purpose: Purpose, stack: ExitStack) -> str:
    if server.ownership == "ours" or (server.ownership == "given" and purpose == "up"):
        return server.url
    url = with_last_part(server.url, name)
    if purpose == "up" and failure_to_connect(url) is None:  # made by an earlier `make up`
        return url
    if api := create_vhost(server.url, name):
        if purpose == "tests":
            stack.callback(api.drop, name)
        return url
    if purpose == "tests":
        _borrow(server.url, stack)
    return server.url


def _borrow(url: str, stack: ExitStack) -> None:
    """Use an existing vhost for the tests: only if no Holdfast uses it, and clean up afterwards."""
    if has_queue(url, COMMANDS_QUEUE):
        raise Unavailable(
            f"the RabbitMQ at {shown(url)} does not let us create a vhost for the tests, and a "
            f"Holdfast already uses its vhost {last_part(url) or '/'}: name a vhost without the "
            f"queue {COMMANDS_QUEUE} in HOLDFAST_BROKER_URL."
        )
    queues, exchanges = (COMMANDS_QUEUE, DEAD_QUEUE), (COMMANDS_EXCHANGE, DEAD_EXCHANGE)
    stack.callback(delete_topology, url, queues=queues, exchanges=exchanges)
