"""Starts the gateway: settings, app, server."""

import gc
import logging
import signal
import socket
from types import FrameType

import uvicorn

from gateway.app import create_app
from gateway.services import Services
from gateway.settings import Settings
from shared.environment import read_settings

GRACE_SECONDS = 10
"""How long requests may take to finish after the process was told to stop."""
KEEP_ALIVE_SECONDS = 10
"""Longer than any Retry-After, so that clients retry on a connection that is still open."""
GC_THRESHOLDS = (5_000, 1_000, 1_000)
"""Collect the youngest generation, almost never the older ones: thousands of waiting requests
are old, looking at them stops the loop for a quarter of a second, and it finds nothing."""


class Server(uvicorn.Server):
    """Ends long waits before it waits for requests to finish, and exits with code 0 on a signal."""

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        super().__init__(config)
        self._services = services

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # uvicorn's own raises the signal again after the shutdown, which exits with a failure.
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._services.outcome_poller.close()
        await super().shutdown(sockets)


def main() -> None:
    settings = read_settings(Settings)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)
    app = create_app(settings)
    services: Services = app.state.services
    # What exists by now lives as long as the process: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        log_config=None,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    Server(config, services).run()


if __name__ == "__main__":
    main()
