"""The routes of the cart: reserving, changing and releasing tickets."""

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter

from gateway.http.envelope import command_envelope
from gateway.http.ids import read_id
from gateway.http.json_response import JsonResponse
from gateway.http.openapi import (
    Succeeded,
    command_responses,
    describe_request,
    problem_responses,
)
from gateway.http.problems import BODY_PROBLEMS, USER_PROBLEMS, ProblemCode
from gateway.http.request_body import read_json
from gateway.http.submit_command import submit
from gateway.identity.authentication import current_user
from gateway.read_model.queries import CartPage
from gateway.services import services_of
from shared.bodies import QuantityBody, ReservationBody
from shared.commands import ExtendHold, ReleaseCart, ReleaseItem, ReserveTickets, SetQuantity
from shared.outcomes import CartResult

WAIT_SECONDS = 0
"""Cart commands get a 202 at once by default: in a rush, no connection waits for the queue."""

SALE_REFUSALS: tuple[ProblemCode, ...] = (
    "ticket_type_not_found",
    "event_ended",
    "event_cancelled",
    "sale_not_started",
    "sale_ended",
    "limit_exceeded",
    "insufficient_availability",
    "line_too_large",
    "cart_full",
)

A_TICKET_TYPE = {
    "summary": "use the ID of a ticket type from an event's page",
    "value": {"items": [{"ticket_type_id": "00000000-0000-7000-8000-000000000000", "quantity": 2}]},
}

router = APIRouter(prefix="/v1", tags=["cart"])
_CART = TypeAdapter(CartPage)


@router.post(
    "/reservations",
    summary="Reserve tickets",
    response_model=Succeeded[CartResult],
    responses=command_responses(200, *SALE_REFUSALS, *USER_PROBLEMS, *BODY_PROBLEMS),
    openapi_extra=describe_request(
        command=True, body=ReservationBody, examples={"reserve": A_TICKET_TYPE}
    ),
)
async def reserve_tickets(request: Request) -> Response:
    """Add tickets to the cart: all lines or none."""
    envelope = await command_envelope(request, with_deadline=True)
    body = await read_json(request, ReservationBody)
    command = ReserveTickets(**envelope, items=body.items)
    return await submit(request, command, wait_seconds=WAIT_SECONDS)


@router.put(
    "/cart/items/{ticket_type_id}",
    summary="Set the quantity of an item",
    response_model=Succeeded[CartResult],
    responses=command_responses(
        200, *SALE_REFUSALS, "item_not_in_cart", *USER_PROBLEMS, *BODY_PROBLEMS
    ),
    openapi_extra=describe_request(
        command=True, body=QuantityBody, examples={"one": {"value": {"quantity": 1}}}
    ),
)
async def set_quantity(request: Request) -> Response:
    """Take or give back the difference; 0 removes the item."""
    envelope = await command_envelope(request, with_deadline=True)
    ticket_type_id = read_id(request, "ticket_type_id")
    body = await read_json(request, QuantityBody)
    command = SetQuantity(**envelope, ticket_type_id=ticket_type_id, quantity=body.quantity)
    return await submit(request, command, wait_seconds=WAIT_SECONDS)


@router.delete(
    "/cart/items/{ticket_type_id}",
    summary="Remove an item",
    response_model=Succeeded[CartResult],
    responses=command_responses(200, "item_not_in_cart", *USER_PROBLEMS),
    openapi_extra=describe_request(command=True),
)
async def release_item(request: Request) -> Response:
    """Give back all tickets of this type."""
    envelope = await command_envelope(request)
    command = ReleaseItem(**envelope, ticket_type_id=read_id(request, "ticket_type_id"))
    return await submit(request, command, wait_seconds=WAIT_SECONDS)


@router.delete(
    "/cart",
    summary="Empty the cart",
    response_model=Succeeded[CartResult],
    responses=command_responses(200, *USER_PROBLEMS),
    openapi_extra=describe_request(command=True),
)
async def release_cart(request: Request) -> Response:
    """Give back everything."""
    command = ReleaseCart(**await command_envelope(request))
    return await submit(request, command, wait_seconds=WAIT_SECONDS)


@router.post(
    "/cart/extend",
    summary="Hold the cart longer",
    response_model=Succeeded[CartResult],
    responses=command_responses(200, "cart_empty", "hold_limit_reached", *USER_PROBLEMS),
    openapi_extra=describe_request(command=True),
)
async def extend_hold(request: Request) -> Response:
    """Hold the tickets as long as a new cart would, up to a limit after the cart's first hold."""
    command = ExtendHold(**await command_envelope(request))
    return await submit(request, command, wait_seconds=WAIT_SECONDS)


@router.get(
    "/cart",
    summary="Read the cart",
    response_model=CartPage,
    responses=problem_responses(*USER_PROBLEMS, "overloaded", "internal"),
    openapi_extra=describe_request(),
)
async def read_cart(request: Request) -> Response:
    """The current cart; `empty` if it has expired or there is none."""
    user_id = await current_user(request)
    cart = await services_of(request).queries.cart(user_id)
    return JsonResponse(_CART.dump_json(cart))
