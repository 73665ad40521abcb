"""Searches for a server: in the environment, on this machine, in Docker, else a private one.

HOLDFAST_DEV_SKIP names steps to skip, separated by commas (`HOLDFAST_DEV_SKIP=local,docker`): to
try a later step on a machine where an earlier one succeeds.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from dev.addresses import LOOPBACK, answers, shown
from dev.progress import say

SKIP_VARIABLE = "HOLDFAST_DEV_SKIP"
STEPS = ("environment", "local", "docker", "private")

Ownership = Literal["given", "shared", "ours"]


class Unavailable(Exception):
    """A server can be neither found nor started here; the message says what would help."""


@dataclass(frozen=True)
class Server:
    """A server that answers. `url` names a database or vhost on it that is known to exist."""

    url: str
    how: str
    ownership: Ownership
    """given: named by the environment; shared: others may use it too; ours: started by us."""


Step = Callable[[], Server | None]
FailureToConnect = Callable[[str], str | None]
"""Tries a URL; returns why it failed, or None."""


def skipped_steps() -> frozenset[str]:
    named = frozenset(filter(None, os.environ.get(SKIP_VARIABLE, "").split(",")))
    if unknown := sorted(named.difference(STEPS)):
        raise Unavailable(f"{SKIP_VARIABLE} knows {', '.join(STEPS)}, not {', '.join(unknown)}.")
    return named


def first_found(service: str, steps: Mapping[str, Step], otherwise: str) -> Server:
    """Return the first server that a step finds; print why a promising step failed."""
    skipped = skipped_steps()
    for name in STEPS:
        if name in skipped:
            continue
        try:
            server = steps[name]()
        except Unavailable as reason:
            if name == "environment":  # explicit: another server would be a surprise
                raise
            say(f"{service}: {reason}")
            continue
        if server is not None:
            return server
    raise Unavailable(otherwise)


def named_server(variable: str, failure_to_connect: FailureToConnect) -> Server | None:
    """Return the server that an environment variable names. Raises `Unavailable`."""
    url = os.environ.get(variable)
    if not url:
        return None
    if failure := failure_to_connect(url):
        raise Unavailable(f"{variable} names {shown(url)}, which does not let us in: {failure}")
    return Server(url, f"{variable} names {shown(url)}", "given")


def local_server(url: str, failure_to_connect: FailureToConnect) -> Server | None:
    """Return the server at `url`, if one listens on this machine. Raises `Unavailable`."""
    address = urlsplit(url)
    if address.port is None or not answers(LOOPBACK, address.port):
        return None
    if failure := failure_to_connect(url):
        user = address.username
        raise Unavailable(f"{shown(url)} answers, but does not let us in as {user}: {failure}")
    return Server(url, f"answering at {shown(url)}", "shared")
