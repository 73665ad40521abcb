"""Starts the payments process: settings, app, server."""

import logging
from types import FrameType

import uvicorn

from payments.app import create_app
from payments.settings import Settings
from shared.environment import read_settings

GRACE_SECONDS = 15
"""As long as a request to the engine may take: a report that is being recorded is finished."""
MAX_CONCURRENT_REQUESTS = 200
"""Beyond it the server answers 503; a provider repeats its report."""


class Server(uvicorn.Server):
    """Exits with code 0: uvicorn would raise the signal again after it has shut down."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True


def main() -> None:
    settings = read_settings(Settings)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    # They log every request at this level, with the URL of the order.
    for library in ("httpx", "stripe"):
        logging.getLogger(library).setLevel(logging.WARNING)
    config = uvicorn.Config(
        create_app(settings),
        host=settings.payments_host,
        port=settings.payments_port,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        log_level="warning",
        limit_concurrency=MAX_CONCURRENT_REQUESTS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    Server(config).run()


if __name__ == "__main__":
    main()
