"""The engine as its payment agent sees it: logging in, reading orders, recording money."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from dev.addresses import free_port
from payments.engine import (
    Engine,
    EngineUnavailableError,
    NotRecordedError,
    PaymentReport,
    RefundReport,
    amount_due,
)
from tests.payments.conftest import EMAIL, PASSWORD
from tests.payments.gateway import AGENT_ID, ORDER_ID, ScriptedGateway, order_document, payment

A_PAYMENT = PaymentReport(ORDER_ID, "pi_1", 5000, "EUR")


@asynccontextmanager
async def logging_in(
    url: str, email: str = EMAIL, password: str = PASSWORD
) -> AsyncIterator[Engine]:
    engine = Engine(url, email, password)
    task = asyncio.create_task(engine.stay_logged_in())
    yield engine
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await engine.close()


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


async def test_the_agent_registers_itself_at_the_first_start(
    gateway: ScriptedGateway, gateway_url: str
) -> None:
    async with logging_in(gateway_url, "new@example.org") as engine:
        await eventually(lambda: engine.is_logged_in)
    assert engine.agent_id == AGENT_ID
    assert gateway.accounts["new@example.org"] == PASSWORD


async def test_an_account_with_another_password_is_not_taken_over(
    gateway: ScriptedGateway, gateway_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with logging_in(gateway_url, password="another one, as long") as engine:
        await eventually(lambda: "exists with another password" in caplog.text)
    assert not engine.is_logged_in
    assert gateway.accounts == {EMAIL: PASSWORD}
    assert "another one, as long" not in caplog.text


async def test_it_logs_in_again_before_its_token_expires(
    gateway: ScriptedGateway, gateway_url: str
) -> None:
    gateway.token_life_seconds = 0.1
    async with logging_in(gateway_url) as engine:
        await eventually(lambda: len(gateway.tokens) > 2)
        assert engine.is_logged_in


async def test_it_logs_in_again_when_its_token_is_refused(
    gateway: ScriptedGateway, engine: Engine
) -> None:
    gateway.refused_tokens.update(gateway.tokens)

    with pytest.raises(NotRecordedError):
        await engine.record(A_PAYMENT)
    await eventually(lambda: len(gateway.tokens) == 2 and engine.is_logged_in)
    await engine.record(A_PAYMENT)
    assert len(gateway.recorded) == 1


async def test_it_waits_for_a_gateway_that_does_not_answer_yet() -> None:
    async with logging_in(f"http://127.0.0.1:{free_port()}") as engine:
        with pytest.raises(EngineUnavailableError):
            await engine.order(ORDER_ID)
        with pytest.raises(NotRecordedError):
            await engine.record(A_PAYMENT)


async def test_an_order_of_another_payment_agent_is_none(engine: Engine) -> None:
    assert await engine.order("0190aaaa-0000-7000-8000-00000000ffff") is None


async def test_what_is_due_is_the_total_less_what_counts_towards_it(
    engine: Engine, gateway: ScriptedGateway
) -> None:
    part = [payment(2000), payment(500), payment(700, "surplus")]
    gateway.orders[ORDER_ID] = order_document(paid=3200, payments=part)
    order = await engine.order(ORDER_ID)
    assert order is not None
    assert amount_due(order) == 2500


async def test_a_refund_is_recorded_with_its_own_id(
    engine: Engine, gateway: ScriptedGateway
) -> None:
    await engine.record(RefundReport(ORDER_ID, "re_1", 1500))

    ((path, body, headers),) = gateway.recorded
    assert path == f"/v1/orders/{ORDER_ID}/refunds"
    assert body == {"refund_id": "re_1", "amount": 1500}
    assert headers["prefer"] == "wait=8"


async def test_money_that_the_engine_refuses_for_good_is_an_error_in_the_log(
    engine: Engine, gateway: ScriptedGateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.answers.append((422, {"code": "currency_mismatch"}))

    await engine.record(A_PAYMENT)

    (record,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert "currency_mismatch" in record.message
    assert "pi_1" in record.message


async def test_an_answer_that_is_no_problem_is_not_taken_for_one(
    engine: Engine, gateway: ScriptedGateway
) -> None:
    gateway.answers.append((502, {}))
    with pytest.raises(NotRecordedError):
        await engine.record(A_PAYMENT)
