"""What OpenAPI says about the gateway beside the signatures of its routes."""

import re
from collections.abc import Sequence
from copy import copy
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema
from starlette.routing import BaseRoute, Route

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
IF_NONE_MATCH_HEADER: dict[str, Any] = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of what the client has; 304 where that is still the answer.",
    "schema": {"type": "string"},
}
CACHEABLE: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            name: {"description": description, "schema": {"type": "string"}}
            for name, description in (
                ("ETag", "Names these bytes, for `If-None-Match`."),
                ("Cache-Control", "How long any cache may keep the page."),
            )
        }
    },
    304: {"description": "The client has this page already, as `If-None-Match` says."},
}
"""The answers of a page that any cache may keep."""

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


class RequestDescription(dict[str, Any]):
    """An operation's `openapi_extra`, and the model of its body."""

    body: type[BaseModel] | None = None


def describe_request(
    *,
    authentication: Literal["required", "optional", "none"] = "required",
    command: bool = False,
    body: type[BaseModel] | None = None,
    examples: dict[str, Any] | None = None,
    parameters: Sequence[dict[str, Any]] = (),
) -> RequestDescription:
    """Describe a request that its endpoint reads itself, whose signature says nothing of it.

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
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    return described


class DescribedApi(FastAPI):
    """A FastAPI app whose OpenAPI document also describes what endpoints read by themselves."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            schema = get_openapi(
                title=self.title,
                version=self.version,
                description=self.description,
                tags=self.openapi_tags,
                routes=[_without_head(route) for route in self.routes],
            )
            _describe_ids(schema["paths"])
            components = schema["components"]
            components["schemas"] |= _body_schemas(self.routes)
            components["schemas"]["Problem"] = ProblemDocument.model_json_schema()
            flow = PASSWORD_FLOW.model.model_dump(mode="json", by_alias=True, exclude_none=True)
            components["securitySchemes"] = {PASSWORD_FLOW.scheme_name: flow}
            self.openapi_schema = schema
        return self.openapi_schema


def _body_schemas(routes: Sequence[BaseRoute]) -> dict[str, Any]:
    extras = [route.openapi_extra for route in routes if isinstance(route, APIRoute)]
    described = [extra for extra in extras if isinstance(extra, RequestDescription)]
    _, schemas = models_json_schema(
        [(extra.body, "validation") for extra in described if extra.body],
        ref_template=SCHEMAS + "{model}",
    )
    definitions: dict[str, Any] = jsonable_encoder(schemas["$defs"], exclude_none=True)
    return definitions


def _describe_ids(paths: dict[str, Any]) -> None:
    """Describe the IDs in paths: all of them are UUIDs."""
    for path, operations in paths.items():
        for operation in operations.values():
            parameters = operation.get("parameters", [])
            described = {parameter["name"] for parameter in parameters}
            ids = [_id_in_path(name) for name in re.findall(r"{(\w+)}", path)]
            ids = [parameter for parameter in ids if parameter["name"] not in described]
            if ids:
                operation["parameters"] = ids + parameters


def _id_in_path(name: str) -> dict[str, Any]:
    schema = {"type": "string", "format": "uuid", "title": name.replace("_", " ").title()}
    return {"name": name, "in": "path", "required": True, "schema": schema}


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
