"""Finds a RabbitMQ or starts one, and looks at its queues."""

import os
from contextlib import ExitStack

import aio_pika
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity

from dev.addresses import LOOPBACK, answers, shown
from dev.blocking import finish
from dev.home import MakeHome
from dev.installation import can_install, install
from dev.patience import wait_while
from dev.private_rabbitmq import USER, VHOST, PrivateRabbit, server_program
from dev.progress import slowly
from dev.search import Server, Unavailable, first_found

URL_VARIABLE = "HOLDFAST_BROKER_URL"
IMAGE = "rabbitmq:4-management-alpine"
PORT = 5672
LOCAL_URL = f"amqp://guest:guest@{LOOPBACK}:{PORT}/"
CONNECT_SECONDS = 5.0
CONTAINER_SECONDS = 120.0
NEEDED = (
    "RabbitMQ is neither running nor to be had here: install rabbitmq-server or Docker, "
    f"or name a server in {URL_VARIABLE} (amqp://user:password@host:port/vhost)."
)


def find_rabbitmq(home: MakeHome, stack: ExitStack) -> Server:
    """What is started for it is stopped by `stack`."""
    return first_found(
        "rabbitmq",
        {
            "environment": _named,
            "local": _local,
            "docker": lambda: _in_docker(home, stack),
            "private": lambda: _private(home, stack),
        },
        otherwise=NEEDED,
    )


def _named() -> Server | None:
    url = os.environ.get(URL_VARIABLE)
    if not url:
        return None
    if failure := failure_to_connect(url):
        raise Unavailable(f"{URL_VARIABLE} names {shown(url)}, which does not let us in: {failure}")
    return Server(url, f"{URL_VARIABLE} names {shown(url)}", "given")


def _local() -> Server | None:
    if not answers(LOOPBACK, PORT):
        return None
    if failure := failure_to_connect(LOCAL_URL):
        raise Unavailable(f"{shown(LOCAL_URL)} answers, but does not let us in as guest: {failure}")
    return Server(LOCAL_URL, f"answering at {shown(LOCAL_URL)}", "shared")


def _in_docker(home: MakeHome, stack: ExitStack) -> Server | None:
    # Imported only here: it takes half a second and is seldom needed.
    from dev.containers import docker_answers, start_container

    if not docker_answers():
        return None
    own = home()
    with slowly(f"rabbitmq: starting {IMAGE} in Docker"):
        host, port = start_container(
            own,
            stack,
            name="rabbitmq",
            image=IMAGE,
            port=PORT,
            environment={
                "RABBITMQ_DEFAULT_USER": USER,
                "RABBITMQ_DEFAULT_PASS": own.password,
                "RABBITMQ_DEFAULT_VHOST": VHOST,
            },
            data="/var/lib/rabbitmq",
        )
        url = f"amqp://{USER}:{own.password}@{host}:{port}/{VHOST}"
        wait_while(
            lambda: failure_to_connect(url), CONTAINER_SECONDS, f"{IMAGE} in Docker does not answer"
        )
    return Server(url, f"{IMAGE} in Docker at {shown(url)}", "ours")


def _private(home: MakeHome, stack: ExitStack) -> Server | None:
    if server_program() is None:
        if not can_install():
            return None
        install("rabbitmq-server")
    node = PrivateRabbit(home())
    stack.callback(node.stop)
    with slowly("rabbitmq: starting a node of our own"):
        node.start()
    return Server(node.url, f"a node of our own at {shown(node.url)}", "ours")


def failure_to_connect(url: str) -> str | None:
    async def attempt() -> None:
        await (await aio_pika.connect(url, timeout=CONNECT_SECONDS)).close()

    try:
        finish(attempt())
    except (AMQPError, OSError, TimeoutError, ValueError) as failure:
        return str(failure) or type(failure).__name__
    return None


def has_queue(url: str, queue: str) -> bool:
    async def look() -> bool:
        async with await aio_pika.connect(url, timeout=CONNECT_SECONDS) as connection:
            channel = await connection.channel()
            try:
                await channel.declare_queue(queue, passive=True, timeout=CONNECT_SECONDS)
            except ChannelNotFoundEntity:
                return False
            return True

    return finish(look())


def remove(url: str, *, queues: tuple[str, ...], exchanges: tuple[str, ...]) -> None:
    async def delete() -> None:
        async with await aio_pika.connect(url, timeout=CONNECT_SECONDS) as connection:
            channel = await connection.channel()
            for queue in queues:
                await channel.queue_delete(queue, timeout=CONNECT_SECONDS)
            for exchange in exchanges:
                await channel.exchange_delete(exchange, timeout=CONNECT_SECONDS)

    finish(delete())
