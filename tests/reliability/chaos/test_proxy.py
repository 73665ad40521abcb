"""The proxy fails as it is told to, and passes on all that it is not told to keep."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from dev.addresses import LOOPBACK
from reliability.chaos.system.proxy import Proxy
from shared.ids import new_id

MOMENT_SECONDS = 0.15
ENOUGH_BYTES = 3_000_000

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.write(b"farewell")
        await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(echo, LOOPBACK, 0)
    async with Proxy(LOOPBACK, server.sockets[0].getsockname()[1]) as proxy:
        yield proxy
    server.close()


@pytest.fixture
async def streams(proxy: Proxy) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
    yield reader, writer
    writer.transport.abort()


async def says(streams: Streams, said: bytes) -> bytes:
    streams[1].write(said)
    return await streams[0].readexactly(len(said))


async def hears_nothing(streams: Streams) -> bool:
    try:
        async with asyncio.timeout(MOMENT_SECONDS):
            await streams[0].read(1)
    except TimeoutError:
        return True
    return False


async def test_it_passes_everything_on(streams: Streams) -> None:
    assert await says(streams, b"hello") == b"hello"
    much = bytes(range(256)) * (ENOUGH_BYTES // 256)
    assert await says(streams, much) == much


async def test_cut_it_resets_both_sides(proxy: Proxy, streams: Streams) -> None:
    await says(streams, b"hello")
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        await streams[0].readexactly(1)
    assert proxy.connections == set()


async def test_stalled_it_keeps_everything_and_loses_nothing(
    proxy: Proxy, streams: Streams
) -> None:
    await says(streams, b"hello")
    proxy.stall()
    streams[1].write(b"one ")
    assert await hears_nothing(streams)
    streams[1].write(b"two")
    proxy.flow()
    assert await streams[0].readexactly(7) == b"one two"


async def test_delayed_all_comes_later_and_in_order(proxy: Proxy, streams: Streams) -> None:
    proxy.delay_seconds = MOMENT_SECONDS
    loop = asyncio.get_running_loop()
    started = loop.time()
    for number in range(50):
        streams[1].write(b"%03d" % number)
        await asyncio.sleep(0.001)
    proxy.delay_seconds = 0  # what comes now may not overtake
    streams[1].write(b"end")
    expected = b"".join(b"%03d" % number for number in range(50)) + b"end"
    assert await streams[0].readexactly(len(expected)) == expected
    assert loop.time() - started >= MOMENT_SECONDS


async def test_swallowed_connections_are_dead_and_new_ones_live(
    proxy: Proxy, streams: Streams
) -> None:
    await says(streams, b"hello")
    proxy.swallow()
    streams[1].write(b"anybody?")
    assert await hears_nothing(streams)
    reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
    assert await says((reader, writer), b"hello") == b"hello"
    writer.transport.abort()
    proxy.forget_the_dead()
    with pytest.raises(ConnectionResetError):
        await streams[0].readexactly(1)


async def test_half_closed_the_server_hears_the_end_and_can_still_answer(
    proxy: Proxy, streams: Streams
) -> None:
    await says(streams, b"hello")
    proxy.half_close()
    assert await streams[0].readexactly(8) == b"farewell"


@pytest.fixture
async def before_postgres(database_url: str) -> AsyncIterator[tuple[Proxy, str]]:
    address = urlsplit(database_url)
    assert address.hostname is not None
    async with Proxy(address.hostname, address.port or 5432) as proxy:
        credentials = address.netloc.rpartition("@")[0]
        netloc = f"{credentials}@{LOOPBACK}:{proxy.port}"
        yield proxy, address._replace(netloc=netloc).geturl()


async def register(connection: asyncpg.Connection, user_id: str) -> None:
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO booking.users VALUES ($1::text::uuid, $1::text, '$argon2id$', now())",
            user_id,
        )


async def test_a_lost_commit_is_committed_and_not_answered(
    before_postgres: tuple[Proxy, str], database_url: str
) -> None:
    proxy, url = before_postgres
    connection = await asyncpg.connect(url)
    await register(connection, new_id())
    proxy.commits_to_lose = 1
    user_id = new_id()
    with pytest.raises((asyncpg.PostgresConnectionError, ConnectionError)):
        await register(connection, user_id)
    assert proxy.commits_lost == 1
    assert await is_registered(database_url, user_id)


async def test_a_held_commit_is_sent_and_its_answer_kept(
    before_postgres: tuple[Proxy, str], database_url: str
) -> None:
    proxy, url = before_postgres
    connection = await asyncpg.connect(url)
    proxy.commits_to_hold = 1
    user_id = new_id()
    registering = asyncio.create_task(register(connection, user_id))
    await asyncio.wait_for(proxy.commit_held.wait(), 5)
    await asyncio.sleep(MOMENT_SECONDS)
    assert not registering.done()
    assert await is_registered(database_url, user_id)
    proxy.forget_the_dead()
    with pytest.raises((asyncpg.PostgresConnectionError, ConnectionError)):
        await registering


async def test_a_server_that_was_asked_for_keepalives_notices_a_dead_client(
    before_postgres: tuple[Proxy, str], database_url: str
) -> None:
    proxy, url = before_postgres
    names = {name: f"{new_id()}" for name in ("asked", "not asked")}
    keepalives = {f"tcp_keepalives_{name}": "1" for name in ("idle", "interval", "count")}
    clients = [
        await asyncpg.connect(url, server_settings={"application_name": names[name], **settings})
        for name, settings in (("asked", keepalives), ("not asked", {}))
    ]
    watcher = await asyncpg.connect(database_url)

    async def connected() -> list[str]:
        rows = await watcher.fetch("SELECT application_name FROM pg_stat_activity")
        return [name for name, id in names.items() if id in {row[0] for row in rows}]

    assert await connected() == ["asked", "not asked"]
    proxy.swallow()
    await asyncio.sleep(1)
    assert await connected() == ["asked", "not asked"]
    await asyncio.sleep(1.5)
    assert await connected() == ["not asked"]
    for client in (*clients, watcher):
        client.terminate()


async def is_registered(database_url: str, user_id: str) -> bool:
    connection = await asyncpg.connect(database_url)
    found = await connection.fetchval(
        "SELECT count(*) FROM booking.users WHERE id = $1::text::uuid", user_id
    )
    await connection.close()
    return bool(found)
