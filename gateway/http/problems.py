"""Problem documents (RFC 9457), and the HTTP status of each problem code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, assert_never, cast

from pydantic_core import ErrorDetails, to_json
from starlette.responses import Response

from gateway.http.json_response import NO_STORE
from shared.refusals import REFUSALS, RefusalCode

MEDIA_TYPE = "application/problem+json"
DEFAULT_RETRY_AFTER_SECONDS = 1
ASKS_TO_RETRY = (429, 503)
"""The statuses of responses with Retry-After."""
MAX_ERRORS = 20
"""How many validation errors a problem lists."""

GatewayCode = Literal[
    "malformed_request",
    "head_too_large",
    "invalid_request",
    "invalid_command_id",
    "unauthenticated",
    "invalid_credentials",
    "not_found",
    "command_not_found",
    "method_not_allowed",
    "request_timeout",
    "body_too_large",
    "unsupported_media_type",
    "unsupported_transfer_coding",
    "too_many_attempts",
    "too_many_commands",
    "too_many_waits",
    "overloaded",
    "broker_unavailable",
    "database_unavailable",
    "no_online_payment",
    "payment_overdue",
    "payments_unavailable",
    "not_ready",
    "internal",
]
"""The codes of the problems that the gateway finds; all others are refusals by the worker.

`MEANINGS` gives each its status and text. The codes are listed here too, so that mypy checks them
wherever a problem is raised.
"""

ProblemCode = GatewayCode | RefusalCode


COMMAND_PROBLEMS: tuple[ProblemCode, ...] = (
    "invalid_command_id",
    "stale_command",
    "command_id_reused",
    "deadline_passed",
    "unprocessable",
    "invalid_request",
    "too_many_commands",
    "broker_unavailable",
    "overloaded",
    "internal",
)
"""Problems of every command."""
USER_PROBLEMS: tuple[ProblemCode, ...] = (
    "unauthenticated",
    "user_not_found",
    "database_unavailable",
)
"""Problems of every request that bears a token."""
BODY_PROBLEMS: tuple[ProblemCode, ...] = (
    "request_timeout",
    "body_too_large",
    "unsupported_media_type",
)
"""Problems of every request with a body."""


def status_of_refusal(code: RefusalCode) -> int:
    """Return the HTTP status of a refusal."""
    match code:
        case "ticket_type_not_found" | "event_not_found" | "item_not_in_cart" | "order_not_found":
            return 404
        case "user_not_found":
            return 401
        case "not_the_organizer" | "not_the_payment_agent":
            return 403
        case "event_ended" | "event_cancelled" | "sale_not_started" | "sale_ended":
            return 409
        case "insufficient_availability" | "total_below_committed" | "email_taken":
            return 409
        case "line_too_large" | "cart_full" | "too_many_ticket_types":
            return 409
        case "limit_exceeded" | "hold_limit_reached" | "cart_empty":
            return 409
        case "nothing_to_check_out" | "price_changed" | "minimum_not_reached":
            return 409
        case "too_many_open_orders" | "order_not_pending" | "order_not_paid" | "order_full":
            return 409
        case "more_than_held" | "more_than_due":
            return 409
        case "deadline_passed" | "stale_command":
            return 409
        case "command_id_reused" | "unprocessable" | "payment_id_reused" | "currency_mismatch":
            return 422
        case _:
            assert_never(code)


@dataclass(frozen=True, slots=True)
class ProblemSpec:
    """The HTTP status of a code, and its default detail."""

    status: int
    detail: str


MEANINGS: dict[GatewayCode, ProblemSpec] = {
    "malformed_request": ProblemSpec(400, "Malformed HTTP request."),
    "head_too_large": ProblemSpec(431, "The request line and headers are too large."),
    "invalid_request": ProblemSpec(422, "The request is invalid."),
    "invalid_command_id": ProblemSpec(
        422, "The command ID must be a UUIDv7 whose time is not in the future."
    ),
    "unauthenticated": ProblemSpec(401, "A valid bearer token is required."),
    "invalid_credentials": ProblemSpec(401, "The e-mail address or the password is wrong."),
    "not_found": ProblemSpec(404, "The resource does not exist."),
    "command_not_found": ProblemSpec(404, "The command does not exist."),
    "method_not_allowed": ProblemSpec(405, "The resource does not support this method."),
    "request_timeout": ProblemSpec(408, "The body of the request took too long to arrive."),
    "body_too_large": ProblemSpec(413, "The body of the request is too large."),
    "unsupported_media_type": ProblemSpec(415, "The body has a media type that is not accepted."),
    "unsupported_transfer_coding": ProblemSpec(
        501, "The only transfer coding that is supported is chunked."
    ),
    "too_many_attempts": ProblemSpec(429, "Too many wrong passwords; try again later."),
    "too_many_waits": ProblemSpec(
        429, "Too many of your streams and long polls are open; close some of them."
    ),
    "too_many_commands": ProblemSpec(
        429, "Too many of your commands are in flight. This one was not accepted; try again."
    ),
    "overloaded": ProblemSpec(
        503, "The service is overloaded. The request was not accepted; try again."
    ),
    "broker_unavailable": ProblemSpec(
        503, "The broker did not confirm the command: retry with the same Idempotency-Key."
    ),
    "database_unavailable": ProblemSpec(503, "The database does not respond; try again."),
    "no_online_payment": ProblemSpec(
        409, "This order cannot be paid online here: ask the organizer how to pay."
    ),
    "payment_overdue": ProblemSpec(409, "The time to pay this order has passed."),
    "payments_unavailable": ProblemSpec(
        503, "The payment provider does not respond. Nothing was paid; try again."
    ),
    "not_ready": ProblemSpec(503, "A service that the gateway needs does not respond."),
    "internal": ProblemSpec(500, "An internal error occurred."),
}

REFUSAL_DETAILS: dict[str, str] = {refusal.code: refusal.detail for refusal in REFUSALS}
"""The worker's default details, for refusals that the gateway can already give."""


