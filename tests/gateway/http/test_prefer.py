"""The Prefer header, as RFC 7240 has it."""

import pytest

from gateway.http.prefer import Preferences, read_preferences

CASES = [
    # headers, wait_seconds, respond_async
    ([], None, False),
    (["wait=5"], 5, False),
    (["WAIT=5"], 5, False),
    (["wait = 5"], 5, False),
    (['wait="5"'], 5, False),
    (["wait=0"], 0, False),
    (["wait=30"], 30, False),
    (["wait=31"], 30, False),
    (["wait=" + "9" * 500], 30, False),
    (["wait=005"], 5, False),
    (["respond-async"], None, True),
    (["Respond-Async"], None, True),
    (["respond-async, wait=10"], 10, True),
    (["respond-async", "wait=10"], 10, True),
    (["wait=10; respond-async"], 10, False),
    (['return=minimal, x="a, wait=1", wait=7'], 7, False),
    (["wait=1, wait=2"], 1, False),
    (["wait=1;foo=bar, respond-async;q"], 1, True),
    (["wait"], None, False),
    (["wait="], None, False),
    (["wait=-1"], None, False),
    (["wait=1.5"], None, False),
    (["wait=ten"], None, False),
    (["wait=\u0663"], None, False),
    (["wait 5"], None, False),
    (["respond-async=no"], None, False),
    ([","], None, False),
    (["wait=5" + " " * 2_000], None, False),
]


@pytest.mark.parametrize(("headers", "wait_seconds", "respond_async"), CASES)
def test_reading(headers: list[str], wait_seconds: int | None, respond_async: bool):
    assert read_preferences(headers) == Preferences(wait_seconds, respond_async)


@pytest.mark.parametrize(
    ("preferences", "default", "wait"),
    [
        (Preferences(), 10, 10),
        (Preferences(), 0, 0),
        (Preferences(wait_seconds=3), 0, 3),
        (Preferences(wait_seconds=0), 10, 0),
        (Preferences(respond_async=True), 10, 0),
        (Preferences(wait_seconds=3, respond_async=True), 10, 3),
    ],
)
def test_how_long_to_wait(preferences: Preferences, default: int, wait: int):
    assert preferences.wait_or(default) == wait


@pytest.mark.parametrize(
    ("preferences", "answered_async", "applied"),
    [
        (Preferences(), True, None),
        (Preferences(), False, None),
        (Preferences(wait_seconds=3), False, "wait=3"),
        (Preferences(wait_seconds=3), True, "wait=3"),
        (Preferences(respond_async=True), True, "respond-async"),
        (Preferences(wait_seconds=3, respond_async=True), True, "respond-async, wait=3"),
        (Preferences(wait_seconds=3, respond_async=True), False, "wait=3"),
    ],
)
def test_what_was_applied(preferences: Preferences, answered_async: bool, applied: str | None):
    assert preferences.applied(answered_async=answered_async) == applied
