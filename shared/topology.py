"""Names and arguments of the exchanges, the queues and the connections to them."""

from typing import Final

HEARTBEAT_SECONDS: Final = 10
"""Without a heartbeat a half-open connection is noticed after minutes."""
DEFAULT_ACCOUNT: Final = "guest"
"""The account at the broker where its URL names none."""

COMMANDS_EXCHANGE: Final = "holdfast.commands"
COMMANDS_ROUTING_KEY: Final = "commands"
COMMANDS_QUEUE: Final = "holdfast.commands"

DEAD_EXCHANGE: Final = "holdfast.dead"
DEAD_ROUTING_KEY: Final = "dead"
DEAD_QUEUE: Final = "holdfast.dead"

REPLIES_PREFIX: Final = "holdfast.replies."
"""A gateway names its reply queue by this prefix and a fresh ID."""

MAX_QUEUED_MESSAGES: Final = 100_000
MAX_QUEUED_BYTES: Final = 512 * 1024 * 1024
"""Beyond either bound the broker rejects a publish, and the gateway answers 503."""

DELIVERY_LIMIT: Final = 50
"""How many redeliveries of a message until the broker dead-letters it."""

COMMANDS_ARGUMENTS: Final[dict[str, str | int]] = {
    "x-queue-type": "quorum",
    "x-delivery-limit": DELIVERY_LIMIT,
    "x-dead-letter-exchange": DEAD_EXCHANGE,
    "x-dead-letter-routing-key": DEAD_ROUTING_KEY,
    "x-dead-letter-strategy": "at-least-once",
    # At-least-once dead-lettering needs this; without it the broker silently drops instead.
    "x-overflow": "reject-publish",
    "x-max-length": MAX_QUEUED_MESSAGES,
    "x-max-length-bytes": MAX_QUEUED_BYTES,
}
MAX_DEAD_LETTER_READS: Final = 1_000_000
"""How often a dead letter may be read and returned: practically without limit. RabbitMQ 4 drops it
after 20 times by default."""

DEAD_ARGUMENTS: Final[dict[str, str | int]] = {
    "x-queue-type": "quorum",
    "x-delivery-limit": MAX_DEAD_LETTER_READS,
}

DELIVERY_COUNT_HEADER: Final = "x-delivery-count"
"""Set by the broker on a redelivered message: the number of redeliveries."""

REASON_HEADER: Final = "x-reason"
ERROR_HEADER: Final = "x-error"
RECORDED_HEADER: Final = "x-recorded"
"""On a republished dead letter whose outcome is recorded: it is answered with that outcome and not
dead-lettered again."""

MERGE_REPLIES_HEADER: Final = "x-merge-replies"
"""A client that publishes with this header accepts one reply to several messages: a JSON object of
arrays of outcomes by correlation ID. The merged reply itself has no correlation ID."""
