"""Draws the faults of a round and their order from the seed."""

import random
from collections.abc import Mapping

from reliability.chaos.arguments import CANDIDATES, Profile
from reliability.chaos.faults.catalogue import FAULTS
from reliability.chaos.faults.context import Fault


def schedule(
    profile: Profile, missing: Mapping[str, int], rng: random.Random, *, first: bool = True
) -> list[Fault]:
    """The faults of the next round. `missing`: how far each target still is."""
    drawn = [FAULTS[name] for name in (*profile.faults, *(profile.once if first else ()))]
    total = sum(missing.values())
    share = min(1.0, profile.faults_a_round / total) if total else 0.0
    for target, number in missing.items():
        drawn += rng.choices(CANDIDATES[target], k=max(1, round(number * share)))
    rng.shuffle(drawn)
    return sorted(drawn, key=lambda fault: fault.quiet)
