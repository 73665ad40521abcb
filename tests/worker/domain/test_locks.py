"""What each command locks."""

from typing import get_args

import pytest

from shared.commands import Command
from shared.ids import new_id
from tests.builders import (
    FAR_AHEAD,
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
    record_payment,
    record_refund,
    register_user,
    release_cart,
    release_item,
    release_tickets,
    reserve,
    set_quantity,
)
from worker.domain.locks import LockRequest, lock_request

ANN, BOB = new_id(), new_id()
EVENT, STANDING, SEATED, ORDER = (new_id() for _ in range(4))

CASES = [
    (register_user(ANN, email="Ann@Example.com"), LockRequest({ANN}, emails={"ann@example.com"})),
    (create_event(ANN), LockRequest({ANN})),
    (change_event(ANN, EVENT, name="A"), LockRequest({ANN}, event_ids={EVENT})),
    (cancel_event(ANN, EVENT), LockRequest({ANN}, event_ids={EVENT})),
    (end_event(ANN, EVENT), LockRequest({ANN}, event_ids={EVENT})),
    (create_ticket_type(ANN, EVENT), LockRequest({ANN}, event_ids={EVENT})),
    (change_ticket_type(ANN, STANDING, name="A"), LockRequest({ANN}, {STANDING})),
    (
        reserve(ANN, {STANDING: 1, SEATED: 2}),
        LockRequest({ANN}, {STANDING, SEATED}, wanted=[(ANN, STANDING), (ANN, SEATED)]),
    ),
    (
        set_quantity(ANN, STANDING, 3),
        LockRequest({ANN}, {STANDING}, wanted=[(ANN, STANDING)]),
    ),
    (release_item(ANN, STANDING), LockRequest({ANN})),
    (release_cart(ANN), LockRequest({ANN})),
    (extend_hold(ANN), LockRequest({ANN})),
    (
        check_out(ANN, EVENT, command_id=ORDER),
        LockRequest({ANN}, check_outs={ORDER: (ANN, EVENT)}),
    ),
    (
        record_payment(BOB, ORDER, 1, payment_id="P1"),
        LockRequest(order_ids={ORDER}, sender_ids={BOB}, payment_ids=[(ORDER, "P1")]),
    ),
    (
        record_refund(BOB, ORDER, 1, refund_id="R1"),
        LockRequest(order_ids={ORDER}, sender_ids={BOB}, refund_ids=[(ORDER, "R1")]),
    ),
    (
        release_tickets(BOB, ORDER, {STANDING: 1}),
        LockRequest(order_ids={ORDER}, sender_ids={BOB}),
    ),
    (cancel_order(ANN, ORDER), LockRequest(order_ids={ORDER}, sender_ids={ANN})),
    (extend_order(BOB, ORDER, FAR_AHEAD), LockRequest(order_ids={ORDER}, sender_ids={BOB})),
]


@pytest.mark.parametrize(("command", "request_"), CASES, ids=lambda case: getattr(case, "kind", ""))
def test_a_command_locks_the_rows_that_it_decides_on(
    command: Command, request_: LockRequest
) -> None:
    assert lock_request([command]) == request_


def test_a_payment_agent_is_locked_so_that_it_exists() -> None:
    create = create_event(ANN, payment_agent_id=BOB)
    change = change_event(ANN, EVENT, payment_agent_id=BOB)

    assert lock_request([create]) == LockRequest({ANN, BOB})
    assert lock_request([change]) == LockRequest({ANN, BOB}, event_ids={EVENT})


def test_there_is_a_case_for_each_command() -> None:
    assert {type(command) for command, _ in CASES} == set(get_args(Command))


def test_a_batch_locks_the_rows_of_all_its_commands() -> None:
    bob = new_id()

    request = lock_request([reserve(ANN, {STANDING: 1}), set_quantity(bob, SEATED, 1)])

    wanted = [(ANN, STANDING), (bob, SEATED)]
    assert request == LockRequest({ANN, bob}, {STANDING, SEATED}, wanted=wanted)


def test_what_orders_have_is_read_also_for_a_limit_that_is_set_now() -> None:
    request = lock_request([change_ticket_type(ANN, STANDING, max_per_user=4)])

    assert request == LockRequest({ANN}, {STANDING}, limited={STANDING})
