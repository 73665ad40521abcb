"""How many commands of one user may be under way."""

import asyncio

import httpx
import pytest

from gateway.app import create_app
from gateway.http.problems import ProblemError
from gateway.messaging.publisher import BrokerUnavailableError
from gateway.messaging.user_limit import (
    MAX_COMMANDS_PER_USER,
    MAX_WAITS_PER_USER,
    UserLimit,
)
from gateway.server import overload
from gateway.services import Services
from shared.ids import new_id
from shared.outcomes import User
from tests.builders import release_cart
from tests.gateway.conftest import Counter
from tests.gateway.http.test_openapi import SETTINGS
from tests.gateway.messaging.publishing import outcome
from tests.gateway.server.test_fast_path import Ask, answer

ADA, BOB = new_id(), new_id()
RELEASE = Ask("DELETE /v1/cart")


def test_a_user_has_a_bound_and_others_have_their_own():
    in_flight = UserLimit(MAX_COMMANDS_PER_USER, "too_many_commands")
    for _ in range(MAX_COMMANDS_PER_USER):
        in_flight.enter(ADA, new_id())
    for _ in range(2):
        with pytest.raises(ProblemError) as refused:
            in_flight.enter(ADA, new_id())
        assert refused.value.code == "too_many_commands"
    in_flight.enter(BOB, new_id())
    in_flight.leave(ADA)
    in_flight.enter(ADA, new_id())


def test_a_user_without_commands_is_forgotten():
    in_flight = UserLimit(MAX_COMMANDS_PER_USER, "too_many_commands")
    for user in (ADA, ADA, BOB):
        in_flight.enter(user, new_id())
    for user in (ADA, BOB, ADA):
        in_flight.leave(user)
    assert in_flight._counts == {}


async def fill(counter: Counter, user_id: str) -> None:
    for _ in range(MAX_COMMANDS_PER_USER):
        await counter.publisher.submit(release_cart(user_id), 0)


async def test_a_command_counts_until_a_worker_answers_also_if_no_client_waits(counter: Counter):
    queue = await counter.queue()
    await fill(counter, ADA)

    with pytest.raises(ProblemError) as refused:
        await counter.publisher.submit(release_cart(ADA), 0)
    assert refused.value.code == "too_many_commands"
    await counter.publisher.submit(release_cart(BOB), 0)

    await counter.answer(queue, outcome)
    await counter.eventually(lambda: counter.publisher.in_flight == 0)
    assert counter.publisher.user_limit._counts == {}
    assert await counter.publisher.submit(release_cart(ADA), 5) is not None


async def test_commands_whose_replies_are_lost_no_longer_count(counter: Counter):
    await counter.queue()
    await fill(counter, ADA)
    counter.proxy.cut()
    await counter.eventually(lambda: counter.publisher.user_limit._counts == {})


async def test_commands_that_the_broker_refuses_count_no_longer(counter: Counter):
    for _ in range(2):  # no queue is bound
        with pytest.raises(BrokerUnavailableError):
            await counter.publisher.submit(release_cart(ADA), 0)
    assert counter.publisher.user_limit._counts == {}


async def test_through_http_too_many_commands_are_429(monkeypatch: pytest.MonkeyPatch):
    app = create_app(SETTINGS)
    services: Services = app.state.services

    async def user(user_id: str) -> User:
        return User(user_id, "ada@example.com")

    monkeypatch.setattr(services.tokens, "_find_user", user)
    monkeypatch.setattr(services.publisher, "_exchange", object())
    monkeypatch.setattr(services.publisher.user_limit, "maximum", 0)
    refused = await answer(app, services, RELEASE)
    assert refused["status"] == 429
    assert b'"code":"too_many_commands"' in refused["body"]
    assert (b"retry-after", b"1") in refused["headers"]


async def test_a_command_is_refused_where_workers_fell_behind_while_it_was_read(
    monkeypatch: pytest.MonkeyPatch,
):
    app = create_app(SETTINGS)
    services: Services = app.state.services

    async def user(user_id: str) -> User:
        return User(user_id, "ada@example.com")

    monkeypatch.setattr(services.tokens, "_find_user", user)
    monkeypatch.setattr(services.overload, "refuses_request", lambda method, path: False)
    monkeypatch.setattr(overload, "MAX_IN_FLIGHT_COMMANDS", 0)
    refused = await answer(app, services, RELEASE)
    assert refused["status"] == 503
    assert b'"code":"overloaded"' in refused["body"]
    assert b'"command_id":"' in refused["body"]
    assert b"retry-after" in dict(refused["headers"])
    assert services.metrics.shed._value.get() == 1
    assert services.publisher.user_limit._counts == {}


@pytest.mark.parametrize("path", ["", "/events"])
async def test_a_user_has_a_bounded_number_of_streams_and_long_polls(
    monkeypatch: pytest.MonkeyPatch, path: str
):
    app = create_app(SETTINGS)
    services: Services = app.state.services
    waiting: list[asyncio.Future[None]] = []

    async def user(user_id: str) -> User:
        return User(user_id, "ada@example.com")

    async def find_now(*_: object) -> None:
        return None

    async def wait_for(*_: object) -> None:
        waiting.append(asyncio.get_running_loop().create_future())
        await waiting[-1]
        services.outcome_poller.closing = True

    monkeypatch.setattr(services.tokens, "_find_user", user)
    monkeypatch.setattr(services.outcome_poller, "find_now", find_now)
    monkeypatch.setattr(services.outcome_poller, "wait_for", wait_for)
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://gateway",
        headers={"Authorization": f"Bearer {services.tokens.issue(ADA)}", "Prefer": "wait=30"},
    )
    url = f"/v1/commands/{new_id()}{path}"
    asks = [asyncio.create_task(client.get(url)) for _ in range(MAX_WAITS_PER_USER)]
    async with asyncio.timeout(20):
        while len(waiting) < MAX_WAITS_PER_USER:
            await asyncio.sleep(0.01)

    refused = await client.get(url)

    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_waits")
    assert refused.headers["retry-after"] == "1"
    for future in waiting:
        future.set_result(None)
    assert {(await one).status_code for one in asks} == {200}
    assert services.user_waits._counts == {}
