"""The OpenAPI document: complete, and true to the code."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from gateway.app import create_app
from gateway.http.problems import MEDIA_TYPE, status_of
from gateway.routes.accounts import Login, Registration
from gateway.settings import Settings
from shared.bodies import (
    CancellationBody,
    EventBody,
    EventChanges,
    ExtensionBody,
    OrderBody,
    PaymentBody,
    QuantityBody,
    RefundBody,
    ReleasesBody,
    ReservationBody,
    TicketTypeBody,
    TicketTypeChanges,
)

SETTINGS = Settings(
    database_url="postgresql://nobody@127.0.0.1:1/none",
    broker_url="amqp://127.0.0.1:1/",
    jwt_secret="a secret of the tests, of more than 32 bytes",
)
CONTRACT = {
    "POST /v1/users",
    "POST /v1/tokens",
    "GET /v1/me",
    "POST /v1/events",
    "PATCH /v1/events/{event_id}",
    "POST /v1/events/{event_id}/cancel",
    "POST /v1/events/{event_id}/end",
    "GET /v1/events",
    "GET /v1/events/{event_id}",
    "POST /v1/events/{event_id}/ticket-types",
    "PATCH /v1/ticket-types/{ticket_type_id}",
    "POST /v1/reservations",
    "PUT /v1/cart/items/{ticket_type_id}",
    "DELETE /v1/cart/items/{ticket_type_id}",
    "DELETE /v1/cart",
    "GET /v1/cart",
    "POST /v1/cart/extend",
    "POST /v1/orders",
    "POST /v1/orders/{order_id}/payments",
    "POST /v1/orders/{order_id}/refunds",
    "POST /v1/orders/{order_id}/releases",
    "POST /v1/orders/{order_id}/cancel",
    "POST /v1/orders/{order_id}/extend",
    "GET /v1/orders",
    "GET /v1/orders/{order_id}",
    "GET /v1/events/{event_id}/orders",
    "POST /v1/orders/{order_id}/payment-session",
    "GET /v1/payment-provider",
    "GET /v1/commands/{command_id}",
    "GET /v1/commands/{command_id}/events",
    "GET /health/live",
    "GET /health/ready",
    "GET /metrics",
}
PUBLIC = {
    "POST /v1/users",
    "POST /v1/tokens",
    "GET /v1/events",
    "GET /v1/events/{event_id}",
    "GET /v1/payment-provider",
}
NO_COMMANDS = {"POST /v1/tokens", "POST /v1/orders/{order_id}/payment-session"}
BODIES: dict[str, type[BaseModel]] = {
    "POST /v1/users": Registration,
    "POST /v1/events": EventBody,
    "PATCH /v1/events/{event_id}": EventChanges,
    "POST /v1/events/{event_id}/ticket-types": TicketTypeBody,
    "PATCH /v1/ticket-types/{ticket_type_id}": TicketTypeChanges,
    "POST /v1/reservations": ReservationBody,
    "PUT /v1/cart/items/{ticket_type_id}": QuantityBody,
    "POST /v1/orders": OrderBody,
    "POST /v1/orders/{order_id}/payments": PaymentBody,
    "POST /v1/orders/{order_id}/refunds": RefundBody,
    "POST /v1/orders/{order_id}/releases": ReleasesBody,
    "POST /v1/orders/{order_id}/cancel": CancellationBody,
    "POST /v1/orders/{order_id}/extend": ExtensionBody,
}

SCHEMA = create_app(SETTINGS).openapi()
OPERATIONS: dict[str, dict[str, Any]] = {
    f"{method.upper()} {path}": operation
    for path, methods in SCHEMA["paths"].items()
    for method, operation in methods.items()
}
COMMANDS = sorted(
    name for name in OPERATIONS if not name.startswith("GET") and name not in NO_COMMANDS
)


def test_the_routes_are_those_of_the_contract():
    assert set(OPERATIONS) == CONTRACT


def test_every_reference_leads_somewhere():
    for reference in references(SCHEMA):
        place: Any = SCHEMA
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]
        assert place


def test_it_is_json():
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_problem_is_an_example_with_its_status(name: str):
    responses = OPERATIONS[name]["responses"]
    for status, response in responses.items():
        if status < "400":
            continue
        content = response["content"][MEDIA_TYPE]
        assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
        assert content["examples"]
        for code, example in content["examples"].items():
            assert example["value"]["code"] == code
            assert int(status) == example["value"]["status"] == status_of(code)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_described(name: str):
    operation = OPERATIONS[name]
    assert operation["tags"]
    assert operation["summary"]
    assert all(response["description"] for response in operation["responses"].values())


@pytest.mark.parametrize("name", [name for name in OPERATIONS if "/v1/" in name])
def test_a_route_that_needs_a_token_documents_it(name: str):
    operation = OPERATIONS[name]
    required = "security" in operation and {} not in operation["security"]
    assert required == (name not in PUBLIC)
    if name not in PUBLIC:
        assert "unauthenticated" in codes(operation)
        assert "WWW-Authenticate" in operation["responses"]["401"]["headers"]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_documents_its_headers_and_common_answers(name: str):
    operation = OPERATIONS[name]
    headers = {p["name"] for p in operation["parameters"] if p["in"] == "header"}
    assert headers == {"Idempotency-Key", "Prefer"}
    assert {"Location", "Retry-After"} <= set(operation["responses"]["202"]["headers"])
    assert {
        "invalid_command_id",
        "stale_command",
        "command_id_reused",
        "deadline_passed",
        "unprocessable",
        "broker_unavailable",
        "internal",
    } <= codes(operation)
    if "201" in operation["responses"]:
        assert "Location" in operation["responses"]["201"]["headers"]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_body_is_described_with_an_example_that_is_valid(name: str):
    operation = OPERATIONS[name]
    assert ("requestBody" in operation) == (name in BODIES)
    if name not in BODIES:
        return
    content = operation["requestBody"]["content"]["application/json"]
    examples = [example["value"] for example in content.get("examples", {}).values()] or [
        example_of(content["schema"])
    ]
    for example in examples:
        BODIES[name].model_validate_json(json.dumps(example))
    assert {"body_too_large", "unsupported_media_type", "invalid_request"} <= codes(operation)


def test_logging_in_is_the_password_flow_that_docs_can_use():
    content = OPERATIONS["POST /v1/tokens"]["requestBody"]["content"]
    Login.model_validate(example_of(content["application/x-www-form-urlencoded"]["schema"]))
    [scheme] = SCHEMA["components"]["securitySchemes"].values()
    assert scheme["flows"]["password"]["tokenUrl"] == "/v1/tokens"


def codes(operation: dict[str, Any]) -> set[str]:
    return {
        code
        for response in operation["responses"].values()
        for code in response.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {})
    }


def example_of(schema: dict[str, Any]) -> dict[str, Any]:
    if reference := schema.get("$ref"):
        schema = SCHEMA["components"]["schemas"][reference.rpartition("/")[2]]
    return {
        name: property_["examples"][0]
        for name, property_ in schema["properties"].items()
        if "examples" in property_
    }


def references(place: Any) -> Iterator[str]:
    if isinstance(place, dict):
        if isinstance(place.get("$ref"), str):
            yield place["$ref"]
        for value in place.values():
            yield from references(value)
    elif isinstance(place, list):
        for value in place:
            yield from references(value)
