"""Finds a RabbitMQ or starts one, and checks and deletes queues on it."""

from contextlib import ExitStack

import aio_pika
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity

from dev.addresses import LOOPBACK, shown
from dev.home import MakeHome
from dev.progress import slowly
from dev.servers.discovery import Server, first_found, local_server, named_server
from dev.servers.installation import can_install, install
from dev.servers.private_rabbitmq import USER, VHOST, PrivateRabbitMQ, server_program
from dev.waiting import run_blocking, wait_while

URL_VARIABLE = "HOLDFAST_BROKER_URL"
IMAGE = "rabbitmq:4-management-alpine"
PORT = 5672
LOCAL_URL = f"amqp://guest:guest@{LOOPBACK}:{PORT}/"
CONNECT_SECONDS = 5.0
CONTAINER_SECONDS = 120.0
NEEDED = (
    "RabbitMQ is neither running nor installed here: install rabbitmq-server or Docker, "
    f"or name a server in {URL_VARIABLE} (amqp://user:password@host:port/vhost)."
)


def find_rabbitmq(home: MakeHome, stack: ExitStack) -> Server:
    """Find a server or start one, which `stack` stops. Raises `Unavailable`."""
    return first_found(
        "rabbitmq",
        {
            "environment": lambda: named_server(URL_VARIABLE, failure_to_connect),
            "local": lambda: local_server(LOCAL_URL, failure_to_connect),
            "docker": lambda: _in_docker(home, stack),
            "private": lambda: _private(home, stack),
        },
        otherwise=NEEDED,
    )


def _in_docker(home: MakeHome, stack: ExitStack) -> Server | None:
    # Imported here because it takes half a second and is rarely needed.
    from dev.servers.containers import docker_answers, start_container

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
    node = PrivateRabbitMQ(home())
    stack.callback(node.stop)
    with slowly("rabbitmq: starting a private node"):
        node.start()
    return Server(node.url, f"started at {shown(node.url)}", "ours")


def failure_to_connect(url: str) -> str | None:
    """Return why a connection fails, or None if it succeeds."""

    async def attempt() -> None:
        await (await aio_pika.connect(url, timeout=CONNECT_SECONDS)).close()

    try:
        run_blocking(attempt())
    except (AMQPError, OSError, TimeoutError, ValueError) as failure:
        return str(failure) or type(failure).__name__
    return None


def has_queue(url: str, queue: str) -> bool:
    async def check() -> bool:
        async with await aio_pika.connect(url, timeout=CONNECT_SECONDS) as connection:
            channel = await connection.channel()
            try:
                await channel.declare_queue(queue, passive=True, timeout=CONNECT_SECONDS)
            except ChannelNotFoundEntity:
                return False
            return True

    return run_blocking(check())


def delete_topology(url: str, *, queues: tuple[str, ...], exchanges: tuple[str, ...]) -> None:
    async def delete() -> None:
        async with await aio_pika.connect(url, timeout=CONNECT_SECONDS) as connection:
            channel = await connection.channel()
            for queue in queues:
                await channel.queue_delete(queue, timeout=CONNECT_SECONDS)
            for exchange in exchanges:
                await channel.exchange_delete(exchange, timeout=CONNECT_SECONDS)

    run_blocking(delete())
