"""Each difference between the shoppers' ledger of money and the tables is found."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from reliability.chaos.sales.ledger import Ledger, Payment, SaleTables, compare

ORDER, OTHER, SEAT = "an order", "another order", "a seat"
ITEMS = [{"ticket_type_id": SEAT, "quantity": 2}]


def ledger() -> Ledger:
    """One order that is paid and paid too much, and one that was cancelled."""
    order = {"total": 1_000, "items": ITEMS}
    return Ledger(
        orders={ORDER: order, OTHER: order},
        payments={
            "P1": Payment(ORDER, 1_000, {"accepted"}),
            "P2": Payment(ORDER, 500, {"surplus"}),
        },
        refunds={"R1": (ORDER, 500)},
        cancelled={OTHER},
    )


TABLES = SaleTables(
    orders={ORDER: ("paid", 1_000, 1_500, 500), OTHER: ("cancelled", 1_000, 0, 0)},
    payments=[("P1", ORDER, 1_000, "accepted"), ("P2", ORDER, 500, "surplus")],
    refunds=[("R1", ORDER, 500)],
    sold={SEAT: 2},
    reserved={SEAT: 3},
    held={SEAT: 3},
)


def with_order(id: str, *columns: str | int) -> SaleTables:
    return replace(TABLES, orders=TABLES.orders | {id: columns})


def test_equal_books_have_no_difference() -> None:
    assert list(compare(ledger(), TABLES)) == []


@pytest.mark.parametrize(
    ("tables", "finding"),
    [
        (replace(TABLES, payments=TABLES.payments[:1]), "M1"),
        (replace(TABLES, payments=[*TABLES.payments, TABLES.payments[0]]), "M1"),
        (replace(TABLES, payments=[*TABLES.payments, ("P3", ORDER, 1, "surplus")]), "M1"),
        (replace(TABLES, payments=[("P1", ORDER, 999, "accepted"), TABLES.payments[1]]), "M1"),
        (replace(TABLES, payments=[("P1", ORDER, 1_000, "surplus"), TABLES.payments[1]]), "M1"),
        (replace(TABLES, refunds=[]), "M2"),
        (replace(TABLES, refunds=TABLES.refunds * 2), "M2"),
        (replace(TABLES, orders={ORDER: TABLES.orders[ORDER]}), "M3"),
        (with_order("unknown", "expired", 1_000, 0, 0), "M3"),
        (with_order(ORDER, "paid", 900, 1_500, 500), "M3"),
        (with_order(ORDER, "paid", 1_000, 1_000, 500), "M3"),
        (with_order(ORDER, "paid", 1_000, 1_500, 0), "M3"),
        (with_order(ORDER, "expired", 1_000, 1_500, 500), "M4"),
        (with_order(OTHER, "paid", 1_000, 0, 0), "M4"),
        (with_order(OTHER, "expired", 1_000, 0, 0), "M4"),
        (replace(TABLES, sold={SEAT: 4}), "M5"),
        (replace(TABLES, held={SEAT: 2}), "M5"),
    ],
)
def test_a_difference_is_found(tables: SaleTables, finding: str) -> None:
    assert finding in {found.partition(":")[0] for found in compare(ledger(), tables)}


@pytest.mark.parametrize(
    "answer",
    [
        lambda books: books.payments["P1"].dispositions.add("surplus"),
        lambda books: books.payments["P1"].dispositions.clear(),
        lambda books: books.payments.update(P3=Payment(ORDER, 1, {"refused"})),
    ],
)
def test_a_payment_with_no_or_two_answers_is_found(answer: Callable[[Ledger], None]) -> None:
    books = ledger()
    answer(books)

    assert any(found.startswith("M1") for found in compare(books, TABLES))


def test_what_the_shoppers_found_strange_is_told() -> None:
    books = ledger()
    books.strange.append("M0: a payment was refused order_full")

    assert list(compare(books, TABLES)) == ["M0: a payment was refused order_full"]
