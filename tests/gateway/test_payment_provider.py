"""The gateway's client of the payments process: each of its answers, and none."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dev.addresses import free_port
from gateway.http.problems import ProblemError
from gateway.payment_provider import NONE, PaymentProvider
from shared.ids import new_id
from tests.payments.serving import serving

ORDER_ID = new_id()
SESSION = {"url": "https://pay.example/1", "expires_at": "2026-12-01T19:00:00Z"}


@dataclass
class Process:
    """Answers as the payments process does, or as a test says."""

    url: str = ""
    status: int = 200
    document: Any = field(default_factory=lambda: SESSION)
    asked: list[Any] = field(default_factory=list)

    async def sessions(self, request: Request) -> Response:
        self.asked.append(await request.json())
        return JSONResponse(self.document, self.status)

    async def provider(self, request: Request) -> Response:
        return JSONResponse(self.document, self.status)


@pytest.fixture
async def process() -> AsyncIterator[Process]:
    process = Process()
    routes = [
        Route("/sessions", process.sessions, methods=["POST"]),
        Route("/provider", process.provider),
    ]
    async with serving(Starlette(routes=routes)) as process.url:
        yield process


@pytest.fixture
async def client(process: Process) -> AsyncIterator[PaymentProvider]:
    client = PaymentProvider(process.url)
    yield client
    await client.close()


async def code_of_session(client: PaymentProvider) -> str:
    with pytest.raises(ProblemError) as problem:
        await client.open_session(ORDER_ID)
    return problem.value.code


async def test_a_session_is_asked_for_by_the_order_alone(
    client: PaymentProvider, process: Process
) -> None:
    assert (await client.open_session(ORDER_ID)).url == SESSION["url"]
    assert process.asked == [{"order_id": ORDER_ID}]


@pytest.mark.parametrize(
    ("status", "document", "code"),
    [
        (409, {"code": "no_online_payment"}, "no_online_payment"),
        (409, {"code": "payment_overdue"}, "payment_overdue"),
        # The buyer has the order: so its payment agent is somebody else.
        (404, {"code": "order_not_found"}, "no_online_payment"),
        # Paid, or expired, since the gateway looked.
        (409, {"code": "order_not_pending", "order_status": "paid"}, "order_not_pending"),
        (503, {"code": "payments_unavailable"}, "payments_unavailable"),
        (422, {"code": "invalid_request"}, "payments_unavailable"),
        (500, {}, "payments_unavailable"),
        (502, [], "payments_unavailable"),
        (200, {"url": 1}, "payments_unavailable"),
    ],
)
async def test_each_answer_has_its_problem(
    client: PaymentProvider, process: Process, status: int, document: Any, code: str
) -> None:
    process.status, process.document = status, document
    assert await code_of_session(client) == code


async def test_a_process_that_does_not_answer_is_unavailable() -> None:
    client = PaymentProvider(f"http://127.0.0.1:{free_port()}")
    assert await code_of_session(client) == "payments_unavailable"
    with pytest.raises(ProblemError, match="payments_unavailable"):
        await client.describe()
    await client.close()


async def test_a_deployment_without_the_process_has_no_provider() -> None:
    client = PaymentProvider(None)
    assert await client.describe() == NONE
    assert await code_of_session(client) == "no_online_payment"
    await client.close()
