"""The service itself: its documents, its health and its metrics."""

import json

import httpx
import pytest

from shared.messages import Unreadable, read_commands
from tests.deployment import Deployment
from tests.system.clients import Person, Site, succeeded

ROUTES = {
    ("post", "/v1/users"),
    ("post", "/v1/tokens"),
    ("get", "/v1/me"),
    ("post", "/v1/events"),
    ("patch", "/v1/events/{event_id}"),
    ("post", "/v1/events/{event_id}/cancel"),
    ("post", "/v1/events/{event_id}/end"),
    ("get", "/v1/events"),
    ("get", "/v1/events/{event_id}"),
    ("post", "/v1/events/{event_id}/ticket-types"),
    ("patch", "/v1/ticket-types/{ticket_type_id}"),
    ("post", "/v1/reservations"),
    ("put", "/v1/cart/items/{ticket_type_id}"),
    ("delete", "/v1/cart/items/{ticket_type_id}"),
    ("delete", "/v1/cart"),
    ("get", "/v1/cart"),
    ("post", "/v1/cart/extend"),
    ("post", "/v1/orders"),
    ("get", "/v1/orders"),
    ("get", "/v1/orders/{order_id}"),
    ("post", "/v1/orders/{order_id}/payments"),
    ("post", "/v1/orders/{order_id}/refunds"),
    ("post", "/v1/orders/{order_id}/releases"),
    ("post", "/v1/orders/{order_id}/cancel"),
    ("post", "/v1/orders/{order_id}/extend"),
    ("post", "/v1/orders/{order_id}/payment-session"),
    ("get", "/v1/events/{event_id}/orders"),
    ("get", "/v1/payment-provider"),
    ("get", "/v1/commands/{command_id}"),
    ("get", "/v1/commands/{command_id}/events"),
}
OPEN = {
    ("post", "/v1/users"),
    ("post", "/v1/tokens"),
    ("get", "/v1/events"),
    ("get", "/v1/events/{event_id}"),
    ("get", "/v1/payment-provider"),
}
NO_COMMANDS = {("post", "/v1/tokens"), ("post", "/v1/orders/{order_id}/payment-session")}
KINDS = {
    "register_user",
    "create_event",
    "change_event",
    "cancel_event",
    "end_event",
    "create_ticket_type",
    "change_ticket_type",
    "reserve_tickets",
    "set_quantity",
    "release_item",
    "release_cart",
    "extend_hold",
    "check_out",
    "record_payment",
    "record_refund",
    "release_tickets",
    "cancel_order",
    "extend_order",
}


async def test_the_documentation_can_be_used_in_a_browser(site: Site) -> None:
    page = await site.http.get(f"{site.urls[0]}/docs")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "/openapi.json" in page.text


async def test_openapi_describes_every_route_and_its_problems(site: Site) -> None:
    document = (await site.http.get(f"{site.urls[0]}/openapi.json")).json()
    operations = {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/v1")
    }
    assert set(operations) == ROUTES
    for route, operation in operations.items():
        problems = [code for code in operation["responses"] if code >= "400"]
        assert problems, route
        for code in problems:
            assert "application/problem+json" in operation["responses"][code]["content"], route
        required = {} not in operation.get("security", [{}])
        assert required == (route not in OPEN), route


async def test_every_command_says_that_it_may_be_answered_202(site: Site) -> None:
    document = (await site.http.get(f"{site.urls[0]}/openapi.json")).json()
    for method, path in ROUTES - NO_COMMANDS:
        operation = document["paths"][path][method]
        if method == "get":
            assert "202" not in operation["responses"]
            continue
        assert "202" in operation["responses"], path
        headers = {one["name"] for one in operation["parameters"] if one["in"] == "header"}
        assert {"Idempotency-Key", "Prefer"} <= headers, path


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_gateways_and_workers_are_live_and_ready(
    system: Deployment, http: httpx.AsyncClient, path: str
) -> None:
    for process in system.gateways + system.workers:
        assert (await http.get(f"{process.url}{path}")).status_code == 200


async def test_gateway_metrics_are_served_in_prometheus_format(
    system: Deployment, http: httpx.AsyncClient, alice: Person, ticket_type_id: str
) -> None:
    succeeded(await alice.reserve(ticket_type_id))
    for process in system.gateways + system.workers:
        answer = await http.get(f"{process.url}/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain")
        assert "# TYPE holdfast_" in answer.text
        assert alice.id not in answer.text


async def test_the_worker_counts_what_it_decides(
    system: Deployment, http: httpx.AsyncClient, alice: Person, ticket_type_id: str
) -> None:
    async def decided() -> float:
        total = 0.0
        for worker in system.workers:
            for line in (await http.get(f"{worker.url}/metrics")).text.splitlines():
                if line.startswith("holdfast_commands_decided_total{"):
                    total += float(line.rpartition(" ")[2]) * ("reserve_tickets" in line)
        return total

    before = await decided()
    succeeded(await alice.reserve(ticket_type_id))
    assert await decided() == before + 1


async def test_the_worker_documents_the_queue(system: Deployment, http: httpx.AsyncClient) -> None:
    for worker in system.workers:
        page = await http.get(f"{worker.url}/asyncapi")
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        document = (await http.get(f"{worker.url}/asyncapi.json")).json()
        assert document["asyncapi"].startswith("3.")
        described = {
            kind
            for schema in document["components"]["schemas"].values()
            if (kind := schema.get("properties", {}).get("kind", {}).get("const"))
        }
        assert described == KINDS
        (example,) = [
            example["payload"]
            for message in document["components"]["messages"].values()
            for example in message.get("examples", [])
        ]
        assert example[0]["kind"] in KINDS


async def test_the_example_of_the_asyncapi_document_can_be_read(
    system: Deployment, http: httpx.AsyncClient
) -> None:
    document = (await http.get(f"{system.workers[0].url}/asyncapi.json")).text
    messages = json.loads(document)["components"]["messages"].values()
    (example,) = [one["payload"] for message in messages for one in message.get("examples", [])]
    (command,) = read_commands(json.dumps(example).encode())
    assert not isinstance(command, Unreadable)
