"""The routes of a command's outcome: read it, long-poll for it, or stream it."""

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, nullcontext
from time import monotonic

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from gateway.http.ids import is_stale, read_submission_id
from gateway.http.json_response import JsonResponse
from gateway.http.openapi import PREFER_HEADER, describe_request, problem_responses
from gateway.http.prefer import read_preferences
from gateway.http.problems import DEFAULT_RETRY_AFTER_SECONDS, USER_PROBLEMS, ProblemError
from gateway.identity.authentication import current_user
from gateway.outcome_document import DecidedOutcome
from gateway.server.client_disconnects import ClientDisconnectedError, ending_on_disconnect
from gateway.services import Services, services_of
from shared.outcomes import Outcome, encode_outcome

HEARTBEAT_SECONDS = 10
STREAM_SECONDS = 120
"""A stream ends after this time; an EventSource then reconnects."""

STREAM_EXAMPLE = ": waiting\n\nevent: outcome\nid: 01a2…\ndata: {…}\n\n"
STREAM_HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would otherwise buffer the events
}
LINE_ENDS = str.maketrans({"\x85": r"\u0085", "\u2028": r"\u2028", "\u2029": r"\u2029"})
"""JSON escapes for the line ends of Unicode that JSON allows inside a string.

The standard of server-sent events ends a line at CR and LF alone, but several client libraries
end it wherever Unicode does, and lose the rest of the document.
"""

_NO_CONTEXT = nullcontext()

router = APIRouter(prefix="/v1", tags=["commands"])
PROBLEMS = problem_responses(
    "invalid_command_id", "command_not_found", "too_many_waits", *USER_PROBLEMS, "internal"
)


@router.get(
    "/commands/{command_id}",
    summary="Read the outcome of a command",
    response_model=Outcome,
    openapi_extra=describe_request(parameters=[PREFER_HEADER]),
    responses={**PROBLEMS},
)
async def read_command(request: Request) -> Response:
    """The outcome document, also of a refused command; `Prefer: wait=N` waits for it.

    `pending` while no worker has decided a command of yours under this ID.
    """
    services = services_of(request)
    user_id = await current_user(request)
    command_id, fingerprint = read_submission_id(request.path_params["command_id"])
    preferences = read_preferences(request.headers.getlist("prefer"))
    wait_seconds = preferences.wait_or(0)
    watch = ending_on_disconnect(request.receive)
    try:
        decided = await _outcome(services, command_id, user_id, fingerprint, wait_seconds, watch)
    except ClientDisconnectedError:
        decided = None
    headers = {}
    if preferences.wait_seconds is not None:
        headers["Preference-Applied"] = f"wait={preferences.wait_seconds}"
    if decided is None:
        headers["Retry-After"] = str(DEFAULT_RETRY_AFTER_SECONDS)
    document = decided.document if decided else _pending(command_id)
    return JsonResponse(document.encode(), headers=headers)


@router.get(
    "/commands/{command_id}/events",
    summary="Stream the outcome of a command",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "`event: outcome` once decided, with the outcome document as data;"
            " comments until then.",
            "content": {"text/event-stream": {"example": STREAM_EXAMPLE}},
        },
        204: {"description": "The client already has the outcome, as `Last-Event-ID` says."},
        **PROBLEMS,
    },
    openapi_extra=describe_request(),
)
async def follow_command(request: Request) -> Response:
    """The outcome as server-sent events; the stream ends with it, or after two minutes.

    The event's ID is the command's. An `EventSource` connects again after the end of a stream and
    sends that ID; it is answered 204, which the standard defines as the signal to stop.
    """
    services = services_of(request)
    user_id = await current_user(request)
    command_id, fingerprint = read_submission_id(request.path_params["command_id"])
    decided = await _outcome(services, command_id, user_id, fingerprint)
    if decided is not None and request.headers.get("last-event-id") == command_id:
        return Response(status_code=204, headers={"Cache-Control": "no-store"})
    events = _events(services, command_id, user_id, fingerprint, decided)
    return OutcomeStream(events, services.user_waits.counted(user_id, command_id))


async def _outcome(
    services: Services,
    command_id: str,
    user_id: str,
    fingerprint: bytes | None,
    wait_seconds: int = 0,
    while_waiting: AbstractContextManager[None] = _NO_CONTEXT,
) -> DecidedOutcome | None:
    """Return the user's outcome, or None if there is none yet. Raises `command_not_found`."""
    decided = await services.outcome_poller.find_now(command_id, user_id, fingerprint)
    if decided is None and is_stale(command_id, services.settings.command_window_seconds):
        raise ProblemError("command_not_found", command_id=command_id)
    if decided is None and wait_seconds > 0:
        with services.user_waits.counted(user_id, command_id), while_waiting:
            decided = await services.outcome_poller.wait_for(
                command_id, user_id, wait_seconds, fingerprint
            )
    return decided


class OutcomeStream(StreamingResponse):
    """The server-sent events of a command. It counts as a wait of its user while it lasts."""

    def __init__(self, events: AsyncIterator[str], count: AbstractContextManager[None]) -> None:
        super().__init__(events, headers=STREAM_HEADERS, media_type="text/event-stream")
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events. Raises `too_many_waits` before anything is sent."""
        with self._count:
            await super().__call__(scope, receive, send)


async def _events(
    services: Services,
    command_id: str,
    user_id: str,
    fingerprint: bytes | None,
    decided: DecidedOutcome | None,
) -> AsyncIterator[str]:
    ends_at = monotonic() + STREAM_SECONDS
    while decided is None:
        yield ": waiting\n\n"
        if monotonic() >= ends_at or services.outcome_poller.closing:
            return
        decided = await services.outcome_poller.wait_for(
            command_id, user_id, HEARTBEAT_SECONDS, fingerprint
        )
    yield outcome_event(command_id, decided.document)


def outcome_event(command_id: str, document: str) -> str:
    """Return the server-sent event of an outcome document, which is one line of JSON."""
    return f"event: outcome\nid: {command_id}\ndata: {document.translate(LINE_ENDS)}\n\n"


def _pending(command_id: str) -> str:
    return encode_outcome(Outcome(command_id, None, "pending", None, None, None, None))
