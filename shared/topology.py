"""Names and arguments of the exchanges and queues."""

from typing import Final

COMMANDS_EXCHANGE: Final = "holdfast.commands"
COMMANDS_ROUTING_KEY: Final = "commands"
COMMANDS_QUEUE: Final = "holdfast.commands"

DEAD_EXCHANGE: Final = "holdfast.dead"
DEAD_ROUTING_KEY: Final = "dead"
DEAD_QUEUE: Final = "holdfast.dead"

REPLIES_PREFIX: Final = "holdfast.replies."
"""A gateway's own reply queue is named by this and a fresh ID."""

MAX_QUEUED_MESSAGES: Final = 100_000
MAX_QUEUED_BYTES: Final = 512 * 1024 * 1024
"""Past either bound the broker refuses a publish, and the gateway answers 503."""

DELIVERY_LIMIT: Final = 50
"""How often a message may come back before the broker sets it aside as a dead letter."""

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
MAX_LOOKS: Final = 1_000_000
"""How often a dead letter may be looked at: as often as an operator likes. RabbitMQ 4 drops it
after 20 times where nothing is said."""

DEAD_ARGUMENTS: Final[dict[str, str | int]] = {
    "x-queue-type": "quorum",
    "x-delivery-limit": MAX_LOOKS,
}

DELIVERY_COUNT_HEADER: Final = "x-delivery-count"
"""Set by the broker on a message that came back: how often it did."""

REASON_HEADER: Final = "x-reason"
ERROR_HEADER: Final = "x-error"
RECORDED_HEADER: Final = "x-recorded"
"""On a dead letter handed in again whose outcome is recorded: it is answered with that outcome, and
does not become a dead letter once more."""

MERGE_REPLIES_HEADER: Final = "x-merge-replies"
"""Who publishes with this header takes the replies to several messages in one: a JSON object
of arrays of outcomes by correlation ID, itself without one."""
