"""Postgres and RabbitMQ for one purpose: for `make up`, or for one run of the tests.

Each is looked for in this order: the address in the environment, a server answering on this
machine, Docker, and a private server started from the programs at hand. Where others may use the
server too, we keep to a database and a vhost of our own; the tests drop theirs afterwards.
"""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal

from dev.addresses import last_part, shown, with_last_part
from dev.home import Home, lasting_home, passing_home
from dev.postgres import create_database, drop_database, find_postgres
from dev.private_postgres import PrivatePostgres
from dev.private_rabbitmq import PrivateRabbit
from dev.progress import say
from dev.rabbitmq import failure_to_connect, find_rabbitmq, has_queue, remove
from dev.search import Server, Unavailable
from dev.vhosts import create_vhost
from shared.topology import COMMANDS_EXCHANGE, COMMANDS_QUEUE, DEAD_EXCHANGE, DEAD_QUEUE

Purpose = Literal["up", "tests"]
NAME = "holdfast"


@dataclass(frozen=True)
class Services:
    database_url: str
    broker_url: str
    summary: tuple[str, str]
    """What was taken, a line for each service."""


@contextmanager
def services(purpose: Purpose) -> Iterator[Services]:
    """Raises `Unavailable` when one can be neither found nor started."""
    with ExitStack() as stack:
        home = cache(partial(_home, purpose, stack))
        name = NAME if purpose == "up" else f"{NAME}_test_{secrets.token_hex(4)}"
        postgres = find_postgres(home, stack)
        database_url = _database(postgres, name, purpose, stack)
        say(postgres_line := f"postgres: {postgres.how}, database {last_part(database_url)}")
        rabbitmq = find_rabbitmq(home, stack)
        broker_url = _vhost(rabbitmq, name, purpose, stack)
        say(rabbitmq_line := f"rabbitmq: {rabbitmq.how}, vhost {last_part(broker_url) or '/'}")
        yield Services(database_url, broker_url, (postgres_line, rabbitmq_line))


@contextmanager
def private_postgres() -> Iterator[PrivatePostgres]:
    """A started one that a test may kill and restart; raises `Unavailable` where none can run."""
    with passing_home() as home, PrivatePostgres(home) as server:
        yield server


@contextmanager
def private_rabbitmq() -> Iterator[PrivateRabbit]:
    """A started one that a test may kill and restart; raises `Unavailable` where none can run."""
    with passing_home() as home, PrivateRabbit(home) as node:
        yield node


def _home(purpose: Purpose, stack: ExitStack) -> Home:
    return lasting_home() if purpose == "up" else stack.enter_context(passing_home())


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
    if way := create_vhost(server.url, name):
        if purpose == "tests":
            stack.callback(way.drop, name)
        return url
    if purpose == "tests":
        _borrow(server.url, stack)
    return server.url


def _borrow(url: str, stack: ExitStack) -> None:
    """The tests in another's vhost: only where no Holdfast is at work, leaving nothing behind."""
    if has_queue(url, COMMANDS_QUEUE):
        raise Unavailable(
            f"the RabbitMQ at {shown(url)} lets us make no vhost for the tests, and its vhost "
            f"{last_part(url) or '/'} already serves a Holdfast: name one without the queue "
            f"{COMMANDS_QUEUE} in HOLDFAST_BROKER_URL."
        )
    queues, exchanges = (COMMANDS_QUEUE, DEAD_QUEUE), (COMMANDS_EXCHANGE, DEAD_EXCHANGE)
    stack.callback(remove, url, queues=queues, exchanges=exchanges)
