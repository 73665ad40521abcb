"""SQL and rows that follow from the declared columns."""

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    DateTime,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

from worker.domain.book import Cart, TicketType, User
from worker.domain.order import Payment
from worker.storage import tables
from worker.storage.columns import Columns, first_parameters

SEATS = Table(
    "seats",
    MetaData(schema="booking"),
    Column("id", Uuid, primary_key=True),
    Column("event_id", Uuid, ForeignKey("booking.events.id")),
    Column("name", Text),
    Column("rank", Integer),
    Column("built_at", DateTime(timezone=True)),
    UniqueConstraint("name"),
)
BUILT = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass
class Seat:
    """Its fields stand in another order than the columns, and one is not stored."""

    rank: int
    id: str
    is_free: bool
    event_id: str
    name: str
    built_at: datetime = BUILT


ALL = Columns(SEATS, Seat)
RANKS = Columns(SEATS, Seat, "id", "rank")


def one_line(sql: str) -> str:
    return " ".join(sql.split())


def test_a_select_lists_columns_in_the_order_of_the_fields_and_ids_as_text() -> None:
    assert ALL.select("seat") == (
        "seat.rank, seat.id::text, seat.event_id::text, seat.name, seat.built_at"
    )


def test_unnest_takes_an_array_for_each_column() -> None:
    assert RANKS.unnest("changed", first=3) == (
        "unnest($3::integer[], $4::uuid[]) AS changed (rank, id)"
    )


def test_an_insert_names_its_columns() -> None:
    assert one_line(ALL.insert()) == (
        "INSERT INTO booking.seats (rank, id, event_id, name, built_at) SELECT * FROM "
        "unnest($1::integer[], $2::uuid[], $3::uuid[], $4::text[], $5::timestamptz[]) "
        "AS new (rank, id, event_id, name, built_at)"
    )


def test_an_update_sets_all_but_keys() -> None:
    sql = one_line(ALL.update())

    assert sql == (
        f"{one_line(ALL.insert())} ON CONFLICT (id) DO UPDATE "
        "SET rank = excluded.rank, name = excluded.name, built_at = excluded.built_at"
    )


def test_an_update_leaves_what_never_changes() -> None:
    assert "opened_at =" not in Columns(tables.carts, Cart).update()


def test_a_delete_compares_the_key() -> None:
    items = Columns(tables.cart_items, Line, "cart_id", "ticket_type_id")

    assert one_line(items.delete()) == (
        "DELETE FROM booking.cart_items WHERE ctid = ANY (ARRAY( SELECT found.ctid "
        "FROM unnest($1::uuid[], $2::uuid[]) AS dropped (cart_id, ticket_type_id) "
        "CROSS JOIN LATERAL ( SELECT stored.ctid FROM booking.cart_items AS stored "
        "WHERE stored.cart_id = dropped.cart_id AND stored.ticket_type_id = dropped.ticket_type_id "
        "OFFSET 0 ) AS found ))"
    )


@dataclass
class Line:
    cart_id: str
    ticket_type_id: str


def test_arrays_hold_the_values_of_the_fields() -> None:
    seats = [Seat(1, "a", True, "x", "left"), Seat(2, "b", False, "x", "right")]

    assert ALL.arrays(seats) == [
        (1, 2),
        ("a", "b"),
        ("x", "x"),
        ("left", "right"),
        (BUILT, BUILT),
    ]
    assert RANKS.arrays([]) == [(), ()]


def test_a_column_without_a_field_is_refused_at_import() -> None:
    with pytest.raises(ValueError, match="Line has no field for"):
        Columns(tables.cart_items, Line)


def test_parameters_of_several_tables_follow_each_other() -> None:
    assert first_parameters(RANKS, ALL, RANKS) == [1, 3, 8]


@pytest.mark.parametrize(
    ("table", "entity"),
    [(tables.users, User), (tables.payments, Payment), (tables.ticket_types, TicketType)],
)
def test_a_row_is_read_by_the_names_of_its_columns(table: Table, entity: type[Any]) -> None:
    """`TicketType(*row)` is right whatever the order of the columns."""
    assert Columns(table, entity).names == tuple(field.name for field in fields(entity))
