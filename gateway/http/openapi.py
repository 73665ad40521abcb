"""What OpenAPI says about the gateway beside the signatures of its routes."""

from copy import copy
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, Field
from starlette.routing import BaseRoute, Route

from gateway.http.prefer import MAX_WAIT_SECONDS
from gateway.http.problems import (
    ASKS_TO_RETRY,
    MEDIA_TYPE,
    ProblemCode,
    detail_of,
    status_of,
    title_of,
)
from shared.commands import Kind

DESCRIPTION = """
Tickets are reserved in a cart that holds them for a while.

**The way to a reservation**: register (`POST /v1/users`), press *Authorize* with that e-mail
and password, take a ticket type from an event (`GET /v1/events`, or make your own event and
ticket type), reserve (`POST /v1/reservations`), look into your cart (`GET /v1/cart`).

**Every write is a command**: it is on the broker's disk when you get an answer, and is applied
exactly once however often it is sent under the same `Idempotency-Key`. Prefer `wait=5` to get
the outcome at once; after a 202 find it where `Location` points.
"""

TAGS = [
    {"name": "accounts", "description": "Users and their tokens."},
    {"name": "catalogue", "description": "Events, their ticket types, and what is left."},
    {"name": "cart", "description": "Reserving and releasing tickets."},
    {"name": "commands", "description": "What became of a command."},
    {"name": "service", "description": "Health and metrics."},
]

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
"""What any command may come to."""
USER_PROBLEMS: tuple[ProblemCode, ...] = (
    "unauthenticated",
    "user_not_found",
    "database_unavailable",
)
BODY_PROBLEMS: tuple[ProblemCode, ...] = (
    "request_timeout",
    "body_too_large",
    "unsupported_media_type",
)

PREFER_HEADER: dict[str, Any] = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": f"`wait=N` awaits the outcome, at most {MAX_WAIT_SECONDS} seconds;"
    " `respond-async` does not (RFC 7240).",
    "schema": {"type": "string"},
    "examples": {
        "default": {"summary": "as the route does", "value": ""},
        "wait": {"summary": "await the outcome", "value": "wait=5"},
    },
}
KEY_HEADER: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Names the command: a UUIDv7. Left out, the gateway makes one. To retry, send"
    " the same request under the same key.",
    "schema": {"type": "string", "format": "uuid"},
}

ResultT = TypeVar("ResultT")


class Succeeded(BaseModel, Generic[ResultT]):
    """The outcome document of a command that succeeded."""

    command_id: str = Field(json_schema_extra={"format": "uuid"})
    kind: Kind
    status: Literal["succeeded"]
    submitted_at: datetime
    decided_at: datetime
    result: ResultT
    refusal: None


class Pending(BaseModel):
    """The outcome document of a command that is not decided yet."""

    command_id: str = Field(json_schema_extra={"format": "uuid"})
    kind: Kind | None
    status: Literal["pending"]
    submitted_at: datetime | None
    decided_at: None
    result: None
    refusal: None


class ProblemDocument(BaseModel):
    """A problem document (RFC 9457); a refusal's data are members beside these."""

    type: str = Field(examples=["urn:holdfast:problem:insufficient_availability"])
    title: str
    status: int
    detail: str
    code: str = Field(description="What the problem is, stable and for programs.")
    command_id: str | None = Field(None, description="Where a command was involved.")
    errors: list[dict[str, Any]] | None = Field(
        None, description="What failed validation: `loc` and `msg` of each."
    )


def command_responses(success: int, *codes: ProblemCode) -> dict[int | str, dict[str, Any]]:
    """Describe the answers of a command: success with `success`, 202, and these problems."""
    headers = {"Preference-Applied": _header("The preferences that were followed (RFC 7240).")}
    if success == 201:
        headers["Location"] = _header("Where to find what was created.")
    return {
        success: {"description": "Succeeded; the outcome document.", "headers": headers},
        202: {
            "model": Pending,
            "description": "On the broker's disk, and not decided yet.",
            "headers": {
                "Preference-Applied": headers["Preference-Applied"],
                "Location": _header("Where the outcome will be: `/v1/commands/{command_id}`."),
                "Retry-After": _header("When to look there, in seconds.", "integer"),
            },
        },
        **problem_responses(*codes, *COMMAND_PROBLEMS),
    }


def problem_responses(*codes: ProblemCode) -> dict[int | str, dict[str, Any]]:
    """Describe the problems with these codes, by status, with an example of each."""
    responses: dict[int | str, dict[str, Any]] = {}
    for code in dict.fromkeys(codes):
        response = responses.setdefault(status_of(code), _problem_response(status_of(code)))
        response["content"][MEDIA_TYPE]["examples"][code] = {"value": _example(code)}
        response["description"] = " or ".join(
            f"`{name}`" for name in response["content"][MEDIA_TYPE]["examples"]
        )
    return responses


class DescribedApi(FastAPI):
    """A FastAPI app whose OpenAPI document also holds the schema of problem documents."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            schema = get_openapi(
                title=self.title,
                version=self.version,
                description=self.description,
                tags=self.openapi_tags,
                routes=[_without_head(route) for route in self.routes],
            )
            problem = ProblemDocument.model_json_schema()
            schema["components"]["schemas"]["Problem"] = problem
            self.openapi_schema = schema
        return self.openapi_schema


def _without_head(route: BaseRoute) -> BaseRoute:
    """A HEAD is a GET without its body, and no operation of its own."""
    described = copy(route)
    if isinstance(described, Route) and described.methods:
        described.methods = described.methods - {"HEAD"}
    return described


def _problem_response(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = _header("How to authenticate: `Bearer`.")
    if status in ASKS_TO_RETRY:
        headers["Retry-After"] = _header("When to try again, in seconds.", "integer")
    response: dict[str, Any] = {"content": {MEDIA_TYPE: {"schema": schema, "examples": {}}}}
    return {**response, "headers": headers} if headers else response


def _header(description: str, schema_type: str = "string") -> dict[str, Any]:
    return {"description": description, "schema": {"type": schema_type}}


def _example(code: ProblemCode) -> dict[str, Any]:
    return {
        "type": f"urn:holdfast:problem:{code}",
        "title": title_of(code),
        "status": status_of(code),
        "detail": detail_of(code),
        "code": code,
    }
