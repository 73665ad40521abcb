"""How many commands of one user may be under way."""

import asyncio

import pytest

from gateway.app import create_app
from gateway.http.problems import ProblemError
from gateway.messaging.submit import BrokerUnavailableError
from gateway.messaging.user_limit import MAX_COMMANDS_PER_USER, UserCommandLimit
from gateway.server import overload
from gateway.services import Services
from shared.ids import new_id
from shared.outcomes import User
from tests.gateway.http.test_openapi import SETTINGS
from tests.gateway.server.test_fast_path import Ask, answer

ADA, BOB = new_id(), new_id()
RELEASE = Ask("DELETE /v1/cart")


def test_a_user_has_a_bound_and_others_have_their_own():
    in_flight = UserCommandLimit()
    for _ in range(MAX_COMMANDS_PER_USER):
        in_flight.enter(ADA, new_id())
    for _ in range(2):
        with pytest.raises(ProblemError) as refused:
            in_flight.enter(ADA, new_id())
        assert refused.value.code == "too_many_commands"
    in_flight.enter(BOB, new_id())
    in_flight.leave(ADA)
    in_flight.enter(ADA, new_id())


def test_who_has_none_is_forgotten():
    in_flight = UserCommandLimit()
    for user in (ADA, ADA, BOB):
        in_flight.enter(user, new_id())
    for user in (ADA, BOB, ADA):
        in_flight.leave(user)
    assert in_flight._counts == {}


@pytest.mark.parametrize(
    ("comes_to", "status"), [(None, 202), (BrokerUnavailableError(), 503), (ValueError(), 500)]
)
async def test_through_http_a_repetition_counts_and_every_end_is_noticed(
    monkeypatch: pytest.MonkeyPatch, comes_to: Exception | None, status: int
):
    app = create_app(SETTINGS)
    services: Services = app.state.services
    may_go_on = asyncio.Event()

    async def submit(*_: object) -> None:
        await may_go_on.wait()
        if comes_to is not None:
            raise comes_to

    async def user(user_id: str) -> User:
        return User(user_id, "ada@example.com")

    monkeypatch.setattr(services.publisher, "submit", submit)
    monkeypatch.setattr(services.tokens, "_find_user", user)
    # All under one key, as repetitions are.
    under_way = [
        asyncio.create_task(answer(app, services, RELEASE)) for _ in range(MAX_COMMANDS_PER_USER)
    ]
    await asyncio.sleep(0.1)
    one_more = await answer(app, services, RELEASE)
    assert one_more["status"] == 429
    assert b'"code":"too_many_commands"' in one_more["body"]
    assert (b"retry-after", b"1") in one_more["headers"]
    may_go_on.set()
    assert {each["status"] for each in await asyncio.gather(*under_way)} == {status}
    assert services.in_flight._counts == {}


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
    assert services.in_flight._counts == {}
