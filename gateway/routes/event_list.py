"""The route of the list of events: filtered, ordered by start, in pages."""

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from gateway.http.caching import PublicPage, unless_client_has_it
from gateway.http.cursor import (
    DEFAULT_PAGE_ITEMS,
    MAX_PAGE_ITEMS,
    ListPosition,
    read_cursor,
    write_cursor,
)
from gateway.http.json_response import JsonResponse
from gateway.http.openapi import (
    CACHEABLE,
    IF_NONE_MATCH_HEADER,
    describe_request,
    problem_responses,
)
from gateway.identity.authentication import current_user
from gateway.read_model.queries import EventFilter
from gateway.services import services_of
from shared.fields import Instant
from shared.outcomes import Event

MAX_SEARCH_CHARACTERS = 100

router = APIRouter(prefix="/v1", tags=["catalogue"])


@dataclass(slots=True)
class Events:
    """A page of the list of events, ordered by their start."""

    items: list[Event]
    next_cursor: str | None


class EventQuery(BaseModel):
    """The query of the list of events."""

    model_config = ConfigDict(frozen=True)

    status: Annotated[
        Literal["active", "cancelled", "ended", "all"] | None,
        Field(
            description="An event whose `ends_at` has passed is `ended`."
            " By default `active`; with `organizer`, `all`."
        ),
    ] = None
    q: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=MAX_SEARCH_CHARACTERS,
            pattern=r"^[^\x00]*$",  # Postgres takes no NUL
            description="A part of the name, in upper or lower case.",
        ),
    ] = None
    organizer: Annotated[
        Literal["me"] | None,
        Field(description="Only the events of the user whose token the request has."),
    ] = None
    starts_after: Annotated[
        Instant | None, Field(description="Only events that start at this time or later.")
    ] = None
    starts_before: Annotated[
        Instant | None, Field(description="Only events that start before this time.")
    ] = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE_ITEMS)] = DEFAULT_PAGE_ITEMS
    cursor: Annotated[
        str | None,
        Field(description="The `next_cursor` of the previous page with the same filter."),
    ] = None


_EVENTS = TypeAdapter(Events)
_FILTER = TypeAdapter(EventFilter)


@router.get(
    "/events",
    summary="List events",
    response_model=Events,
    responses=CACHEABLE
    | problem_responses(
        "unauthenticated", "invalid_request", "database_unavailable", "overloaded", "internal"
    ),
    openapi_extra=describe_request(authentication="optional", parameters=[IF_NONE_MATCH_HEADER]),
)
async def list_events(request: Request, query: Annotated[EventQuery, Query()]) -> Response:
    """Events ordered by their start; by default only active ones.

    Only `organizer=me` needs a token.
    """
    services = services_of(request)
    organizer_id = await current_user(request) if query.organizer else None
    wanted = EventFilter(
        status=query.status or ("all" if query.organizer else "active"),
        name_part=query.q,
        organizer_id=organizer_id,
        starts_after=query.starts_after,
        starts_before=query.starts_before,
    )
    described = _FILTER.dump_json(wanted)
    after = read_cursor(query.cursor, described) if query.cursor else None

    async def page() -> Response:
        # One event more shows whether there is a next page.
        events = await services.queries.events(wanted, query.limit + 1, after)
        items = events[: query.limit]
        next_cursor = None
        if len(events) > query.limit:
            next_cursor = write_cursor(ListPosition(items[-1].starts_at, items[-1].id), described)
        document = _EVENTS.dump_json(Events(items, next_cursor))
        return JsonResponse(document) if organizer_id else PublicPage(document)

    answer = await services.catalogue.read((wanted, query.limit, after), page)
    return unless_client_has_it(request, answer)
