"""The pages of orders: of their buyers, and of the organizer and the payment agent of an event."""

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from gateway.http.cursor import (
    DEFAULT_PAGE_ITEMS,
    MAX_PAGE_ITEMS,
    ListPosition,
    read_cursor,
    write_cursor,
)
from gateway.http.ids import read_id
from gateway.http.json_response import JsonResponse
from gateway.http.openapi import describe_request, problem_responses
from gateway.http.problems import USER_PROBLEMS, ProblemCode, ProblemError
from gateway.identity.authentication import current_user
from gateway.read_model.order_queries import OrderFilter, list_orders, officers_of, read_order
from gateway.services import services_of
from shared.orders import Order, OrderStatus

PAGE_PROBLEMS: tuple[ProblemCode, ...] = (
    *USER_PROBLEMS,
    "invalid_request",
    "overloaded",
    "internal",
)

router = APIRouter(prefix="/v1", tags=["orders"])


@dataclass(slots=True)
class Orders:
    """A page of a list of orders, the newest first."""

    items: list[Order]
    next_cursor: str | None


class OrderQuery(BaseModel):
    """The query of the list of one's own orders."""

    model_config = ConfigDict(frozen=True)

    status: Annotated[OrderStatus | None, Field(description="By default, all.")] = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE_ITEMS)] = DEFAULT_PAGE_ITEMS
    cursor: Annotated[
        str | None,
        Field(description="The `next_cursor` of the page before, which had the same filter."),
    ] = None


class EventOrderQuery(OrderQuery):
    """The query of the list of an event's orders."""

    refund_due: Annotated[
        Literal["true"] | None, Field(description="Only orders of which money is due back.")
    ] = None


_ORDER = TypeAdapter(Order)
_ORDERS = TypeAdapter(Orders)
_FILTER = TypeAdapter(OrderFilter)


@router.get(
    "/orders",
    summary="List your orders",
    response_model=Orders,
    responses=problem_responses(*PAGE_PROBLEMS),
    openapi_extra=describe_request(),
)
async def list_own_orders(request: Request, query: Annotated[OrderQuery, Query()]) -> Response:
    """Your orders, the newest first."""
    user_id = await current_user(request)
    wanted = OrderFilter(user_id, None, query.status, refund_due=False)
    return await _page(request, wanted, query)


@router.get(
    "/orders/{order_id}",
    summary="Look at an order",
    response_model=Order,
    responses=problem_responses("order_not_found", *PAGE_PROBLEMS),
    openapi_extra=describe_request(),
)
async def read_one(request: Request) -> Response:
    """An order of yours, or of an event that you organize or record payments for."""
    user_id = await current_user(request)
    order_id = read_id(request, "order_id")
    found = await read_order(services_of(request).queries, order_id)
    if found is None or user_id not in (found.order.user_id, *found.officers):
        raise ProblemError("order_not_found", order_id=order_id)
    return JsonResponse(_ORDER.dump_json(found.order))


@router.get(
    "/events/{event_id}/orders",
    summary="List the orders of an event",
    response_model=Orders,
    responses=problem_responses("event_not_found", "not_the_organizer", *PAGE_PROBLEMS),
    openapi_extra=describe_request(),
)
async def list_orders_of_event(
    request: Request, query: Annotated[EventOrderQuery, Query()]
) -> Response:
    """The orders of an event, the newest first, for its organizer and its payment agent."""
    user_id = await current_user(request)
    event_id = read_id(request, "event_id")
    officers = await officers_of(services_of(request).queries, event_id)
    if officers is None:
        raise ProblemError("event_not_found", event_id=event_id)
    if user_id not in officers:
        raise ProblemError("not_the_organizer")
    wanted = OrderFilter(None, event_id, query.status, refund_due=query.refund_due is not None)
    return await _page(request, wanted, query)


async def _page(request: Request, wanted: OrderFilter, query: OrderQuery) -> Response:
    described = _FILTER.dump_json(wanted)
    after = read_cursor(query.cursor, described) if query.cursor else None
    # One more than asked for tells whether there is a next page.
    queries = services_of(request).queries
    orders = await list_orders(queries, wanted, query.limit + 1, after)
    items = list(orders[: query.limit])
    next_cursor = None
    if len(orders) > query.limit:
        next_cursor = write_cursor(ListPosition(items[-1].created_at, items[-1].id), described)
    return JsonResponse(_ORDERS.dump_json(Orders(items, next_cursor)))
