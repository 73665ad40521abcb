"""The replay of what was decided: silent about a true history, and not about a false one."""

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reliability.chaos.checks.record import Document, Entry
from reliability.chaos.checks.replay import check_availability, replay

START = datetime(2030, 1, 1, tzinfo=UTC)
HOLD = timedelta(seconds=10)
TICKETS = "tickets"


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


class History:
    """Commands and their outcomes, as a faithful worker would record them."""

    def __init__(self) -> None:
        self.by_user: dict[str, list[Entry]] = {}
        self.recorded: dict[str, Document] = {}
        self.carts: dict[str, tuple[str, str]] = {}

    def reserve(self, user: str, quantity: int, second: float, holds: int) -> str:
        entry = self._entry(user, "reserve_tickets", items=[line(quantity)])
        cart, expires_at = self.carts.setdefault(
            user, (entry.id, at(second + HOLD.total_seconds()))
        )
        self._succeed(entry, second, cart, expires_at, holds)
        return entry.id

    def release(self, user: str, second: float) -> str:
        entry = self._entry(user, "release_cart")
        self.carts.pop(user, None)
        self._succeed(entry, second, None, None, 0)
        return entry.id

    def refuse(self, user: str, requested: int, available: int, second: float) -> str:
        entry = self._entry(user, "reserve_tickets", items=[line(requested)])
        self.recorded[entry.id] = {
            "status": "refused",
            "submitted_at": at(second - 0.01),
            "decided_at": at(second),
            "refusal": {
                "code": "insufficient_availability",
                "ticket_type_id": TICKETS,
                "requested": requested,
                "available": available,
            },
        }
        return entry.id

    def findings(self, total: int = 5) -> list[str]:
        played = replay(self.by_user, self.recorded)
        return [*played.findings, *check_availability(played, {TICKETS: total})]

    def _entry(self, user: str, kind: str, **fields: Any) -> Entry:
        entry = Entry(user, kind, fields, "queue")
        self.by_user.setdefault(user, []).append(entry)
        return entry

    def _succeed(
        self, entry: Entry, second: float, cart: str | None, expires_at: str | None, holds: int
    ) -> None:
        items = [{"ticket_type_id": TICKETS, "quantity": holds}] if holds else []
        self.recorded[entry.id] = {
            "status": "succeeded",
            "submitted_at": at(second - 0.01),
            "decided_at": at(second),
            "result": {"cart": {"id": cart, "expires_at": expires_at, "items": items}},
            "refusal": None,
        }


def line(quantity: int) -> Document:
    return {"ticket_type_id": TICKETS, "quantity": quantity}


@pytest.fixture
def history() -> History:
    """Five tickets: Ann holds three and then four, Bob is refused and then holds one."""
    history = History()
    history.reserve("ann", 3, 0, holds=3)
    history.reserve("ann", 1, 1, holds=4)
    history.refuse("bob", 2, 1, 2)
    history.reserve("bob", 1, 3, holds=1)
    history.refuse("ann", 1, 0, 4)
    return history


def test_a_true_history_has_no_findings(history: History) -> None:
    assert history.findings() == []


def test_what_each_user_holds_at_the_end(history: History) -> None:
    carts = replay(history.by_user, history.recorded).carts
    assert {user: cart.lines for user, cart in carts.items()} == {
        "ann": {TICKETS: 4},
        "bob": {TICKETS: 1},
    }


def test_an_expired_cart_is_opened_anew() -> None:
    history = History()
    history.reserve("ann", 3, 0, holds=3)
    history.carts.clear()
    history.reserve("ann", 1, 11, holds=1)
    assert history.findings() == []


def test_commands_of_one_instant_may_have_had_any_order() -> None:
    history = History()
    history.reserve("ann", 4, 0, holds=4)
    history.release("ann", 1)
    history.refuse("bob", 2, 1, 1)  # before the release
    history.reserve("cid", 5, 1, holds=5)  # after it
    history.refuse("dan", 1, 0, 1)
    assert history.findings() == []


def test_a_hold_that_expired_after_the_command_was_sent_may_refuse_it() -> None:
    history = History()
    history.reserve("ann", 5, 0, holds=5)
    history.refuse("bob", 1, 0, 10.005)
    assert history.findings() == []


def doubled(history: History) -> None:
    outcome = history.recorded[history.by_user["ann"][1].id]
    outcome["result"]["cart"]["items"][0]["quantity"] = 5


def lost(history: History) -> None:
    del history.recorded[history.by_user["ann"][0].id]


def oversold(history: History) -> None:
    history.reserve("cid", 1, 5, holds=1)


def refused_without_reason(history: History) -> None:
    history.release("ann", 5)
    history.refuse("cid", 2, 0, 6)


def refused_by_an_expired_hold(history: History) -> None:
    history.refuse("cid", 1, 0, 20)


def another_cart(history: History) -> None:
    history.recorded[history.by_user["ann"][1].id]["result"]["cart"]["id"] = "another"


def put_off(history: History) -> None:
    cart = history.recorded[history.by_user["ann"][1].id]["result"]["cart"]
    cart["expires_at"] = at(11)


def refused_what_there_was(history: History) -> None:
    history.refuse("cid", 1, 1, 2.5)


@pytest.mark.parametrize(
    ("falsify", "invariant"),
    [
        (doubled, "I5"),
        (lost, "I5"),
        (another_cart, "I5"),
        (put_off, "I5"),
        (oversold, "I10"),
        (refused_without_reason, "I9, I10"),
        (refused_by_an_expired_hold, "I9, I10"),
        (refused_what_there_was, "I9, I10"),
    ],
)
def test_a_false_history_is_found_out(
    history: History, falsify: Callable[[History], None], invariant: str
) -> None:
    falsified = copy.deepcopy(history)
    falsify(falsified)
    assert any(finding.startswith(f"{invariant}:") for finding in falsified.findings())
