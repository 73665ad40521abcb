"""What a run does comes from its seed: the faults, their order, the commands, their payloads."""

import random
from dataclasses import replace

import pytest

from reliability.chaos.arguments import CANDIDATES, PROFILES, TARGETS, read_arguments
from reliability.chaos.checks.record import Record
from reliability.chaos.clients.queue_buyers import QueueBuyers
from reliability.chaos.clients.workload import TOTALS, Workload, registrations
from reliability.chaos.faults.catalogue import FAULTS
from reliability.chaos.schedule import schedule

ROWS_HELD_BY_FAULTS = {1, 2, 3, *range(5, 9), *range(10, 21), 26}
SHOP = Workload(tuple(f"0190f000-0000-7000-8000-{number:012d}" for number in range(len(TOTALS))))


def names(profile: str, seed: int, **missing: int) -> list[str]:
    return [fault.name for fault in schedule(PROFILES[profile], missing, random.Random(seed))]


def test_the_same_seed_gives_the_same_faults() -> None:
    assert names("short", 1) == names("short", 1) != names("short", 2)


def test_the_short_profile_has_every_row_of_the_table_that_a_fault_holds() -> None:
    rows = {row for name in PROFILES["short"].faults for row in FAULTS[name].rows}
    assert rows == ROWS_HELD_BY_FAULTS


def test_the_long_profile_has_them_too() -> None:
    profile = PROFILES["long"]
    aimed_at = {fault.name for faults in CANDIDATES.values() for fault in faults}
    assert {*profile.faults, *profile.once, *aimed_at} >= set(PROFILES["short"].faults)


def test_what_destroys_what_was_accepted_comes_last() -> None:
    quiet = [FAULTS[name].quiet for name in names("short", 3)]
    assert quiet == sorted(quiet)


def test_targets_ask_for_the_faults_that_bring_them_nearer() -> None:
    profile = replace(PROFILES["long"], faults=(), once=())
    drawn = schedule(profile, {"lost-commits": 30, "broker-restarts": 3}, random.Random(1))
    assert len(drawn) == 33
    allowed = {*CANDIDATES["lost-commits"], *CANDIDATES["broker-restarts"]}
    assert set(drawn) <= allowed


def test_the_long_profile_has_the_goals_of_the_project() -> None:
    long = PROFILES["long"]
    assert long.commands == 1_000_000
    assert [long.targets[target] for target in TARGETS] == [1_000, 100, 300, 1_000]


def asked_for(seed: int) -> list[tuple[str, str, object]]:
    """What the buyers at the queue ask for in their first messages."""
    rng = random.Random(seed)
    users = [each["user_id"] for each in registrations(rng, 10)]
    record = Record()
    buyers = QueueBuyers(users, SHOP, None, None, record, rng)
    for _ in range(5):
        buyers._mixed(buyers._next_commands())
    return [(each.user_id, each.kind, each.fields) for each in record.entries.values()]


def test_the_same_seed_gives_the_same_commands() -> None:
    assert asked_for(1) == asked_for(1) != asked_for(2)


def test_arguments_change_a_profile() -> None:
    options = read_arguments(
        ["--faults", "worker-kill,lost-commit", "--commands", "7", "--seed", "9"]
    )
    assert options.profile.faults == ("worker-kill", "lost-commit")
    assert (options.profile.commands, options.profile.targets, options.seed) == (7, {}, 9)
    options = read_arguments(["--worker-kills", "3"])
    assert options.profile.targets == {"worker-kills": 3}


def test_any_profile_may_await_each_recovery() -> None:
    assert not read_arguments(["--profile", "long"]).profile.awaits_recovery
    assert read_arguments(["--profile", "long", "--awaits-recovery"]).profile.awaits_recovery


def test_a_fault_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_arguments(["--faults", "earthquake"])
    assert "there is no fault earthquake" in capsys.readouterr().err


def test_a_run_by_the_clock_needs_no_number_of_commands() -> None:
    profile = read_arguments(["--minutes", "1.5"]).profile
    assert (profile.strike_seconds, profile.commands) == (90, 0)
    assert profile.faults == PROFILES["short"].faults
