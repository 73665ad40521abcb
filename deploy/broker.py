"""The broker's accounts and their permissions, as definitions that RabbitMQ loads at its start.

A permission names exchanges and queues alike, by a pattern over the whole name. "Write" is to
publish to an exchange or to bind a queue; "read" is to consume from a queue or to bind to an
exchange. The default exchange is called amq.default here.
"""

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from shared.topology import (
    COMMANDS_EXCHANGE,
    COMMANDS_QUEUE,
    DEAD_EXCHANGE,
    DEAD_QUEUE,
    REPLIES_PREFIX,
)

SALT_BYTES = 4
"""The length of the salt in RabbitMQ's password hashes."""


def _named(*names: str) -> str:
    alternatives = "|".join(re.escape(name) for name in dict.fromkeys(names))
    return f"^({alternatives})$"


# Reply queues are exclusive: a connection cannot read another's, though the pattern matches it.
REPLIES = f"^{re.escape(REPLIES_PREFIX)}.+$"
BROKER_NAMED_QUEUES = "^amq\\.gen-.+$"


@dataclass(frozen=True, slots=True)
class Permissions:
    configure: str
    write: str
    read: str


ACCOUNTS = {
    "gateway": Permissions(REPLIES, _named(COMMANDS_EXCHANGE), REPLIES),
    # Replies leave through the default exchange, which reaches every queue. A command that a worker
    # published would be refused because of its account (HOLDFAST_COMMAND_ACCOUNTS).
    "worker": Permissions(
        _named(COMMANDS_EXCHANGE, COMMANDS_QUEUE, DEAD_EXCHANGE, DEAD_QUEUE),
        _named(COMMANDS_EXCHANGE, COMMANDS_QUEUE, DEAD_EXCHANGE, DEAD_QUEUE, "amq.default"),
        _named(COMMANDS_EXCHANGE, COMMANDS_QUEUE, DEAD_EXCHANGE, DEAD_QUEUE),
    ),
    # Lists and republishes dead letters, and runs load tests on the queue.
    "operator": Permissions(
        f"{REPLIES}|{BROKER_NAMED_QUEUES}",
        _named(COMMANDS_EXCHANGE),
        f"{REPLIES}|{BROKER_NAMED_QUEUES}|{_named(DEAD_QUEUE)}",
    ),
}

User = tuple[str, str]
"""A name and a password."""


def definitions(
    vhost: str, users: Mapping[str, User], administrator: User | None = None
) -> dict[str, Any]:
    """Return the definitions of a vhost; `users` maps each account to its name and password."""
    return {
        "vhosts": [{"name": vhost}],
        "users": [
            # Never the tag "impersonator": the broker would not check the user_id of its messages.
            *(_user(*user, tags=[]) for user in users.values()),
            *([_user(*administrator, tags=["administrator"])] if administrator else []),
        ],
        "permissions": [
            {"user": user, "vhost": vhost} | asdict(ACCOUNTS[account])
            for account, (user, _) in users.items()
        ],
    }


def _user(name: str, password: str, tags: list[str]) -> dict[str, Any]:
    return {
        "name": name,
        "password_hash": password_hash(password),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": tags,
    }


def password_hash(password: str) -> str:
    """Return the hash that RabbitMQ stores for a password: base64 of salt and SHA-256."""
    salt = secrets.token_bytes(SALT_BYTES)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
