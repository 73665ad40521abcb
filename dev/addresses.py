"""Addresses of services: parts of a URL, URLs without passwords, and free ports."""

import random
import socket
from urllib.parse import quote, unquote, urlsplit, urlunsplit

LOOPBACK = "127.0.0.1"
# Below the kernel's range of ephemeral ports, so that the port of a killed server stays free until
# it is restarted.
LOWEST_PORT, HIGHEST_PORT = 12_000, 32_000
PORT_ATTEMPTS = 100
_chance = random.SystemRandom()  # a seeded generator would return the same ports each time


def last_part(url: str) -> str:
    """Return the database of a Postgres URL or the vhost of an AMQP URL; empty if it has none."""
    return unquote(urlsplit(url).path.removeprefix("/"))


def with_last_part(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path="/" + quote(name, safe="")))


def shown(url: str) -> str:
    """Return host and port, for messages: a URL may contain a password."""
    address = urlsplit(url)
    port = f":{address.port}" if address.port else ""
    return f"{address.hostname}{port}"


def is_local(url: str) -> bool:
    return urlsplit(url).hostname in {LOOPBACK, "localhost", "::1"}


def is_free(port: int, host: str = LOOPBACK) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    for _ in range(PORT_ATTEMPTS):
        port = _chance.randint(LOWEST_PORT, HIGHEST_PORT)
        if is_free(port):
            return port
    raise RuntimeError(f"no free port found between {LOWEST_PORT} and {HIGHEST_PORT}")


def answers(host: str, port: int, timeout_seconds: float = 1.0) -> bool:
    try:
        socket.create_connection((host, port), timeout_seconds).close()
    except OSError:
        return False
    return True
