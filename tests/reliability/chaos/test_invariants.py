"""Each invariant is kept by a true record, and broken by what it is there to find."""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reliability.chaos.checks import invariants
from reliability.chaos.checks.database import HeldCart, Session
from reliability.chaos.checks.invariants import POOLED, Written
from reliability.chaos.checks.record import Document, Entry, Record
from reliability.chaos.checks.recovery import Recoveries, Recovery
from reliability.chaos.checks.replay import replay

NOW = datetime(2030, 1, 1, tzinfo=UTC)
TICKETS = "tickets"


def text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


@dataclass
class Scenario:
    """Ann reserved two tickets over the queue; Bob was refused over HTTP; Cid turned away."""

    record: Record = field(default_factory=Record)
    documents: dict[str, str] = field(default_factory=dict)
    recorded_ids: set[str] = field(default_factory=set)
    carts: dict[str, HeldCart] = field(default_factory=dict)
    dead: list[Document] = field(default_factory=list)
    queues: dict[str, tuple[int, int]] = field(
        default_factory=lambda: {"holdfast.commands": (0, 0), "holdfast.dead": (1, 0)}
    )
    sessions: list[Session] = field(
        default_factory=lambda: [Session(1, "holdfast worker", "idle", 1)]
    )
    lent_out: dict[str, float] = field(default_factory=lambda: {"worker-1": 0, "gateway-1": 0})
    recoveries: Recoveries = field(default_factory=Recoveries)

    def __post_init__(self) -> None:
        fields = {"items": [{"ticket_type_id": TICKETS, "quantity": 2}]}
        self.ann = self.record.begin(Entry("ann", "reserve_tickets", fields, "queue"))
        items = [{"ticket_type_id": TICKETS, "quantity": 2}]
        later = NOW + timedelta(seconds=60)
        cart = {"id": self.ann.id, "expires_at": text(later), "items": items}
        self.write(self.ann, "succeeded", {"cart": cart}, None)
        self.record.hear(self.ann, self.documents[self.ann.id])
        self.carts["ann"] = HeldCart(self.ann.id, later, {TICKETS: 2})
        self.record.reused.add(self.ann.id)

        self.bob = self.record.begin(
            Entry("bob", "release_item", {"ticket_type_id": TICKETS}, "http")
        )
        refusal = {"code": "item_not_in_cart", "detail": "…", "ticket_type_id": TICKETS}
        self.write(self.bob, "refused", None, refusal)
        self.bob.accepted = True
        self.bob.refusals.append({**refusal, "status": 404, "title": "…"})

        self.cid = self.record.begin(Entry("cid", "reserve_tickets", {"items": []}, "http"))
        self.cid.turned_away = 422
        self.record.unreadable.add("unreadable")
        self.dead.append({"command_id": "unreadable"})
        self.recoveries.all.append(Recovery("worker", 0, 10, seconds=1))

    def write(self, entry: Entry, status: str, result: Any, refusal: Any) -> None:
        outcome = {
            "command_id": entry.id,
            "kind": entry.kind,
            "status": status,
            "submitted_at": text(NOW),
            "decided_at": text(NOW),
            "result": result,
            "refusal": refusal,
        }
        self.documents[entry.id] = json.dumps(outcome)
        self.recorded_ids.add(entry.id)

    def findings(self) -> list[str]:
        outcomes = {id: json.loads(document) for id, document in self.documents.items()}
        ids = frozenset(self.recorded_ids)
        written = Written(self.documents, outcomes, ids, NOW, self.carts)
        played = replay(self.record.by_user, outcomes)
        record = self.record
        checks: Iterable[Iterable[str]] = (
            invariants.i3_what_was_accepted_has_one_outcome(record, written),
            invariants.i4_nothing_else_took_effect(record, written),
            invariants.i5_carts_are_what_succeeded(record, written, played),
            invariants.i6_another_payload_changes_nothing(record, written),
            invariants.i7_all_clients_get_the_same_outcome(record, written),
            invariants.i8_what_was_refused_stays_refused(record, written),
            invariants.i9_i10_decided_by_the_rules(record, written, played, {TICKETS: 2}),
            invariants.i11_nothing_is_left_in_the_queue(self.queues, self.dead, record, written),
            invariants.i13_the_pools_are_back(self.lent_out, self.sessions),
            invariants.i14_everything_recovers(self.recoveries),
        )
        return [finding for found in checks for finding in found]


def test_a_true_record_has_no_findings() -> None:
    assert Scenario().findings() == []


def an_accepted_command_is_lost(scenario: Scenario) -> None:
    del scenario.documents[scenario.bob.id]
    scenario.recorded_ids.remove(scenario.bob.id)


def an_outcome_that_nobody_asked_for(scenario: Scenario) -> None:
    scenario.recorded_ids.add("another")


