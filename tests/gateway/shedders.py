"""A load shedder with what it asks: a publisher that is not connected, and a watch that finds
nothing."""

from gateway.messaging.submit import Publisher
from gateway.read_model.outcome_poller import OutcomePoller, OutcomeRow
from gateway.server.load_shedding import LoadShedder
from gateway.telemetry import Metrics


def a_shedder(metrics: Metrics | None = None) -> LoadShedder:
    metrics = metrics or Metrics()
    outcome_poller = OutcomePoller(_find, metrics)
    return LoadShedder(metrics, Publisher("", outcome_poller, metrics), outcome_poller)


async def _find(command_ids: list[str]) -> list[OutcomeRow]:
    return []
