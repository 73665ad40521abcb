"""The books fail on every falsified result, and balance on the true one."""

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from loadtest.checks.balance import Held, compare
from loadtest.measure.counters import Counters
from loadtest.measure.sales import Sales
from loadtest.workload import Reservation

TOTAL = 10


def reservation(number: int, *types: int, sent_again: bool = False) -> Reservation:
    made = Reservation(f"command {number}", 0, types)
    made.sent_again = sent_again
    return made


def true_counters() -> Counters:
    """Three granted of the first type, one of both, one refused, one repeated."""
    counters = Counters(ticket_types=2)
    repeated = reservation(4, 0, 1, sent_again=True)
    counters.asked = 6
    counters.grant_all([reservation(number, 0) for number in (1, 2, 3)])
    counters.enter(repeated, None, "the answer")
    counters.enter(reservation(5, 1), "insufficient_availability", None)
    counters.enter(repeated, None, "the answer")
    return counters


TRUE_HELD = [Held("first", TOTAL, 4, granted=4, in_carts=4), Held("second", TOTAL, 1, 1, 1)]
RECORDED = 5


def test_true_books_balance() -> None:
    verdict = compare(true_counters(), TRUE_HELD, "a test", RECORDED)
    assert verdict.findings == []
    assert verdict.balanced


def lose_an_answer(counters: Counters) -> None:
    counters.asked += 1


def answer_twice(counters: Counters) -> None:
    counters.fault("a reply to no message of ours")


def answer_a_repeat_otherwise(counters: Counters) -> None:
    repeated = reservation(6, 0, sent_again=True)
    counters.asked += 2
    counters.enter(repeated, "sale_ended", "refused")
    counters.enter(repeated, None, "granted after all")
    counters.distinct -= 1  # so that only the answers differ


def grant_what_is_not_held(counters: Counters) -> None:
    counters.granted[0] += 1


def grant_less_than_is_held(counters: Counters) -> None:
    counters.granted[1] -= 1


def outcomes_without_a_command(counters: Counters) -> None:
    counters.distinct -= 1


@pytest.mark.parametrize(
    "falsify",
    [
        lose_an_answer,
        answer_twice,
        answer_a_repeat_otherwise,
        grant_what_is_not_held,
        grant_less_than_is_held,
        outcomes_without_a_command,
    ],
)
def test_falsified_answers_do_not_balance(falsify: Callable[[Counters], None]) -> None:
    counters = copy.deepcopy(true_counters())
    falsify(counters)
    assert not compare(counters, TRUE_HELD, "a test", RECORDED).balanced


@pytest.mark.parametrize(
    ("place", "change", "says"),
    [
        (0, {"reserved": 3}, "3 held, but 4 in carts"),
        (0, {"in_carts": 5}, "4 held, but 5 in carts"),
        (0, {"granted": 5}, "4 granted, but 5 put into carts"),
        (0, {"total": 3}, "oversold"),
        (0, {"reserved": 11}, "oversold"),
        (1, {"granted": None, "in_carts": None, "reserved": 0}, "1 granted, but 0 held"),
        (1, {"granted": None, "in_carts": None, "reserved": 2}, "1 granted, but 2 held"),
    ],
)
def test_falsified_tables_do_not_balance(place: int, change: dict[str, int], says: str) -> None:
    held = list(TRUE_HELD)
    held[place] = replace(held[place], **change)
    verdict = compare(true_counters(), held, "a test", RECORDED)
    assert any(says in finding for finding in verdict.findings)


SOLD = Held("first", TOTAL, 1, 4, in_carts=0, in_orders=1, sold=3, in_paid_orders=3)
RECORDED_SALES = Sales(2, 40, 1, 30, 30, 1)


def sales_counters() -> Counters:
    """Return the true counters, with an order of one ticket and a paid one of three."""
    counters = true_counters()
    counters.sales = Sales(2, 40, 1, 30, 30, 1, Counter(first=3))
    return counters


def test_true_books_of_orders_and_money_balance() -> None:
    held = [SOLD, TRUE_HELD[1]]
    assert compare(sales_counters(), held, "a test", RECORDED, RECORDED_SALES).findings == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"in_orders": 0}, "1 held, but 0 in carts and 0 in pending orders"),
        ({"in_paid_orders": 2}, "3 sold, but 2 in paid orders"),
        ({"sold": 2, "in_paid_orders": 2}, "3 bought by the responses, but 2 sold"),
        ({"reserved": 8, "in_orders": 8}, "oversold"),
    ],
)
def test_falsified_orders_do_not_balance(change: dict[str, int], says: str) -> None:
    held = [replace(SOLD, **change), TRUE_HELD[1]]
    verdict = compare(sales_counters(), held, "a test", RECORDED, RECORDED_SALES)
    assert any(says in finding for finding in verdict.findings)


@pytest.mark.parametrize(
    "field",
    ["orders", "ordered_amount", "payments", "paid_amount", "accepted_amount", "paid_orders"],
)
def test_falsified_money_does_not_balance(field: str) -> None:
    recorded = replace(RECORDED_SALES, **{field: getattr(RECORDED_SALES, field) + 1})
    held = [SOLD, TRUE_HELD[1]]
    verdict = compare(sales_counters(), held, "a test", RECORDED, recorded)
    assert len(verdict.findings) == 1
    assert verdict.findings[0].startswith(field.replace("_", " ").capitalize())


def test_money_that_cannot_be_read_is_noted() -> None:
    verdict = compare(sales_counters(), [SOLD, TRUE_HELD[1]], "a test")
    assert verdict.balanced
    assert verdict.notes == ["Without the database the recorded money could not be checked."]


def test_a_ticket_type_that_has_vanished_is_found() -> None:
    assert not compare(true_counters(), TRUE_HELD[:1], "a test", RECORDED).balanced


def test_expired_holds_are_recognised_from_a_page_alone() -> None:
    counters = true_counters()
    counters.first_expiry = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    page = [Held("first", TOTAL, 2), Held("second", TOTAL, 1)]
    verdict = compare(counters, page, "a test")
    assert verdict.balanced
    assert verdict.notes
    assert not compare(counters, [Held("first", TOTAL, 5), page[1]], "a test").balanced
