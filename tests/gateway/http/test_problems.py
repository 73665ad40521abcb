"""Problem documents: every code has a status, and nothing of the request is echoed."""

from typing import get_args

import pytest
from pydantic_core import from_json

from gateway.http.problems import (
    MEANINGS,
    REFUSAL_DETAILS,
    GatewayCode,
    ProblemError,
    invalid_request,
    refusal_problem,
    status_of,
    status_of_refusal,
)
from shared.refusals import REFUSAL_CODES, RefusalCode

CONTRACT: dict[RefusalCode, int] = {
    "ticket_type_not_found": 404,
    "event_not_found": 404,
    "item_not_in_cart": 404,
    "user_not_found": 401,
    "not_the_organizer": 403,
    "event_ended": 409,
    "event_cancelled": 409,
    "sale_not_started": 409,
    "sale_ended": 409,
    "insufficient_availability": 409,
    "line_too_large": 409,
    "cart_full": 409,
    "limit_exceeded": 409,
    "hold_limit_reached": 409,
    "cart_empty": 409,
    "order_not_found": 404,
    "nothing_to_check_out": 409,
    "price_changed": 409,
    "minimum_not_reached": 409,
    "too_many_open_orders": 409,
    "order_not_pending": 409,
    "order_not_paid": 409,
    "more_than_held": 409,
    "more_than_due": 409,
    "not_the_payment_agent": 403,
    "payment_id_reused": 422,
    "currency_mismatch": 422,
    "order_full": 409,
    "total_below_committed": 409,
    "too_many_ticket_types": 409,
    "email_taken": 409,
    "deadline_passed": 409,
    "stale_command": 409,
    "command_id_reused": 422,
    "unprocessable": 422,
}


def test_every_refusal_has_the_status_of_the_contract():
    assert {code: status_of_refusal(code) for code in REFUSAL_CODES} == CONTRACT


def test_every_code_has_a_meaning():
    assert set(MEANINGS) == set(get_args(GatewayCode))
    assert set(REFUSAL_DETAILS) == set(REFUSAL_CODES)
    assert not set(MEANINGS) & set(REFUSAL_CODES)


@pytest.mark.parametrize("code", [*MEANINGS, "stale_command", "event_not_found"])
def test_a_problem_has_the_members_of_rfc_9457(code):
    response = ProblemError(code).response()
    document = from_json(response.body)
    assert response.media_type == "application/problem+json"
    assert document["type"] == f"urn:holdfast:problem:{code}"
    assert document["code"] == code
    assert document["status"] == response.status_code == status_of(code)
    assert document["title"]
    assert document["detail"]


def test_a_401_has_a_challenge_and_a_503_a_retry_after():
    unauthenticated = ProblemError("unauthenticated").response()
    unavailable = ProblemError("broker_unavailable").response()
    assert unauthenticated.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert int(unavailable.headers["Retry-After"]) > 0


def test_a_refusal_keeps_its_data():
    refusal = {
        "code": "insufficient_availability",
        "detail": "No.",
        "ticket_type_id": "t",
        "requested": 3,
        "available": 1,
    }
    response = refusal_problem("c", refusal, {"Preference-Applied": "wait=5"}).response()
    assert response.status_code == 409
    assert response.headers["Preference-Applied"] == "wait=5"
    assert from_json(response.body) == {
        "type": "urn:holdfast:problem:insufficient_availability",
        "title": "Insufficient availability",
        "status": 409,
        "detail": "No.",
        "code": "insufficient_availability",
        "command_id": "c",
        "ticket_type_id": "t",
        "requested": 3,
        "available": 1,
    }


def test_validation_errors_are_bounded_and_do_not_quote_the_input():
    error = {"loc": ("password",), "msg": "too short", "input": "secret", "ctx": {"x": "secret"}}
    document = from_json(invalid_request([error] * 1_000, where="body").response().body)
    assert len(document["errors"]) == 20
    assert document["errors"][0] == {"loc": ["body", "password"], "msg": "too short"}
