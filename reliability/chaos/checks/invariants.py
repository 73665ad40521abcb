"""The invariants I3 to I14, each a function of the clients' records and the stored rows.

I1 and I2, and I13 as far as it can be seen while faults run, are in `monitor`; I12 (no secret in
any log) is a test of its own.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from gateway.read_model.queries import POOL_SIZE
from reliability.chaos.checks.database import HeldCart, Session
from reliability.chaos.checks.record import Document, Record
from reliability.chaos.checks.recovery import Recoveries
from reliability.chaos.checks.replay import Replay, check_availability, instant
from reliability.chaos.system.system_under_test import GATEWAYS, WORKERS
from worker.__main__ import SPARE_CONNECTIONS
from worker.committer import MAX_CONCURRENT_BATCHES

MAX_FINDINGS_EACH = 10
EXPECTED_REFUSALS = frozenset({"insufficient_availability", "item_not_in_cart", "deadline_passed"})
"""All refusals that the buyers' commands can get."""


@dataclass(frozen=True, slots=True)
class Written:
    """What the database holds once the system is quiescent."""

    documents: Mapping[str, str]
    """The recorded outcomes of the commands in the record, byte for byte."""
    outcomes: Mapping[str, Document]
    """The same, read."""
    recorded_ids: frozenset[str]
    """All that is recorded for the users in the record."""
    now: datetime
    carts: Mapping[str, HeldCart]
    """What each user holds at that instant."""


def i3_what_was_accepted_has_one_outcome(record: Record, written: Written) -> Iterable[str]:
    for entry in record.entries.values():
        if entry.accepted and entry.id not in written.documents:
            yield f"I3: {entry.kind} {entry.id} was accepted ({entry.way}), and has no outcome"


def i4_nothing_else_took_effect(record: Record, written: Written) -> Iterable[str]:
    for id in written.recorded_ids - record.entries.keys() - record.prepared:
        yield f"I4: {id} has an outcome, and nobody asked for it"
    for entry in record.entries.values():
        if entry.turned_away and entry.id in written.documents:
            yield f"I4: {entry.id} was turned away with {entry.turned_away}, and has an outcome"
        if entry.id in written.documents and not (entry.accepted or entry.unknown):
            yield f"I4: {entry.id} was neither accepted nor in doubt, and has an outcome"


def i5_carts_are_what_succeeded(record: Record, written: Written, played: Replay) -> Iterable[str]:
    yield from played.findings
    for user_id in record.by_user:
        cart = played.carts[user_id]
        expected = cart.lines if cart.expires_at > written.now else {}
        held = written.carts.get(user_id)
        if (held.lines if held else {}) != expected:
            yield f"I5: user {user_id} holds {held}, but succeeded commands make {expected}"


def i6_another_payload_changes_nothing(record: Record, written: Written) -> Iterable[str]:
    for id in record.reused:
        entry = record.entries[id]
        document = written.documents.get(id)
        if document is None or (entry.documents and document not in entry.documents):
            yield f"I6: the outcome of {id} is {document} since its ID was used again"
        elif written.outcomes[id]["kind"] != entry.kind:
            yield f"I6: {id} has the outcome of a command that used its ID again"


def i7_all_clients_get_the_same_outcome(record: Record, written: Written) -> Iterable[str]:
    for entry in record.entries.values():
        document = written.documents.get(entry.id)
        if entry.documents - {document}:
            yield f"I7: of {entry.id} was told {entry.documents}, and written {document}"
        for problem in entry.refusals:
            refusal = (written.outcomes.get(entry.id) or {}).get("refusal") or {"code": None}
            if not refusal.items() <= problem.items():
                yield f"I7: of {entry.id} was told {problem}, and written {document}"


def i8_what_was_refused_stays_refused(record: Record, written: Written) -> Iterable[str]:
    for entry in record.entries.values():
        statuses = {json.loads(document)["status"] for document in entry.documents}
        if entry.refusals:
            statuses.add("refused")
        if (outcome := written.outcomes.get(entry.id)) is not None:
            statuses.add(outcome["status"])
        if len(statuses) > 1:
            yield f"I8: {entry.id} was {' and '.join(sorted(statuses))}"


def i9_i10_decided_by_the_rules(
    record: Record, written: Written, played: Replay, totals: Mapping[str, int]
) -> Iterable[str]:
    """Commands by decision time; those with the same time have no known order."""
    yield from check_availability(played, totals)
    for entry in record.entries.values():
        outcome = written.outcomes.get(entry.id)
        if outcome is None:
            continue
        refusal = outcome["refusal"] or {}
        if refusal and refusal["code"] not in EXPECTED_REFUSALS:
            yield f"I10: {entry.id} was refused {refusal['code']}, for which there is no reason"
        if entry.way == "http":  # the gateway may set a deadline
            continue
        passed = entry.deadline and instant(entry.deadline) <= instant(outcome["decided_at"])
        if bool(passed) != (refusal.get("code") == "deadline_passed"):
            yield f"I10: {entry.id}, to be decided by {entry.deadline}, got {outcome}"


def i11_nothing_is_left_in_the_queue(
    queues: Mapping[str, tuple[int, int]],
    dead: Iterable[Document],
    record: Record,
    written: Written,
) -> Iterable[str]:
    """`queues`: ready and unacknowledged messages by name; `dead`: commands set aside."""
    for name, (ready, unacknowledged) in queues.items():
        if name == "holdfast.commands" and (ready or unacknowledged):
            yield f"I11: {name} keeps {ready} ready and {unacknowledged} unacknowledged messages"
    for command in dead:
        id = command.get("command_id")
        if id not in record.unreadable and id not in written.documents:
            yield f"I11: {id} is a dead letter, and has no outcome"


def i13_the_pools_are_back(
    lent_out: Mapping[str, float], sessions: Iterable[Session]
) -> Iterable[str]:
    """`lent_out`: connections to Postgres in use, by process; `sessions`: those that it knows."""
    for name, number in lent_out.items():
        if number != 0:
            yield f"I13: {name}, at rest, has {number:g} connections in use"
    open_by = Counter(session.application for session in sessions)
    for application, pooled in POOLED.items():
        if open_by[application] > pooled:
            yield f"I13: {open_by[application]} sessions of {application}: its pools keep {pooled}"


POOLED = {
    "holdfast worker": WORKERS * (MAX_CONCURRENT_BATCHES + SPARE_CONNECTIONS),
    "holdfast-gateway": GATEWAYS * POOL_SIZE,
}
"""Connections that all processes together may keep."""


def i14_everything_recovers(recoveries: Recoveries) -> Iterable[str]:
    for recovery in recoveries.too_slow():
        took = "no" if recovery.seconds is None else f"after {recovery.seconds:.1f} s the first"
        yield f"I14: {took} new success after {recovery.fault}"
