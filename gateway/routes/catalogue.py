"""The routes of events and ticket types."""

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter

from gateway.http.caching import PublicPage, unless_client_has_it
from gateway.http.envelope import command_envelope
from gateway.http.ids import read_id
from gateway.http.openapi import (
    CACHEABLE,
    IF_NONE_MATCH_HEADER,
    Succeeded,
    command_responses,
    describe_request,
    problem_responses,
)
from gateway.http.problems import BODY_PROBLEMS, USER_PROBLEMS, ProblemCode, ProblemError
from gateway.http.request_body import read_json
from gateway.http.submit_command import submit
from gateway.read_model.queries import EventPage
from gateway.services import services_of
from shared.bodies import EventBody, EventChanges, TicketTypeBody, TicketTypeChanges
from shared.commands import (
    CancelEvent,
    ChangeEvent,
    ChangeTicketType,
    CreateEvent,
    CreateTicketType,
    EndEvent,
)
from shared.outcomes import EventResult, TicketTypeResult

CONCERT = {
    "name": "Concert",
    "starts_at": "2099-06-01T19:00:00Z",
    "ends_at": "2099-06-01T23:00:00Z",
}
STALLS = {
    "name": "Stalls",
    "total_quantity": 100,
    "sale_starts_at": "2026-01-01T00:00:00Z",
    "sale_ends_at": "2099-06-01T19:00:00Z",
}
LATER = {"ends_at": "2099-06-02T01:00:00Z"}
MORE = {"total_quantity": 200}

EVENT_CHANGE_REFUSALS: tuple[ProblemCode, ...] = (
    "event_not_found",
    "not_the_organizer",
    "event_ended",
    "event_cancelled",
)

router = APIRouter(prefix="/v1", tags=["catalogue"])
_EVENT_PAGE = TypeAdapter(EventPage)


@router.post(
    "/events",
    status_code=201,
    summary="Create an event",
    response_model=Succeeded[EventResult],
    responses=command_responses(201, *USER_PROBLEMS, *BODY_PROBLEMS),
    openapi_extra=describe_request(
        command=True, body=EventBody, examples={"concert": {"value": CONCERT}}
    ),
)
async def create_event(request: Request) -> Response:
    """Create an event, with you as its organizer."""
    envelope = await command_envelope(request)
    body = await read_json(request, EventBody)
    command = CreateEvent(**envelope, **dict(body))
    return await submit(request, command, location=f"/v1/events/{command.command_id}")


@router.patch(
    "/events/{event_id}",
    summary="Change an event",
    response_model=Succeeded[EventResult],
    responses=command_responses(
        200,
        *EVENT_CHANGE_REFUSALS,
        *USER_PROBLEMS,
        *BODY_PROBLEMS,
    ),
    openapi_extra=describe_request(
        command=True, body=EventChanges, examples={"later": {"value": LATER}}
    ),
)
async def change_event(request: Request) -> Response:
    """Change the members that are given; all others stay unchanged."""
    envelope = await command_envelope(request)
    event_id = read_id(request, "event_id")
    body = await read_json(request, EventChanges)
    return await submit(request, ChangeEvent(**envelope, event_id=event_id, **dict(body)))


@router.post(
    "/events/{event_id}/cancel",
    summary="Cancel an event",
    response_model=Succeeded[EventResult],
    responses=command_responses(
        200,
        *EVENT_CHANGE_REFUSALS,
        *USER_PROBLEMS,
    ),
    openapi_extra=describe_request(command=True),
)
async def cancel_event(request: Request) -> Response:
    """Cancel the event: none of its tickets are sold any more."""
    envelope = await command_envelope(request)
    return await submit(request, CancelEvent(**envelope, event_id=read_id(request, "event_id")))


@router.post(
    "/events/{event_id}/end",
    summary="End an event",
    response_model=Succeeded[EventResult],
    responses=command_responses(
        200,
        *EVENT_CHANGE_REFUSALS,
        *USER_PROBLEMS,
    ),
    openapi_extra=describe_request(command=True),
)
async def end_event(request: Request) -> Response:
    """End the event before its time."""
    envelope = await command_envelope(request)
    return await submit(request, EndEvent(**envelope, event_id=read_id(request, "event_id")))


@router.post(
    "/events/{event_id}/ticket-types",
    status_code=201,
    summary="Create a ticket type",
    response_model=Succeeded[TicketTypeResult],
    responses=command_responses(
        201,
        *EVENT_CHANGE_REFUSALS,
        "too_many_ticket_types",
        *USER_PROBLEMS,
        *BODY_PROBLEMS,
    ),
    openapi_extra=describe_request(
        command=True, body=TicketTypeBody, examples={"stalls": {"value": STALLS}}
    ),
)
async def create_ticket_type(request: Request) -> Response:
    """Put tickets on sale; the event's page lists the ticket type."""
    envelope = await command_envelope(request)
    event_id = read_id(request, "event_id")
    body = await read_json(request, TicketTypeBody)
    command = CreateTicketType(**envelope, event_id=event_id, **dict(body))
    return await submit(request, command, location=f"/v1/events/{event_id}")


@router.patch(
    "/ticket-types/{ticket_type_id}",
    summary="Change a ticket type",
    response_model=Succeeded[TicketTypeResult],
    responses=command_responses(
        200,
        "ticket_type_not_found",
        "not_the_organizer",
        "event_ended",
        "event_cancelled",
        "total_below_committed",
        *USER_PROBLEMS,
        *BODY_PROBLEMS,
    ),
    openapi_extra=describe_request(
        command=True, body=TicketTypeChanges, examples={"more": {"value": MORE}}
    ),
)
async def change_ticket_type(request: Request) -> Response:
    """Change the members that are given; all others stay unchanged."""
    envelope = await command_envelope(request)
    ticket_type_id = read_id(request, "ticket_type_id")
    body = await read_json(request, TicketTypeChanges)
    command = ChangeTicketType(**envelope, ticket_type_id=ticket_type_id, **dict(body))
    return await submit(request, command)


@router.get(
    "/events/{event_id}",
    summary="Read an event",
    response_model=EventPage,
    responses=CACHEABLE
    | problem_responses(
        "event_not_found", "invalid_request", "database_unavailable", "overloaded", "internal"
    ),
    openapi_extra=describe_request(authentication="none", parameters=[IF_NONE_MATCH_HEADER]),
)
async def read_event(request: Request) -> Response:
    """An event with its ticket types and their availability."""
    services = services_of(request)
    event_id = read_id(request, "event_id")

    async def page() -> Response:
        event = await services.queries.event(event_id)
        if event is None:
            return ProblemError("event_not_found", event_id=event_id).response()
        return PublicPage(_EVENT_PAGE.dump_json(event))

    return unless_client_has_it(request, await services.catalogue.read(event_id, page))
