"""The situations that the bench brings about, and how it tells of them."""

import math

import pytest

from loadtest.bench.cliffs.measure import DueHolds, Opening
from loadtest.bench.cliffs.situations import all_free, connect, hold, make_ticket_type
from loadtest.bench.cliffs.summary import markdown
from worker.audit.checks import CHECKS


async def test_holds_that_the_bench_inserts_are_like_those_of_the_worker(database_url: str) -> None:
    connection = await connect(database_url)
    try:
        ticket_type = await make_ticket_type(connection)
        due_at = await hold(connection, ticket_type, 5, due_in=60)
        found = [
            f"{check.name}: {row}"
            for check in CHECKS
            if check.name != "cart_without_outcome"  # no command opened them
            for row in await connection.fetch(check.statement)
            if ticket_type in str(row)
        ]
        lines = await connection.fetchval(
            "SELECT count(*) FROM booking.cart_items JOIN booking.carts ON carts.id = cart_id"
            " WHERE ticket_type_id = $1 AND carts.expires_at = $2 AND cart_items.expires_at = $2",
            ticket_type,
            due_at,
        )
    finally:
        await connection.close()
    assert found == []
    assert lines == 5


async def test_holds_are_free_once_no_line_of_them_is_left(database_url: str) -> None:
    connection = await connect(database_url)
    try:
        ticket_type = await make_ticket_type(connection)
        due_at = await hold(connection, ticket_type, 2, due_in=0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("loadtest.bench.cliffs.situations.PATIENCE_SECONDS", 0.3)
            with pytest.raises(TimeoutError):
                await all_free(connection, ticket_type, due_at)
        await connection.execute(
            "DELETE FROM booking.cart_items WHERE ticket_type_id = $1", ticket_type
        )
        await connection.execute(
            "UPDATE booking.ticket_types SET reserved = 0 WHERE id = $1", ticket_type
        )
        assert await all_free(connection, ticket_type, due_at) > 0
    finally:
        await connection.close()


def test_the_tables_give_ratios_and_tell_what_was_not_free_in_time() -> None:
    table = markdown(
        [Opening("a restore", 9_000, 10_000, ())],
        [DueHolds("another type", 10_000, 9_100, 9_500, 120.4, math.inf, ())],
        [1.26],
    )
    assert "| a restore | 9,000 | 10,000 | 0.90 |" in table
    assert "| of another type | 10,000 | 0.91 | 0.95 | 120 ms | over 8 s |" in table
    assert "| with no buyers | - | - | - | - | 1.3 s |" in table
