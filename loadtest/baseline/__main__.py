"""Starts the baseline: creates its tables, and serves until a stop signal."""

import argparse
import asyncio

import uvicorn

from loadtest.baseline.app import create_app
from loadtest.baseline.storage import create_engine, create_schema


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtest.baseline", description=__doc__)
    parser.add_argument("--database-url", required=True, help="uses only the schema baseline")
    parser.add_argument("--jwt-secret", required=True)
    parser.add_argument("--port", type=int, default=8100)
    found = parser.parse_args()
    asyncio.run(create_schema(found.database_url))
    uvicorn.run(
        create_app(create_engine(found.database_url), found.jwt_secret),
        host="127.0.0.1",
        port=found.port,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    main()
