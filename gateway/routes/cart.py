"""Reserving tickets, and the cart that holds them."""

from typing import Annotated, ClassVar

from fastapi import APIRouter, Body, Request, Response
from pydantic import TypeAdapter

from gateway.http.command_route import CommandRoute
from gateway.http.direct_route import DirectRoute
from gateway.http.envelope import ByBuyer, ByCurrentUser
from gateway.http.json_response import JsonResponse
from gateway.http.openapi import (
    BODY_PROBLEMS,
    USER_PROBLEMS,
    Succeeded,
    command_responses,
    problem_responses,
)
from gateway.http.problems import ProblemCode
from gateway.identity.authentication import CurrentUser
from gateway.services import services_of
from shared.commands import (
    QuantityBody,
    ReleaseCart,
    ReleaseItem,
    ReservationBody,
    ReserveTickets,
    SetQuantity,
)
from shared.ids import Id
from shared.outcomes import Cart, CartResult


class CartRoute(CommandRoute):
    """Cart commands answer at once: in a rush, nobody's connection waits for the queue."""

    default_wait_seconds: ClassVar[int] = 0


SALE_REFUSALS: tuple[ProblemCode, ...] = (
    "ticket_type_not_found",
    "event_ended",
    "event_cancelled",
    "sale_not_started",
    "sale_ended",
    "insufficient_availability",
)

A_TICKET_TYPE = {
    "summary": "put in a ticket type's ID, from an event's page",
    "value": {"items": [{"ticket_type_id": "00000000-0000-7000-8000-000000000000", "quantity": 2}]},
}
Reservation = Annotated[ReservationBody, Body(openapi_examples={"reserve": A_TICKET_TYPE})]
Quantity = Annotated[QuantityBody, Body(openapi_examples={"one": {"value": {"quantity": 1}}})]

router = APIRouter(prefix="/v1", tags=["cart"], route_class=CartRoute)
queries = APIRouter(prefix="/v1", tags=["cart"], route_class=DirectRoute)
_CART = TypeAdapter(Cart)


@router.post(
    "/reservations",
    summary="Reserve tickets",
    response_model=Succeeded[CartResult],
    responses=command_responses(200, *SALE_REFUSALS, *USER_PROBLEMS, *BODY_PROBLEMS),
)
def reserve_tickets(envelope: ByBuyer, body: Reservation) -> ReserveTickets:
    """Add tickets to the cart: all lines or none."""
    return ReserveTickets(**envelope, items=body.items)


@router.put(
    "/cart/items/{ticket_type_id}",
    summary="Set the quantity of an item",
    response_model=Succeeded[CartResult],
    responses=command_responses(
        200, *SALE_REFUSALS, "item_not_in_cart", *USER_PROBLEMS, *BODY_PROBLEMS
    ),
)
def set_quantity(envelope: ByBuyer, ticket_type_id: Id, body: Quantity) -> SetQuantity:
    """Take or give back the difference; 0 removes the item."""
    return SetQuantity(**envelope, ticket_type_id=ticket_type_id, quantity=body.quantity)


@router.delete(
    "/cart/items/{ticket_type_id}",
    summary="Remove an item",
    response_model=Succeeded[CartResult],
    responses=command_responses(200, "item_not_in_cart", *USER_PROBLEMS),
)
def release_item(envelope: ByCurrentUser, ticket_type_id: Id) -> ReleaseItem:
    """Give back all tickets of this type."""
    return ReleaseItem(**envelope, ticket_type_id=ticket_type_id)


@router.delete(
    "/cart",
    summary="Empty the cart",
    response_model=Succeeded[CartResult],
    responses=command_responses(200, *USER_PROBLEMS),
)
def release_cart(envelope: ByCurrentUser) -> ReleaseCart:
    """Give back everything."""
    return ReleaseCart(**envelope)


@queries.get(
    "/cart",
    summary="Look into the cart",
    response_model=Cart,
    responses=problem_responses(*USER_PROBLEMS, "overloaded", "internal"),
)
async def read_cart(request: Request, user_id: CurrentUser) -> Response:
    """The cart as of now; an expired or absent one reads as empty."""
    cart = await services_of(request).queries.cart(user_id)
    return JsonResponse(_CART.dump_json(cart))
