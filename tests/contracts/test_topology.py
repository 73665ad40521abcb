"""Names and arguments of the queues, on which clients and operators rely."""

from shared import topology


def test_the_names_match_the_contract() -> None:
    assert topology.COMMANDS_EXCHANGE == topology.COMMANDS_QUEUE == "holdfast.commands"
    assert topology.COMMANDS_ROUTING_KEY == "commands"
    assert topology.DEAD_EXCHANGE == topology.DEAD_QUEUE == "holdfast.dead"


def test_both_queues_are_replicated_logs() -> None:
    assert topology.COMMANDS_ARGUMENTS["x-queue-type"] == "quorum"
    assert topology.DEAD_ARGUMENTS["x-queue-type"] == "quorum"


def test_a_full_queue_rejects_publishes_instead_of_dropping() -> None:
    arguments = topology.COMMANDS_ARGUMENTS

    assert arguments["x-overflow"] == "reject-publish"
    assert arguments["x-max-length"] == 100_000
    assert arguments["x-max-length-bytes"] == 512 * 1024 * 1024


def test_a_message_beyond_the_delivery_limit_is_dead_lettered() -> None:
    arguments = topology.COMMANDS_ARGUMENTS

    assert arguments["x-delivery-limit"] == 50
    assert arguments["x-dead-letter-exchange"] == topology.DEAD_EXCHANGE
    assert arguments["x-dead-letter-routing-key"] == topology.DEAD_ROUTING_KEY
    assert arguments["x-dead-letter-strategy"] == "at-least-once"


def test_dead_letters_are_kept_without_a_bound() -> None:
    assert set(topology.DEAD_ARGUMENTS) == {"x-queue-type", "x-delivery-limit"}
    assert topology.DEAD_ARGUMENTS["x-delivery-limit"] == 1_000_000, "by default 20, then dropped"
