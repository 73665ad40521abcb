"""Paying an order online: which provider there is, and its page for an order."""

from fastapi import APIRouter, Request, Response

from gateway.http.ids import read_id
from gateway.http.json_response import JsonResponse
from gateway.http.openapi import describe_request, problem_responses
from gateway.http.problems import USER_PROBLEMS, ProblemError
from gateway.identity.authentication import current_user
from gateway.payment_provider import PaymentSession, ProviderDescription
from gateway.read_model.order_queries import read_order
from gateway.services import services_of

router = APIRouter(prefix="/v1", tags=["payments"])


@router.get(
    "/payment-provider",
    summary="Which payment provider is there?",
    response_model=ProviderDescription,
    responses=problem_responses("payments_unavailable", "overloaded", "internal"),
    openapi_extra=describe_request(authentication="none"),
)
async def read_payment_provider(request: Request) -> Response:
    """An organizer names its user as the `payment_agent_id` of an event, to be paid through it."""
    description = await services_of(request).payment_provider.describe()
    return JsonResponse(description.model_dump_json().encode())


@router.post(
    "/orders/{order_id}/payment-session",
    summary="Get the page that pays an order",
    response_model=PaymentSession,
    responses=problem_responses(
        "order_not_found",
        "order_not_pending",
        "payment_overdue",
        "no_online_payment",
        "payments_unavailable",
        "too_many_waits",
        "invalid_request",
        *USER_PROBLEMS,
        "overloaded",
        "internal",
    ),
    openapi_extra=describe_request(),
)
async def open_payment_session(request: Request) -> Response:
    """The buyer's browser goes to `url`. A repetition gives the same page while it lasts."""
    services = services_of(request)
    user_id = await current_user(request)
    order_id = read_id(request, "order_id")
    found = await read_order(services.queries, order_id)
    if found is None or found.order.user_id != user_id:
        raise ProblemError("order_not_found", order_id=order_id)
    if found.order.status != "pending_payment":
        raise ProblemError("order_not_pending", order_id=order_id, order_status=found.order.status)
    # An order has the ID of the command that made it.
    with services.user_waits.counted(user_id, order_id):
        session = await services.payment_provider.open_session(order_id)
    return JsonResponse(session.model_dump_json().encode())
