"""Many seeds, on several processes."""

import gc
import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

from reliability.simulation.run import Verdict, simulate

SEEDS_A_PORTION = 50


def simulate_all(seeds: range, jobs: int) -> Iterator[list[Verdict]]:
    """Yield the verdicts of the seeds as they are ready."""
    portions = [
        seeds[start : start + SEEDS_A_PORTION] for start in range(0, len(seeds), SEEDS_A_PORTION)
    ]
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _prepare)
    try:
        for done in as_completed([pool.submit(_simulate_portion, part) for part in portions]):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare() -> None:
    # The parent process ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()


def _simulate_portion(seeds: range) -> list[Verdict]:
    return [simulate(seed) for seed in seeds]
