"""The OpenAPI document of the gateway, with the requests that endpoints read themselves."""

import re
from collections.abc import Sequence
from copy import copy
from typing import Any

from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema
from starlette.routing import BaseRoute, Route

from gateway.http.openapi import SCHEMAS, RequestDescription
from gateway.identity.authentication import PASSWORD_FLOW

DESCRIPTION = """
Tickets are reserved in a cart that holds them for a while.

**To make a reservation**: register (`POST /v1/users`), press *Authorize* with that e-mail
and password, choose a ticket type of an event (`GET /v1/events`, or create an event and a
ticket type), reserve (`POST /v1/reservations`), and read your cart (`GET /v1/cart`).

**Every write is a command**: the broker has stored it when you get the response, and it is
applied exactly once, however often it is sent with the same `Idempotency-Key`. Send
`Prefer: wait=5` to await the outcome; after a 202 read it at the URL in `Location`.
"""

TAGS = [
    {"name": "accounts", "description": "Users and their tokens."},
    {"name": "catalogue", "description": "Events, their ticket types and availability."},
    {"name": "cart", "description": "Reserving and releasing tickets."},
    {"name": "orders", "description": "Checking out, payments, and cancelling."},
    {"name": "payments", "description": "Paying an order online."},
    {"name": "commands", "description": "Outcomes of commands."},
    {"name": "service", "description": "Health and metrics."},
]


class DescribedApi(FastAPI):
    """A FastAPI app that also describes the requests that endpoints read themselves."""

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
    """Describe the path parameters: all of them are UUIDs."""
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
    """Return the route without HEAD, which the document does not list beside GET."""
    described = copy(route)
    if isinstance(described, Route) and described.methods:
        described.methods = described.methods - {"HEAD"}
    return described


class ProblemDocument(BaseModel):
    """A problem document (RFC 9457); a refusal's data are members beside these."""

    type: str = Field(examples=["urn:holdfast:problem:insufficient_availability"])
    title: str
    status: int
    detail: str
    code: str = Field(description="The stable code of the problem, for programs.")
    command_id: str | None = Field(None, description="The command, if one was involved.")
    errors: list[dict[str, Any]] | None = Field(
        None, description="Validation errors, each with `loc` and `msg`."
    )
