"""The Idempotency-Key: which IDs of commands are accepted."""

import time
from collections.abc import Callable

import pytest
from fastapi import FastAPI, Request

from gateway.app import create_app
from gateway.http.envelope import new_user_envelope
from gateway.http.problems import ProblemError
from shared.ids import id_at, is_uuid7, new_id
from tests.gateway.http.test_openapi import SETTINGS

WINDOW_SECONDS = SETTINGS.command_window_seconds


def request(app: FastAPI, *keys: str) -> Request:
    headers = [(b"idempotency-key", key.encode()) for key in keys]
    return Request({"type": "http", "app": app, "headers": headers})


def aged(seconds: float) -> str:
    return id_at(int((time.time() - seconds) * 1_000))


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(SETTINGS)


@pytest.mark.parametrize("written", [str.lower, str.upper, '"{}"'.format])
@pytest.mark.parametrize("age_seconds", [0, WINDOW_SECONDS - 5, -25])
async def test_accepted(app: FastAPI, age_seconds: float, written: Callable[[str], str]):
    key = aged(age_seconds)
    envelope = new_user_envelope(request(app, written(key)))
    assert envelope["command_id"] == envelope["user_id"] == key


@pytest.mark.parametrize(
    ("age_seconds", "code"),
    [(-40, "invalid_command_id"), (WINDOW_SECONDS + 5, "stale_command")],
)
async def test_refused_by_its_age(app: FastAPI, age_seconds: float, code: str):
    with pytest.raises(ProblemError, match=code):
        new_user_envelope(request(app, aged(age_seconds)))


async def test_left_out(app: FastAPI):
    first, second = new_user_envelope(request(app)), new_user_envelope(request(app))
    assert is_uuid7(first["command_id"])
    assert first["command_id"] != second["command_id"]


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ([""], "invalid_command_id"),
        (["abc"], "invalid_command_id"),
        (["00000000-0000-4000-8000-000000000000"], "invalid_command_id"),
        (["01a203e9-ae1b-7069-4786-3a8c9420221c"], "invalid_command_id"),
        ([new_id().replace("-", "")], "invalid_command_id"),
        ([new_id() + "\n"], "invalid_command_id"),
        ([f"{{{new_id()}}}"], "invalid_command_id"),
        ([f"{new_id()}, {new_id()}"], "invalid_command_id"),
        ([new_id(), new_id()], "invalid_command_id"),
        ([id_at(0)], "stale_command"),
    ],
)
async def test_refused(app: FastAPI, keys: list[str], code: str):
    with pytest.raises(ProblemError, match=code):
        new_user_envelope(request(app, *keys))
