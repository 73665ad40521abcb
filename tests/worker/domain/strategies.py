"""Commands and clocks for the laws: few of everything, so that they get into each other's way."""

from datetime import timedelta

from hypothesis import strategies as st

from shared.commands import Command
from shared.ids import new_id
from tests.builders import (
    COMMAND_WINDOW,
    FAR_AHEAD,
    HOLD,
    LONG_AGO,
    NOW,
    PAYMENT,
    a_book,
    a_ticket_type,
    an_event,
    an_order,
    cancel_event,
    cancel_order,
    change_event,
    change_ticket_type,
    check_out,
    create_event,
    create_ticket_type,
    end_event,
    extend_hold,
    extend_order,
    id_made_at,
    record_payment,
    record_refund,
    register_user,
    release_cart,
    release_item,
    release_tickets,
    reserve,
    set_quantity,
)
from worker.domain.book import Book

ORGANIZER, *BUYERS = (new_id() for _ in range(4))
NEWCOMER = new_id()
USERS = [ORGANIZER, *BUYERS, NEWCOMER]
EVENTS = [new_id(), new_id()]
TICKET_TYPES = [new_id() for _ in range(3)]
ABSENT = new_id()
# Eight IDs among all commands: duplicates and reused IDs are common. One is always too old.
ORDERS = [new_id() for _ in range(3)]
COMMAND_IDS = [new_id() for _ in range(7)] + [id_made_at(NOW - 2 * COMMAND_WINDOW)]

users = st.sampled_from(USERS)
officers = st.sampled_from([ORGANIZER, ORGANIZER, ORGANIZER, *BUYERS])
pay_bys = st.sampled_from([NOW, NOW + PAYMENT + HOLD, NOW + timedelta(days=91)])
events = st.sampled_from([*EVENTS, ABSENT])
ticket_types = st.sampled_from([*TICKET_TYPES, ABSENT])
# A check-out under one of the command IDs makes an order of that ID.
orders = st.sampled_from([*ORDERS, *ORDERS, *COMMAND_IDS[:3], ABSENT])
payment_ids = st.sampled_from(["P1", "P2", "P3", "P4"])
amounts = st.sampled_from([1, 2, 5, 10, 15, 20])
kept = st.sampled_from([None, None, 0, 1, 10])
quantities = st.integers(1, 4)
fresh_ids = st.builds(new_id)
deadlines = st.sampled_from([None, None, None, NOW, NOW + HOLD, FAR_AHEAD])
lines = st.lists(st.tuples(ticket_types, quantities), min_size=1, max_size=4)


def commands(ids: st.SearchStrategy[str] = fresh_ids) -> st.SearchStrategy[Command]:
    """Any command, on the few users, events and ticket types above; reservations most often."""
    own = {"command_id": ids, "deadline": deadlines}
    totals = st.integers(0, 6)
    ends = st.sampled_from([LONG_AGO, NOW, NOW + 2 * HOLD, FAR_AHEAD])
    return st.one_of(
        st.builds(reserve, users, lines, **own),
        st.builds(reserve, users, lines, **own),
        st.builds(set_quantity, users, ticket_types, st.integers(0, 4), **own),
        st.builds(release_item, users, ticket_types, **own),
        st.builds(release_cart, users, **own),
        st.builds(extend_hold, users, **own),
        st.builds(change_ticket_type, users, ticket_types, total_quantity=totals, **own),
        st.builds(register_user, users, **own),
        st.builds(create_event, users, **own),
        st.builds(change_ticket_type, users, ticket_types, max_per_user=quantities, **own),
        st.builds(check_out, users, events, **own),
        st.builds(check_out, users, st.sampled_from(EVENTS), **own),
        st.builds(record_payment, officers, orders, amounts, payment_id=payment_ids, **own),
        st.builds(record_payment, officers, orders, amounts, **own),
        st.builds(record_refund, officers, orders, amounts, refund_id=payment_ids, **own),
        st.builds(release_tickets, officers, orders, lines, keep_amount=kept, **own),
        st.builds(cancel_order, users, orders, keep_amount=kept, **own),
        st.builds(extend_order, officers, orders, pay_bys, **own),
        st.builds(create_ticket_type, users, events, total_quantity=totals, **own),
        st.builds(change_event, users, events, ends_at=ends, **own),
        st.builds(cancel_event, users, events, **own),
        st.builds(end_event, users, events, **own),
    )


def batches(max_size: int = 30) -> st.SearchStrategy[list[Command]]:
    """Batches in which IDs come again."""
    return st.lists(commands(st.sampled_from(COMMAND_IDS) | fresh_ids), max_size=max_size)


steps_of_time = st.sampled_from([timedelta(0), timedelta(seconds=1), HOLD / 2, HOLD, PAYMENT])


def opening_book() -> Book:
    """Two events, three ticket types of few tickets; one sale ends while the laws are tested."""
    first, second = (an_event(ORGANIZER, id=id) for id in EVENTS)
    return a_book(
        users=[ORGANIZER, *BUYERS],
        events=[first, second],
        ticket_types=[
            a_ticket_type(first, id=TICKET_TYPES[0], total=8, unit_price=5),
            a_ticket_type(first, id=TICKET_TYPES[1], total=3, max_per_order=2),
            a_ticket_type(
                second,
                id=TICKET_TYPES[2],
                total=4,
                sale_starts_at=LONG_AGO,
                sale_ends_at=NOW + 3 * HOLD,
            ),
        ],
        orders=[
            an_order(event, user, lines, id=id, unit_price=5, status=status)
            for id, event, user, lines, status in (
                (ORDERS[0], first, BUYERS[0], {TICKET_TYPES[0]: 2}, "pending_payment"),
                (ORDERS[1], first, BUYERS[1], {TICKET_TYPES[0]: 1, TICKET_TYPES[1]: 1}, "paid"),
                (ORDERS[2], second, BUYERS[0], {TICKET_TYPES[2]: 2}, "expired"),
            )
        ],
    )
