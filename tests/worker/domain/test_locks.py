"""What each command locks."""

from typing import get_args

import pytest

from shared.commands import Command
from shared.ids import new_id
from tests.builders import (
    cancel_event,
    change_event,
    change_ticket_type,
    create_event,
    create_ticket_type,
    end_event,
    extend_hold,
    register_user,
    release_cart,
    release_item,
    reserve,
    set_quantity,
)
from worker.domain.locks import LockRequest, lock_request

ANN, BOB = new_id(), new_id()
EVENT, STANDING, SEATED = new_id(), new_id(), new_id()

CASES = [
    (register_user(ANN, email="Ann@Example.com"), LockRequest({ANN}, emails={"ann@example.com"})),
    (create_event(ANN), LockRequest({ANN})),
    (change_event(ANN, EVENT, name="A"), LockRequest({ANN}, event_ids={EVENT})),
    (cancel_event(ANN, EVENT), LockRequest({ANN}, event_ids={EVENT})),
    (end_event(ANN, EVENT), LockRequest({ANN}, event_ids={EVENT})),
    (create_ticket_type(ANN, EVENT), LockRequest({ANN}, event_ids={EVENT})),
    (change_ticket_type(ANN, STANDING, name="A"), LockRequest({ANN}, {STANDING})),
    (reserve(ANN, {STANDING: 1, SEATED: 2}), LockRequest({ANN}, {STANDING, SEATED})),
    (set_quantity(ANN, STANDING, 3), LockRequest({ANN}, {STANDING})),
    (release_item(ANN, STANDING), LockRequest({ANN})),
    (release_cart(ANN), LockRequest({ANN})),
    (extend_hold(ANN), LockRequest({ANN})),
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

    assert request == LockRequest({ANN, bob}, {STANDING, SEATED})
