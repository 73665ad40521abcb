"""An open loop: what is due is due, however slow the server is."""

import pytest

from loadtest.measure.schedule import Schedule


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


def test_requests_without_a_free_client_stay_due_at_their_time() -> None:
    schedule = Schedule(10, start=0.0)
    assert schedule.take(0.0) == 0.0
    # For five seconds the server took nothing.
    assert schedule.late(5.0) == 50
    assert schedule.take(5.0) == pytest.approx(0.1)


def test_without_a_rate_a_request_is_due_when_it_can_be_sent() -> None:
    schedule = Schedule(None, start=0.0)
    assert [schedule.take(3.0), schedule.take(4.5)] == [3.0, 4.5]
    assert schedule.late(9.0) == 0


def test_nothing_is_due_before_the_start() -> None:
    assert Schedule(1, start=10.0).take(9.9) is None
    assert Schedule(1, start=10.0).late(9.9) == 0


def test_requests_due_before_the_end_are_sent_after_it() -> None:
    schedule = Schedule(10, start=0.0)
    schedule.end(0.25)
    assert schedule.late(9.0) == 3
    assert [schedule.take(9.0) for _ in range(4)] == [
        pytest.approx(0.0),
        pytest.approx(0.1),
        pytest.approx(0.2),
        None,
    ]
    assert schedule.late(9.0) == 0


def test_without_a_rate_nothing_is_due_after_the_end() -> None:
    schedule = Schedule(None, start=0.0)
    schedule.end(2.0)
    assert schedule.take(2.0) is None


@pytest.mark.parametrize("rate", [3, 7, 10, 49, 200, 333.3])
def test_nothing_stays_late_once_all_that_is_due_was_taken(rate: float) -> None:
    for start in (0.0, 0.1, 1234.567):
        schedule = Schedule(rate, start)
        schedule.end(start + 8)
        while schedule.take(start + 9) is not None:
            pass
        assert schedule.late(start + 9) == 0
        assert schedule.taken == pytest.approx(8 * rate, abs=1)
