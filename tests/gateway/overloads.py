"""An `Overload` whose measurements a test sets."""

from dataclasses import dataclass

from gateway.server import overload
from gateway.server.overload import Overload
from gateway.telemetry import Metrics


@dataclass
class Load:
    """What the gateway has to do."""

    in_flight: int = 0
    idle: int = 0


def an_overload(load: Load | None = None, metrics: Metrics | None = None) -> Overload:
    load = load or Load()
    return Overload(
        metrics or Metrics(),
        in_flight=lambda: load.in_flight,
        idle=lambda: load.idle,
    )


def make_busy(measured: Overload) -> None:
    """Let the process be overloaded."""
    measured.lag_seconds = overload.MAX_LAG_SECONDS * 2
    measured.in_progress = overload.MAX_IN_PROGRESS
