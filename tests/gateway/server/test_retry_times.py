"""Which clients retry too early; a gateway tells users apart that share an address."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
import uvicorn

from dev.addresses import free_port
from gateway.app import create_app
from gateway.server import retry_times
from gateway.server.retry_times import RetryTimes
from gateway.services import Services
from shared.ids import new_id
from tests.gateway.http.test_openapi import SETTINGS
from tests.gateway.overloads import make_busy
from tests.gateway.waiting_server import eventually

AT_ONCE_SECONDS = 0.5


def test_a_client_is_early_until_the_told_instant():
    times = RetryTimes()
    assert not times.is_early("a", 10.0)
    times.tell("a", 12.0)
    assert times.is_early("a", 11.9)
    assert not times.is_early("a", 12.0)
    assert not times.is_early("b", 11.9)
    times.tell("a", 15.0)
    assert times.is_early("a", 14.9)


def test_the_clients_refused_least_recently_are_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retry_times, "MAX_CLIENTS", 2)
    times = RetryTimes()
    for client in ("a", "b", "a", "c"):
        times.tell(client, 20.0)
    assert [times.is_early(client, 10.0) for client in "abc"] == [True, False, True]


@dataclass
class Gateway:
    """A gateway on a socket that is overloaded, and has time for one delayed refusal a second."""

    services: Services
    http: httpx.AsyncClient

    async def refused_at_once(self, authorization: str | None = None) -> bool:
        headers = {"Authorization": authorization} if authorization else {}
        started = time.monotonic()
        response = await self.http.get("/v1/cart", headers=headers)
        assert response.status_code == 503
        return time.monotonic() - started < AT_ONCE_SECONDS

    def token(self) -> str:
        return f"Bearer {self.services.tokens.issue(new_id())}"


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    app = create_app(SETTINGS)
    services: Services = app.state.services
    make_busy(services.overload)
    services.overload.refusals_per_second = 1
    port = free_port()
    # Without its lifespan the app measures no load: it stays overloaded.
    config = uvicorn.Config(app, port=port, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        yield Gateway(services, http)
    server.should_exit = True
    await serving


async def test_users_behind_one_address_are_told_apart(gateway: Gateway):
    ada, bob = gateway.token(), gateway.token()
    assert await gateway.refused_at_once(ada)
    assert not await gateway.refused_at_once(ada)
    assert await gateway.refused_at_once(bob)


async def test_without_a_valid_token_the_address_counts(gateway: Gateway):
    assert await gateway.refused_at_once()
    assert not await gateway.refused_at_once("Bearer of another name")
    assert await gateway.refused_at_once(gateway.token())
