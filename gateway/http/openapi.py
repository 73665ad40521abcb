"""Describes routes for OpenAPI beyond their signatures: requests, responses and problems."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, Field

from gateway.http.prefer import MAX_WAIT_SECONDS
from gateway.http.problems import (
    ASKS_TO_RETRY,
    COMMAND_PROBLEMS,
    MEDIA_TYPE,
    ProblemCode,
    detail_of,
    status_of,
    title_of,
)
from gateway.identity.authentication import PASSWORD_FLOW
from shared.commands import Kind

PREFER_HEADER: dict[str, Any] = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": f"`wait=N` awaits the outcome, at most {MAX_WAIT_SECONDS} seconds;"
    " `respond-async` does not (RFC 7240).",
    "schema": {"type": "string"},
    "examples": {
        "default": {"summary": "the default of the route", "value": ""},
        "wait": {"summary": "await the outcome", "value": "wait=5"},
    },
}
KEY_HEADER: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The ID of the command, a UUIDv7. Without it, the gateway generates one."
    " To retry, send the same request with the same key.",
    "schema": {"type": "string", "format": "uuid"},
}
IF_NONE_MATCH_HEADER: dict[str, Any] = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of the client's copy; 304 if it is still current.",
    "schema": {"type": "string"},
}
CACHEABLE: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            name: {"description": description, "schema": {"type": "string"}}
            for name, description in (
                ("ETag", "Identifies this version of the page, for `If-None-Match`."),
                ("Cache-Control", "How long any cache may keep the page."),
            )
        }
    },
    304: {"description": "The client's copy is current, as `If-None-Match` says."},
}
"""The responses of a page that any cache may keep."""

SCHEMAS = "#/components/schemas/"

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


def command_responses(success: int, *codes: ProblemCode) -> dict[int | str, dict[str, Any]]:
    """Describe the responses to a command: `success`, 202, and these problems."""
    headers = {"Preference-Applied": _header("The preferences that were followed (RFC 7240).")}
    if success == 201:
        headers["Location"] = _header("Where to find what was created.")
    return {
        success: {"description": "Succeeded; the outcome document.", "headers": headers},
        202: {
            "model": Pending,
            "description": "Stored by the broker, and not decided yet.",
            "headers": {
                "Preference-Applied": headers["Preference-Applied"],
                "Location": _header("Where the outcome will be: `/v1/commands/{command_id}`."),
                "Retry-After": _header("When to poll the Location, in seconds.", "integer"),
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


class RequestDescription(dict[str, Any]):
    """An operation's `openapi_extra`, and the model of its body."""

    body: type[BaseModel] | None = None


def describe_request(
    *,
    authentication: Literal["required", "optional", "none"] = "required",
    command: bool = False,
    body: type[BaseModel] | None = None,
    examples: dict[str, Any] | None = None,
    is_body_required: bool = True,
    parameters: Sequence[dict[str, Any]] = (),
) -> RequestDescription:
    """Describe a request that its endpoint reads itself, so that its signature does not show it.

    `examples` are values of the body by name. The IDs in the path are described without this.
    """
    described = RequestDescription()
    if authentication != "none":
        flow: list[dict[str, list[str]]] = [{PASSWORD_FLOW.scheme_name: []}]
        described["security"] = flow if authentication == "required" else [{}, *flow]
    if command:
        parameters = (KEY_HEADER, PREFER_HEADER, *parameters)
    if parameters:
        described["parameters"] = list(parameters)
    if body is not None:
        described.body = body
        content: dict[str, Any] = {"schema": {"$ref": f"{SCHEMAS}{body.__name__}"}}
        if examples:
            content["examples"] = examples
        described["requestBody"] = {
            "required": is_body_required,
            "content": {"application/json": content},
        }
    return described


def _problem_response(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = _header("How to authenticate: `Bearer`.")
    if status in ASKS_TO_RETRY:
        headers["Retry-After"] = _header("When to retry, in seconds.", "integer")
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
