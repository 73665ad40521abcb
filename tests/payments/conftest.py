"""Fixtures of the payments tests: a gateway and a Stripe that do what a test says."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from payments.app import create_app
from payments.engine import Engine
from payments.settings import Settings
from payments.stripe.adapter import StripeCheckout
from tests.payments.gateway import ORDER_ID, ScriptedGateway, order_document
from tests.payments.serving import serving
from tests.payments.stripe.server import SECRET_KEY, StripeServer

PASSWORD = "correct horse battery"
WEBHOOK_SECRET = "whsec_of_the_tests"
EMAIL = "agent@example.org"


@pytest.fixture
def gateway() -> ScriptedGateway:
    """One order, and the payment agent's account."""
    return ScriptedGateway(orders={ORDER_ID: order_document()}, accounts={EMAIL: PASSWORD})


@pytest.fixture
async def gateway_url(gateway: ScriptedGateway) -> AsyncIterator[str]:
    async with serving(gateway.app) as url:
        yield url


@pytest.fixture
async def engine(gateway_url: str) -> AsyncIterator[Engine]:
    """Logged in."""
    engine = Engine(gateway_url, EMAIL, PASSWORD)
    task = asyncio.create_task(engine.stay_logged_in())
    async with asyncio.timeout(10):
        while not engine.is_logged_in:
            await asyncio.sleep(0.01)
    yield engine
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await engine.close()


@pytest.fixture
def stripe_server() -> StripeServer:
    return StripeServer()


@pytest.fixture
async def stripe_url(stripe_server: StripeServer) -> AsyncIterator[str]:
    async with serving(stripe_server.app) as url:
        yield url


@pytest.fixture
def stripe_settings(gateway_url: str, stripe_url: str) -> Settings:
    return Settings(
        gateway_url=gateway_url,
        payments_email=EMAIL,
        payments_password=PASSWORD,
        payments_return_url="https://tickets.example",
        stripe_secret_key=SECRET_KEY,
        stripe_webhook_secret=WEBHOOK_SECRET,
        stripe_api_base=stripe_url,
    )


@pytest.fixture
async def stripe_checkout(
    stripe_settings: Settings, engine: Engine
) -> AsyncIterator[StripeCheckout]:
    provider = StripeCheckout(stripe_settings, engine)
    yield provider
    await provider.close()


@dataclass
class Running:
    """The payments process, inside the process of the test."""

    url: str
    http: httpx.AsyncClient

    async def get(self, path: str, **how: Any) -> httpx.Response:
        return await self.http.get(self.url + path, **how)

    async def post(self, path: str, **how: Any) -> httpx.Response:
        return await self.http.post(self.url + path, **how)


async def run(settings: Settings) -> AsyncIterator[Running]:
    """Serve the payments app until it is logged in, and as long as a fixture lasts."""
    async with serving(create_app(settings)) as url, httpx.AsyncClient(trust_env=False) as http:
        running = Running(url, http)
        async with asyncio.timeout(10):
            while (await running.get("/health/ready")).status_code != 200:
                await asyncio.sleep(0.01)
        yield running


@pytest.fixture
async def with_stripe(stripe_settings: Settings) -> AsyncIterator[Running]:
    async for running in run(stripe_settings):
        yield running


@pytest.fixture
async def with_demo(gateway_url: str) -> AsyncIterator[Running]:
    settings = Settings(
        gateway_url=gateway_url,
        payments_email=EMAIL,
        payments_password=PASSWORD,
        payments_public_url="https://tickets.example",
        demo_payments=True,
    )
    async for running in run(settings):
        yield running


@pytest.fixture
async def without_provider(gateway_url: str) -> AsyncIterator[Running]:
    async for running in run(Settings(gateway_url=gateway_url)):
        yield running
