"""An open loop: what is due is due, however slow the server is."""

import pytest
from loadtest.schedule import Schedule


def test_requests_are_due_at_a_fixed_rate() -> None:
    schedule = Schedule(10, start=100.0)
    assert [schedule.take(100.35) for _ in range(5)] == [
        pytest.approx(100.0),
        pytest.approx(100.1),
        pytest.approx(100.2),
        pytest.approx(100.3),
        None,
    ]
    assert schedule.next_due(100.35) == pytest.approx(100.4)


def test_requests_that_nobody_could_send_stay_due_at_their_time() -> None:
    schedule = Schedule(10, start=0.0)
    assert schedule.take(0.0) == 0.0
    # For five seconds the server took nothing.
    assert schedule.due_by(5.0) == 51
    assert schedule.take(5.0) == pytest.approx(0.1)


def test_without_a_rate_a_request_is_due_when_it_can_be_sent() -> None:
    schedule = Schedule(None, start=0.0)
    assert [schedule.take(3.0), schedule.take(4.5)] == [3.0, 4.5]
    assert schedule.due_by(9.0) == 2


def test_nothing_is_due_before_the_start() -> None:
    assert Schedule(1, start=10.0).take(9.9) is None
    assert Schedule(1, start=10.0).due_by(9.9) == 0
