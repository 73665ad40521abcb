"""A recovery is measured from its fault's end, and bounded by I14 whatever comes in between."""

from dataclasses import dataclass, field

import pytest

from reliability.chaos.checks.record import Entry
from reliability.chaos.checks.recovery import Recoveries


@dataclass
class Clock:
    """Faults and successes at instants of our choice; I14 allows 10 seconds."""

    now: float = 0.0
    recoveries: Recoveries = field(default_factory=Recoveries)

    def begins(self, at: float) -> None:
        self.now = at
        self.recoveries.fault_begins()

    def ends(self, at: float, within_seconds: float = 10, fault: str = "worker") -> None:
        self.now = at
        self.recoveries.fault_ends(fault, within_seconds)

    def met_nobody(self, at: float) -> None:
        self.now = at
        self.recoveries.fault_hit_no_target()

    def succeeds(self, at: float, begun_at: float) -> None:
        self.now = at
        self.recoveries.succeeded(Entry("ann", "release_cart", {}, "http", began_at=begun_at))

    @property
    def too_slow(self) -> int:
        return len(self.recoveries.too_slow())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("reliability.chaos.checks.recovery.time.monotonic", lambda: clock.now)
    return clock


@pytest.mark.parametrize(("success_at", "too_slow"), [(10, 0), (11, 1)])
def test_a_new_command_has_to_succeed_within_its_seconds(
    clock: Clock, success_at: float, too_slow: int
) -> None:
    clock.ends(0)
    clock.succeeds(success_at, begun_at=1)
    assert clock.too_slow == too_slow


def test_a_command_that_was_begun_before_says_nothing(clock: Clock) -> None:
    clock.ends(5)
    clock.succeeds(6, begun_at=4)
    assert clock.too_slow == 1
    clock.succeeds(7, begun_at=6)
    assert clock.too_slow == 0


@pytest.mark.parametrize(("success_at", "too_slow"), [(14, 0), (16, 1)])
def test_one_that_is_disturbed_counts_from_the_end_of_the_last_fault(
    clock: Clock, success_at: float, too_slow: int
) -> None:
    """The other met nobody, so it has no recovery of its own."""
    clock.ends(0)
    clock.begins(2)
    clock.met_nobody(5)
    clock.succeeds(success_at, begun_at=1)
    assert clock.too_slow == too_slow


def test_one_that_is_disturbed_too_late_was_too_slow_before(clock: Clock) -> None:
    clock.ends(0)
    clock.begins(11)
    clock.ends(12)
    clock.succeeds(13, begun_at=12)
    assert clock.too_slow == 1


@pytest.mark.parametrize(("success_at", "too_slow"), [(18, 0), (21, 2)])
def test_it_may_take_what_the_slowest_fault_before_it_may(
    clock: Clock, success_at: float, too_slow: int
) -> None:
    clock.ends(0)
    clock.begins(1)
    clock.ends(5, within_seconds=15)
    clock.succeeds(success_at, begun_at=6)
    assert clock.too_slow == too_slow


def test_what_a_fault_takes_is_nobodys_delay(clock: Clock) -> None:
    clock.ends(0)
    clock.begins(1)  # it stands still for half a minute
    clock.succeeds(31, begun_at=0.5)
    assert clock.too_slow == 0


def test_the_figures_say_how_many_they_leave_out(clock: Clock) -> None:
    for fault in ("worker", "broker"):
        clock.ends(0, fault=fault)
    clock.begins(1)
    clock.ends(2)
    clock.succeeds(3, begun_at=2)
    assert clock.recoveries.figures() == {
        "broker": {"number": 0, "disturbed": 1},
        "worker": {"number": 1, "disturbed": 1, "median": 1, "longest": 1},
    }