class ProblemError(Exception):
    """Ends a request with a problem document; `more` are its extension members."""

    def __init__(
        self,
        code: ProblemCode,
        detail: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.headers = headers
        self.more = more

    def response(self) -> Response:
        detail = self.detail or detail_of(self.code)
        return problem_response(self.code, detail, self.more, self.headers)


def refusal_problem(
    command_id: str, refusal: dict[str, Any], headers: Mapping[str, str]
) -> ProblemError:
    """Return the problem of a `refusal` in an outcome document, with all its data."""
    data = {name: value for name, value in refusal.items() if name not in ("code", "detail")}
    return ProblemError(
        refusal["code"], refusal["detail"], headers=headers, command_id=command_id, **data
    )


def invalid_request(
    errors: Sequence[Mapping[str, Any] | ErrorDetails], where: str = ""
) -> ProblemError:
    """Return the problem that lists validation errors, without the input.

    `where` is put before the path of each error.
    """
    found: list[dict[str, Any]] = [
        {"loc": [where, *error["loc"]] if where else list(error["loc"]), "msg": error["msg"]}
        for error in errors[:MAX_ERRORS]
    ]
    return ProblemError("invalid_request", errors=found)


def problem_response(
    code: ProblemCode,
    detail: str,
    more: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
) -> Response:
    status = status_of(code)
    document = {
        "type": f"urn:holdfast:problem:{code}",
        "title": title_of(code),
        "status": status,
        "detail": detail,
        "code": code,
        **more,
    }
    all_headers = {"Cache-Control": NO_STORE, **(headers or {})}
    if status == 401:
        # RFC 9110, section 15.5.2: a 401 always has a challenge.
        all_headers.setdefault("WWW-Authenticate", 'Bearer error="invalid_token"')
    if status in ASKS_TO_RETRY:
        all_headers.setdefault("Retry-After", str(DEFAULT_RETRY_AFTER_SECONDS))
    return Response(to_json(document), status, all_headers, MEDIA_TYPE)


def status_of(code: ProblemCode) -> int:
    """Return the HTTP status of any problem."""
    if code in MEANINGS:
        return MEANINGS[code].status
    return status_of_refusal(cast(RefusalCode, code))


def title_of(code: ProblemCode) -> str:
    """Return the title: the code in words, equal for every occurrence (RFC 9457)."""
    return code.replace("_", " ").capitalize()


def detail_of(code: ProblemCode) -> str:
    """Return the default detail of a code."""
    return MEANINGS[code].detail if code in MEANINGS else REFUSAL_DETAILS[code]
