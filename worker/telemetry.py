"""The worker's metrics."""

from prometheus_client import Counter, Gauge, Histogram

from worker.domain.batch import Batch

DECIDED = Counter(
    "holdfast_commands_decided_total",
    "Commands decided for the first time.",
    ["kind", "status", "code"],
)
DUPLICATES = Counter(
    "holdfast_commands_recalled_total", "Commands that were answered with a recorded outcome."
)
BATCH_COMMANDS = Histogram(
    "holdfast_batch_commands",
    "Commands decided in one transaction.",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500),
)
BATCH_SECONDS = Histogram(
    "holdfast_batch_seconds",
    "Seconds from the first lock to the commit.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
RETRIES = Counter("holdfast_batch_retries_total", "Batches retried after a transient fault.")
DEAD_LETTERS = Counter("holdfast_dead_letters_total", "Commands dead-lettered.", ["reason"])
CARTS_EXPIRED = Counter("holdfast_carts_expired_total", "Carts whose hold expired.")
CARTS_DELETED = Counter(
    "holdfast_carts_deleted_total", "Closed carts deleted because they were past retention."
)
PARTITIONS_AHEAD = Gauge(
    "holdfast_outcome_partitions_ahead_days",
    "Future days that have a partition; alert below 3.",
)
ISOLATED_MESSAGES = Counter(
    "holdfast_messages_isolated_total",
    "Messages decided in an isolated process, because they were redelivered too often.",
)
ISOLATION_DEATHS = Counter(
    "holdfast_isolated_process_deaths_total", "Isolated processes that died deciding messages."
)
FORK_COUNTERS = (DECIDED, DUPLICATES, CARTS_EXPIRED, RETRIES)
"""What a fork of the isolated process counts for its worker."""
CONNECTIONS_IN_USE = Gauge(
    "holdfast_database_connections_in_use",
    "Connections to Postgres checked out of the pool.",
)
UNACKED_MESSAGES = Gauge("holdfast_messages_unacked", "Messages delivered, not yet acknowledged.")


def observe_batch(batch: Batch, commands: int, seconds: float) -> None:
    """Count what a committed batch did."""
    BATCH_SECONDS.observe(seconds)
    BATCH_COMMANDS.observe(commands)
    DUPLICATES.inc(commands - len(batch.to_record))
    tally: dict[tuple[str, str, str], int] = {}
    for new in batch.to_record:
        refusal = new.outcome.refusal
        code = str(refusal.code) if refusal else ""
        label = (str(new.command.kind), str(new.outcome.status), code)
        tally[label] = tally.get(label, 0) + 1
    for label, count in tally.items():
        DECIDED.labels(*label).inc(count)
    if expired := sum(cart.status == "expired" for cart in batch.changes.closed_carts.values()):
        CARTS_EXPIRED.inc(expired)


Counts = list[list[list[str | float]]]
"""For each of `FORK_COUNTERS`: the values of its labels, and the count."""


def read_counts() -> Counts:
    """Return what this process has counted."""
    return [
        [
            [*sample.labels.values(), sample.value]
            for metric in counter.collect()
            for sample in metric.samples
            if sample.name.endswith("_total") and sample.value
        ]
        for counter in FORK_COUNTERS
    ]


def add_counts(counts: Counts) -> None:
    """Add what a fork has counted."""
    for counter, samples in zip(FORK_COUNTERS, counts, strict=True):
        for *labels, value in samples:
            (counter.labels(*labels) if labels else counter).inc(float(value))
