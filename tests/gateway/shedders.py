"""A load shedder with what it asks: a publisher that is not connected, and a watch that finds
nothing."""

from gateway.awaiting import Recorded, Watch
from gateway.connections.load_shedding import LoadShedder
from gateway.submit import Publisher
from gateway.telemetry import Metrics


def a_shedder(metrics: Metrics | None = None) -> LoadShedder:
    metrics = metrics or Metrics()
    watch = Watch(_find, metrics)
    return LoadShedder(metrics, Publisher("", watch, metrics), watch)


async def _find(command_ids: list[str]) -> list[Recorded]:
    return []
