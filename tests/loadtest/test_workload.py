"""Reservations are drawn as the workload says, under IDs that the contract accepts."""

import json
from collections import Counter

from loadtest.workload import CommandIds, Draw, Workload
from shared.ids import is_uuid7

TYPES = [f"type {number}" for number in range(5)]


def test_command_ids_are_uuid7_and_never_the_same() -> None:
    ids = CommandIds()
    taken = ids.take(300) + ids.take(300) + CommandIds().take(300)
    assert all(is_uuid7(each) for each in taken)
    assert len(set(taken)) == len(taken)


def test_a_cart_has_as_many_different_types_as_lines() -> None:
    draw = Draw(Workload(buyers=3, ticket_types=5, lines=3), TYPES)
    for reservation in draw.take(200):
        items = json.loads(f"{{{draw.items(reservation)}}}")["items"]
        wanted = [item["ticket_type_id"] for item in items]
        assert len(set(wanted)) == 3
        assert wanted == [TYPES[place] for place in reservation.types]
        assert 0 <= reservation.buyer < 3


def test_a_line_asks_for_each_quantity_up_to_the_largest() -> None:
    draw = Draw(Workload(ticket_types=5, lines=2, max_quantity=4), TYPES)
    asked = Counter()
    for reservation in draw.take(2_000):
        items = json.loads(f"{{{draw.items(reservation)}}}")["items"]
        assert len(items) == 2
        told = [item["ticket_type_id"] for item in items for _ in range(item["quantity"])]
        assert told == [TYPES[place] for place in reservation.types]
        asked.update(item["quantity"] for item in items)
    assert asked.keys() == {1, 2, 3, 4}


def test_skew_prefers_the_first_types() -> None:
    draw = Draw(Workload(ticket_types=5, skew=1.0), TYPES)
    wanted = Counter(each.types[0] for each in draw.take(20_000))
    assert wanted[0] > 1.7 * wanted[1] > 1.7 * wanted[3]


def test_the_share_that_is_repeated_comes_twice_and_no_more() -> None:
    draw = Draw(Workload(repeats=0.25), TYPES)
    times = Counter(each.command_id for each in draw.take(40_000))
    assert set(times.values()) == {1, 2}
    share = sum(count == 2 for count in times.values()) / len(times)
    assert 0.2 < share < 0.27


def test_without_repeats_every_command_is_new() -> None:
    drawn = Draw(Workload(), TYPES).take(5_000)
    assert len({each.command_id for each in drawn}) == 5_000