def what_was_turned_away_took_effect(scenario: Scenario) -> None:
    scenario.write(scenario.cid, "refused", None, {"code": "ticket_type_not_found"})


def a_cart_holds_more(scenario: Scenario) -> None:
    scenario.carts["ann"] = replace(scenario.carts["ann"], lines={TICKETS: 3})


def a_cart_is_gone(scenario: Scenario) -> None:
    scenario.carts.clear()


def an_outcome_changed_when_its_id_was_used_again(scenario: Scenario) -> None:
    scenario.documents[scenario.ann.id] = scenario.documents[scenario.ann.id].replace("{", "{ ", 1)


def two_answers_to_one_id(scenario: Scenario) -> None:
    scenario.ann.documents.add(scenario.documents[scenario.ann.id].replace("{", "{ ", 1))


def a_problem_that_differs(scenario: Scenario) -> None:
    scenario.bob.refusals.append({"code": "sale_ended", "status": 409})


def refused_and_then_succeeded(scenario: Scenario) -> None:
    scenario.ann.refusals.append({"code": "insufficient_availability"})


def oversold(scenario: Scenario) -> None:
    fields = {"items": [{"ticket_type_id": TICKETS, "quantity": 1}]}
    entry = scenario.record.begin(Entry("dan", "reserve_tickets", fields, "queue"))
    later = NOW + timedelta(seconds=60)
    items = [{"ticket_type_id": TICKETS, "quantity": 1}]
    cart = {"id": entry.id, "expires_at": text(later), "items": items}
    scenario.write(entry, "succeeded", {"cart": cart}, None)
    scenario.record.hear(entry, scenario.documents[entry.id])
    scenario.carts["dan"] = HeldCart(entry.id, later, {TICKETS: 1})


def applied_after_its_deadline(scenario: Scenario) -> None:
    scenario.ann.deadline = text(NOW - timedelta(seconds=1))


def refused_before_its_deadline(scenario: Scenario) -> None:
    oversold(scenario)
    (*_, entry) = scenario.record.entries.values()
    entry.deadline = text(NOW + timedelta(seconds=1))
    entry.documents.clear()
    scenario.write(entry, "refused", None, {"code": "deadline_passed"})
    del scenario.carts["dan"]


def given_up_without_a_reason(scenario: Scenario) -> None:
    refused_before_its_deadline(scenario)
    (*_, entry) = scenario.record.entries.values()
    entry.deadline = None
    scenario.write(entry, "refused", None, {"code": "unprocessable"})


def a_message_is_left(scenario: Scenario) -> None:
    scenario.queues["holdfast.commands"] = (0, 1)


def a_dead_letter_without_outcome(scenario: Scenario) -> None:
    scenario.dead.append({"command_id": "another"})


def connections_pile_up(scenario: Scenario) -> None:
    more = POOLED["holdfast worker"]
    scenario.sessions += [Session(pid, "holdfast worker", "idle", 1) for pid in range(more)]


def a_connection_is_not_given_back(scenario: Scenario) -> None:
    scenario.lent_out["worker-1"] = 1


def nobody_knows_what_is_lent_out(scenario: Scenario) -> None:
    scenario.lent_out["gateway-1"] = math.nan


def no_recovery(scenario: Scenario) -> None:
    scenario.recoveries.all.append(Recovery("broker", 0, 10))


def a_slow_recovery(scenario: Scenario) -> None:
    scenario.recoveries.all.append(Recovery("broker", 0, 10, seconds=11, calm_seconds=11))


BREAKAGES: dict[str, tuple[Callable[[Scenario], None], ...]] = {
    "I3": (an_accepted_command_is_lost,),
    "I4": (an_outcome_that_nobody_asked_for, what_was_turned_away_took_effect),
    "I5": (a_cart_holds_more, a_cart_is_gone),
    "I6": (an_outcome_changed_when_its_id_was_used_again,),
    "I7": (two_answers_to_one_id, a_problem_that_differs),
    "I8": (refused_and_then_succeeded,),
    "I10": (
        oversold,
        applied_after_its_deadline,
        refused_before_its_deadline,
        given_up_without_a_reason,
    ),
    "I11": (a_message_is_left, a_dead_letter_without_outcome),
    "I13": (
        connections_pile_up,
        a_connection_is_not_given_back,
        nobody_knows_what_is_lent_out,
    ),
    "I14": (no_recovery, a_slow_recovery),
}


@pytest.mark.parametrize(
    ("invariant", "breakage"),
    [(invariant, each) for invariant, all_of_it in BREAKAGES.items() for each in all_of_it],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_it_is_broken_by(invariant: str, breakage: Callable[[Scenario], None]) -> None:
    scenario = Scenario()
    breakage(scenario)
    assert any(finding.startswith(invariant) for finding in scenario.findings()), (
        scenario.findings()
    )
