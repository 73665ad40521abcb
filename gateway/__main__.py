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
"""How long requests may take to finish after the process received a stop signal."""
KEEP_ALIVE_SECONDS = 10
"""Longer than any Retry-After, so that clients retry on a connection that is still open."""
GC_THRESHOLDS = (5_000, 1_000, 1_000)
"""Collect the youngest generation, and the older ones almost never: with thousands of waiting
requests, a full collection stops the event loop for 250 ms and frees nothing."""


class Server(uvicorn.Server):
    """Ends long waits before it waits for requests to finish, and exits with code 0 on a signal."""

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        super().__init__(config)
        self._services = services

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # uvicorn's own handler raises the signal again after the shutdown: the exit code is not 0.
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
    # All objects that exist now live as long as the process: exempt them from collections.
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
