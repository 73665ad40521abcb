"""The order in which a service is looked for, and what a search may find.

HOLDFAST_DEV_SKIP names steps to leave out, separated by commas (`HOLDFAST_DEV_SKIP=local,docker`):
to try a later step on a machine where an earlier one would do.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from dev.progress import say

SKIP_VARIABLE = "HOLDFAST_DEV_SKIP"
STEPS = ("environment", "local", "docker", "private")

Ownership = Literal["given", "shared", "ours"]


class Unavailable(Exception):
    """A service can be neither found nor started here; the message says what would help."""


@dataclass(frozen=True)
class Server:
    """A server that answers. `url` names a database or vhost on it that is known to exist."""

    url: str
    how: str
    ownership: Ownership
    """given: named by the environment; shared: others may use it too; ours: started by us."""


Step = Callable[[], Server | None]


def skipped_steps() -> frozenset[str]:
    named = frozenset(filter(None, os.environ.get(SKIP_VARIABLE, "").split(",")))
    if unknown := sorted(named.difference(STEPS)):
        raise Unavailable(f"{SKIP_VARIABLE} knows {', '.join(STEPS)}, not {', '.join(unknown)}.")
    return named


def first_found(service: str, steps: Mapping[str, Step], otherwise: str) -> Server:
    """The first server that a step yields; a step that had reason to hope says why it failed."""
    skipped = skipped_steps()
    for name in STEPS:
        if name in skipped:
            continue
        try:
            server = steps[name]()
        except Unavailable as reason:
            if name == "environment":  # named on purpose: taking another one instead would mislead
                raise
            say(f"{service}: {reason}")
            continue
        if server is not None:
            return server
    raise Unavailable(otherwise)
