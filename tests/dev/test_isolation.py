"""Each test run has a database and a vhost of its own, and removes them."""

import asyncio
from collections.abc import Iterator

import aio_pika
import asyncpg
import pytest

import dev.services
from dev.addresses import last_part
from dev.servers.discovery import Unavailable
from dev.servers.rabbitmq import failure_to_connect, has_queue
from dev.services import Services, private_postgres, services
from shared.topology import COMMANDS_QUEUE


async def is_there(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url)
    except asyncpg.InvalidCatalogNameError:
        return False
    await connection.close()
    return True


async def declare_queue(url: str, name: str) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.declare_queue(name, durable=True)


async def test_two_runs_share_no_resource_and_remove_theirs() -> None:
    with services("tests") as one, services("tests") as other:
        assert one.database_url != other.database_url
        assert await is_there(one.database_url)
        assert failure_to_connect(one.broker_url) is None
    assert not await is_there(one.database_url)
    assert failure_to_connect(one.broker_url) is not None


async def test_a_named_database_and_vhost_are_used_as_they_are(
    own_services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", own_services.database_url)
    monkeypatch.setenv("HOLDFAST_BROKER_URL", own_services.broker_url)
    with services("up") as found:
        assert (found.database_url, found.broker_url) == (
            own_services.database_url,
            own_services.broker_url,
        )
    assert await is_there(own_services.database_url)


async def test_the_tests_make_their_databases_beside_a_named_one(
    own_services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", own_services.database_url)
    with services("tests") as found:
        assert last_part(found.database_url) != last_part(own_services.database_url)


class TestWhereNoVhostCanBeMade:
    @pytest.fixture
    def only_vhost(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
        with services("tests") as found:
            monkeypatch.setenv("HOLDFAST_BROKER_URL", found.broker_url)
            monkeypatch.setattr(dev.services, "create_vhost", lambda url, vhost: None)
            yield found.broker_url

    async def test_a_given_vhost_is_used_and_left_clean(self, only_vhost: str) -> None:
        with services("tests") as found:
            assert found.broker_url == only_vhost
            await declare_queue(only_vhost, COMMANDS_QUEUE)
        assert not has_queue(only_vhost, COMMANDS_QUEUE)

    async def test_a_vhost_that_serves_a_running_system_is_refused(self, only_vhost: str) -> None:
        await declare_queue(only_vhost, COMMANDS_QUEUE)
        refusal = pytest.raises(Unavailable, match=f"without the queue {COMMANDS_QUEUE}")
        with refusal, services("tests"):
            pass
        assert has_queue(only_vhost, COMMANDS_QUEUE)


async def test_a_private_postgres_keeps_its_port_and_what_was_committed_when_killed() -> None:
    try:
        with private_postgres() as server:
            connection = await asyncpg.connect(server.url)
            await connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
            asleep = asyncio.ensure_future(connection.execute("SELECT pg_sleep(60)"))
            await asyncio.sleep(0.1)
            server.kill()
            with pytest.raises((asyncpg.PostgresError, OSError)):
                await asleep
            server.restart()
            connection = await asyncpg.connect(server.url)
            assert await connection.fetchval("SELECT number FROM kept") == 1
            await connection.close()
    except Unavailable as reason:
        pytest.skip(str(reason))
