"""Starts the gateway: settings, app, server."""

import gc
import logging
import signal
import socket
from functools import partial
from types import FrameType

import uvicorn

from gateway.app import create_app
from gateway.routes.catalogue import read_page
from gateway.server.fast_path import FastPath
from gateway.server.load_shedding import LoadShedder
from gateway.server.repeated_reads import RepeatedReads, recognising
from gateway.server.slow_clients import SlowClients
from gateway.services import Services
from gateway.settings import Settings
from shared.environment import read_settings

GRACE_SECONDS = 10
"""How long requests may take to finish after the process was told to stop."""
KEEP_ALIVE_SECONDS = 10
"""Longer than anybody is told to wait before they come again: they come on a live connection."""
GC_THRESHOLDS = (5_000, 1_000, 1_000)
"""Almost never anything but a look at the newest objects: thousands of requests that wait are old
by then, a look at them stops the loop for a quarter of a second, and it finds nothing."""


class Server(uvicorn.Server):
    """Stops with code 0, and ends long waits first: nobody holds up the others' farewell."""

    def __init__(self, config: uvicorn.Config, services: Services, shedder: LoadShedder) -> None:
        super().__init__(config)
        self._services = services
        self._shedder = shedder
        self._slow_clients = SlowClients()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._shedder.start(self.server_state.tasks)
        self._slow_clients.start(self.server_state.connections)
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # uvicorn's own would send the signal again at the end, as if it had not been obeyed.
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._services.outcome_poller.close()
        await super().shutdown(sockets)
        self._shedder.stop()
        self._slow_clients.stop()


def main() -> None:
    settings = read_settings(Settings)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)
    app = create_app(settings)
    services: Services = app.state.services
    shedder = LoadShedder(services.metrics, services.publisher, services.outcome_poller)
    reads = RepeatedReads(partial(read_page, services), services.metrics.request_times)
    fast_path = FastPath(app, services.metrics.request_times, shedder)
    # What exists by now lives as long as the process: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    config = uvicorn.Config(
        fast_path,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=recognising(reads, shedder),
        access_log=False,
        server_header=False,
        proxy_headers=False,
        log_config=None,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    Server(config, services, shedder).run()


if __name__ == "__main__":
    main()
