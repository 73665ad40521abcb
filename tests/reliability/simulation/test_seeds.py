"""Seeds of the simulation: the worker keeps every invariant, and a seed is always the same run."""

import os
import subprocess
import sys

import pytest

from reliability.simulation.__main__ import report
from reliability.simulation.run import Verdict, simulate

SEEDS = range(300)
SEEDS_A_TEST = 50


@pytest.mark.parametrize("first", range(SEEDS.start, SEEDS.stop, SEEDS_A_TEST))
def test_no_seed_breaks_an_invariant(first: int) -> None:
    for seed in range(first, first + SEEDS_A_TEST):
        violations = simulate(seed).violations
        assert not violations, f"python -m reliability.simulation --seed {seed} --trace"


def test_a_seed_replays_in_another_process_whatever_the_order_of_its_sets() -> None:
    print_digests = (
        "from reliability.simulation.run import simulate;"
        "print([(v.digest, v.trace) for v in (simulate(s, trace=True) for s in range(10))])"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", print_digests],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
        ).stdout
        for hash_seed in ("1", "2")
    }

    assert len(told) == 1


def test_the_command_says_that_all_is_well() -> None:
    found = simulation("--seeds", "20", "--first", "1000", "--jobs", "1")

    assert found.returncode == 0
    assert "20 seeds" in found.stdout
    assert "0 seeds failing" in found.stdout


def test_one_seed_prints_its_events() -> None:
    found = simulation("--seed", "0", "--trace")

    assert found.returncode == 0
    assert "worker 0" in found.stdout
    assert "no violation" in found.stdout


def test_a_failing_seed_is_reported_with_the_command_that_replays_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = report(Verdict(seed=7, violations=["I1: oversold"]))

    assert code == 1
    told = capsys.readouterr().out
    assert "python -m reliability.simulation --seed 7 --trace" in told
    assert "I1: oversold" in told


def simulation(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "reliability.simulation", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)
