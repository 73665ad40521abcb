"""Finds a Postgres or starts one, and makes and drops databases on it."""

from contextlib import ExitStack

import asyncpg

from dev.addresses import LOOPBACK, last_part, shown, with_last_part
from dev.home import MakeHome
from dev.progress import slowly
from dev.servers.discovery import Server, Unavailable, first_found, local_server, named_server
from dev.servers.private_postgres import PrivatePostgres, configured_settings
from dev.waiting import run_blocking, wait_while

URL_VARIABLE = "HOLDFAST_DATABASE_URL"
IMAGE = "postgres:17-alpine"
PORT = 5432
MAINTENANCE_DATABASE = "postgres"
LOCAL_URL = f"postgresql://postgres@{LOOPBACK}:{PORT}/{MAINTENANCE_DATABASE}"
CONNECT_SECONDS = 5.0
CONTAINER_SECONDS = 90.0
NEEDED = (
    "Postgres is neither running nor installed here: install PostgreSQL or Docker, "
    f"or name a server in {URL_VARIABLE} (postgresql://user:password@host:port/name)."
)
CONNECT_FAILURES: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    ValueError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
)


def find_postgres(home: MakeHome, stack: ExitStack) -> Server:
    """Find a server or start one, which `stack` stops. Raises `Unavailable`."""
    return first_found(
        "postgres",
        {
            "environment": lambda: named_server(URL_VARIABLE, _failure_to_connect),
            "local": lambda: local_server(LOCAL_URL, _failure_to_connect),
            "docker": lambda: _in_docker(home, stack),
            "private": lambda: _private(home, stack),
        },
        otherwise=NEEDED,
    )


def _in_docker(home: MakeHome, stack: ExitStack) -> Server | None:
    # Imported here because it takes half a second and is rarely needed.
    from dev.servers.containers import docker_answers, start_container

    if not docker_answers():
        return None
    own = home()
    with slowly(f"postgres: starting {IMAGE} in Docker"):
        host, port = start_container(
            own,
            stack,
            name="postgres",
            image=IMAGE,
            port=PORT,
            environment={"POSTGRES_PASSWORD": own.password},
            data="/var/lib/postgresql/data",
            # Not as a file: the Docker daemon may run on another machine.
            arguments=[f"--{name}={value}" for name, value in configured_settings().items()],
        )
        url = f"postgresql://postgres:{own.password}@{host}:{port}/{MAINTENANCE_DATABASE}"
        wait_while(
            lambda: _failure_to_connect(url),
            CONTAINER_SECONDS,
            f"{IMAGE} in Docker does not answer",
        )
    return Server(url, f"{IMAGE} in Docker at {shown(url)}", "ours")


def _private(home: MakeHome, stack: ExitStack) -> Server:
    server = PrivatePostgres(home())
    stack.callback(server.stop)
    with slowly("postgres: starting a private server"):
        server.start()
    return Server(server.url, f"started at {shown(server.url)}", "ours")


def create_database(url: str, name: str) -> None:
    """Create the database unless it exists; `url` names the server and the user.

    Raises `Unavailable` if the user may not create it.
    """
    run_blocking(_create(url, name))


def drop_database(url: str, name: str) -> None:
    """Drop the database, and disconnect its clients."""
    run_blocking(_execute(url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


async def _create(url: str, name: str) -> None:
    # If the database exists, its user needs no right to create one.
    try:
        await (await asyncpg.connect(with_last_part(url, name), timeout=CONNECT_SECONDS)).close()
    except asyncpg.InvalidCatalogNameError:
        pass
    else:
        return
    try:
        await _execute(url, f'CREATE DATABASE "{name}" TEMPLATE template0')
    except asyncpg.DuplicateDatabaseError:
        pass
    except asyncpg.InsufficientPrivilegeError as refused:
        raise Unavailable(
            f"there is no database {name} at {shown(url)}, and its user may not create it."
        ) from refused


async def _execute(url: str, statement: str) -> None:
    connection = await _connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _connect(url: str) -> asyncpg.Connection:
    """Connect; through the maintenance database if the named one does not exist yet."""
    try:
        return await asyncpg.connect(url, timeout=CONNECT_SECONDS)
    except asyncpg.InvalidCatalogNameError:
        if last_part(url) == MAINTENANCE_DATABASE:
            raise
        return await asyncpg.connect(
            with_last_part(url, MAINTENANCE_DATABASE), timeout=CONNECT_SECONDS
        )


def _failure_to_connect(url: str) -> str | None:
    async def attempt() -> None:
        await (await _connect(url)).close()

    try:
        run_blocking(attempt())
    except CONNECT_FAILURES as failure:
        return str(failure) or type(failure).__name__
    return None
