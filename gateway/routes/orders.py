"""Orders: their buyers check out, their payment agents record money, their organizers run them."""

from fastapi import APIRouter, Request, Response

from gateway.http.envelope import command_envelope
from gateway.http.ids import read_id
from gateway.http.openapi import Succeeded, command_responses, describe_request
from gateway.http.problems import BODY_PROBLEMS, USER_PROBLEMS, ProblemCode
from gateway.http.request_body import read_json, read_optional_json
from gateway.http.submit_command import submit
from shared.bodies import (
    CancellationBody,
    ExtensionBody,
    OrderBody,
    PaymentBody,
    RefundBody,
    ReleasesBody,
)
from shared.commands import (
    CancelOrder,
    CheckOut,
    ExtendOrder,
    RecordPayment,
    RecordRefund,
    ReleaseTickets,
)
from shared.outcomes import OrderResult, PaymentResult

AN_ID = "00000000-0000-7000-8000-000000000000"
AN_ORDER = {
    "summary": "put in an event's ID, of which the cart holds tickets",
    "value": {"event_id": AN_ID, "expected_total": 9000},
}
A_PAYMENT = {"payment_id": "pi_1", "amount": 9000, "currency": "EUR"}
A_REFUND = {"refund_id": "re_1", "amount": 4500}
RELEASES = {"items": [{"ticket_type_id": AN_ID, "quantity": 1}], "keep_amount": 500}

MONEY_REFUSALS: tuple[ProblemCode, ...] = (
    "order_not_found",
    "not_the_payment_agent",
    "payment_id_reused",
    "order_full",
)

router = APIRouter(prefix="/v1", tags=["orders"])


@router.post(
    "/orders",
    status_code=201,
    summary="Check out",
    response_model=Succeeded[OrderResult],
    responses=command_responses(
        201,
        "event_not_found",
        "nothing_to_check_out",
        "event_ended",
        "event_cancelled",
        "too_many_open_orders",
        "minimum_not_reached",
        "price_changed",
        *USER_PROBLEMS,
        *BODY_PROBLEMS,
    ),
    openapi_extra=describe_request(command=True, body=OrderBody, examples={"all": AN_ORDER}),
)
async def check_out(request: Request) -> Response:
    """Order what the cart holds of an event; the rest stays in the cart."""
    envelope = await command_envelope(request)
    body = await read_json(request, OrderBody)
    command = CheckOut(**envelope, **dict(body))
    return await submit(request, command, location=_place(command.command_id))


@router.post(
    "/orders/{order_id}/payments",
    status_code=201,
    summary="Record a payment",
    response_model=Succeeded[PaymentResult],
    responses=command_responses(
        201, *MONEY_REFUSALS, "currency_mismatch", *USER_PROBLEMS, *BODY_PROBLEMS
    ),
    openapi_extra=describe_request(
        command=True, body=PaymentBody, examples={"all": {"value": A_PAYMENT}}
    ),
)
async def record_payment(request: Request) -> Response:
    """Record what was paid, whatever became of the order; repeated, it counts once."""
    envelope = await command_envelope(request)
    order_id = read_id(request, "order_id")
    body = await read_json(request, PaymentBody)
    command = RecordPayment(**envelope, order_id=order_id, **dict(body))
    return await submit(request, command, location=_place(order_id))


@router.post(
    "/orders/{order_id}/refunds",
    status_code=201,
    summary="Record a refund",
    response_model=Succeeded[OrderResult],
    responses=command_responses(
        201, *MONEY_REFUSALS, "more_than_due", *USER_PROBLEMS, *BODY_PROBLEMS
    ),
    openapi_extra=describe_request(
        command=True, body=RefundBody, examples={"half": {"value": A_REFUND}}
    ),
)
async def record_refund(request: Request) -> Response:
    """Record what was paid back; it moves no ticket. Repeated, it counts once."""
    envelope = await command_envelope(request)
    order_id = read_id(request, "order_id")
    body = await read_json(request, RefundBody)
    command = RecordRefund(**envelope, order_id=order_id, **dict(body))
    return await submit(request, command, location=_place(order_id))


@router.post(
    "/orders/{order_id}/releases",
    summary="Release tickets of a paid order",
    response_model=Succeeded[OrderResult],
    responses=command_responses(
        200,
        "order_not_found",
        "not_the_organizer",
        "order_not_paid",
        "more_than_held",
        "more_than_due",
        *USER_PROBLEMS,
        *BODY_PROBLEMS,
    ),
    openapi_extra=describe_request(
        command=True, body=ReleasesBody, examples={"one": {"value": RELEASES}}
    ),
)
async def release_tickets(request: Request) -> Response:
    """Put tickets on sale again. Their price is due back, less what the organizer keeps."""
    envelope = await command_envelope(request)
    order_id = read_id(request, "order_id")
    body = await read_json(request, ReleasesBody)
    return await submit(request, ReleaseTickets(**envelope, order_id=order_id, **dict(body)))


@router.post(
    "/orders/{order_id}/cancel",
    summary="Cancel an order",
    response_model=Succeeded[OrderResult],
    responses=command_responses(
        200,
        "order_not_found",
        "not_the_organizer",
        "order_not_pending",
        "more_than_due",
        *USER_PROBLEMS,
        *BODY_PROBLEMS,
    ),
    openapi_extra=describe_request(
        command=True,
        body=CancellationBody,
        examples={"keep": {"value": {"keep_amount": 500}}},
        is_body_required=False,
    ),
)
async def cancel_order(request: Request) -> Response:
    """Cancel an order: its buyer while it is pending, the organizer also when it is paid."""
    envelope = await command_envelope(request)
    order_id = read_id(request, "order_id")
    body = await read_optional_json(request, CancellationBody)
    return await submit(request, CancelOrder(**envelope, order_id=order_id, **dict(body)))


@router.post(
    "/orders/{order_id}/extend",
    summary="Give a buyer longer to pay",
    response_model=Succeeded[OrderResult],
    responses=command_responses(
        200,
        "order_not_found",
        "not_the_organizer",
        "order_not_pending",
        *USER_PROBLEMS,
        *BODY_PROBLEMS,
    ),
    openapi_extra=describe_request(
        command=True,
        body=ExtensionBody,
        examples={"later": {"value": {"pay_by": "2099-06-01T19:00:00Z"}}},
    ),
)
async def extend_order(request: Request) -> Response:
    """Move the time to pay by to a later one, at most 90 days ahead."""
    envelope = await command_envelope(request)
    order_id = read_id(request, "order_id")
    body = await read_json(request, ExtensionBody)
    return await submit(request, ExtendOrder(**envelope, order_id=order_id, **dict(body)))


def _place(order_id: str) -> str:
    return f"/v1/orders/{order_id}"
