"""The AsyncAPI document of the queue, and the page that shows it without the internet.

FastStream documents a handler of undecoded messages, because the worker dead-letters what it
cannot read. The schemas of commands and outcomes are added here, from the models that read and
write them.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faststream.asgi import AsgiResponse, AsyncAPIRoute, get
from faststream.asgi.handlers import GetHandler
from faststream.specification import AsyncAPI
from faststream.specification.base import Specification
from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from shared.messages import Message
from shared.outcomes import Outcome

DESCRIPTION = """
Publish to the exchange `holdfast.commands` with the routing key `commands`: a JSON array of
1 to 100 commands, at most 256 KiB, `content_type: application/json`, `delivery_mode: 2`, a
fresh `message_id` for each attempt, your account at the broker as `user_id` where the worker is
told whose commands to take. Wait for the publisher confirm. For an answer set
`reply_to` (a queue) and `correlation_id`: the reply is a JSON array of outcomes, one for each
command, in order, sent after the commit. To retry, publish again under the same `command_id`.
"""


PATH = "/asyncapi"
STATIC_DIRECTORY = Path(__file__).parents[1] / "static" / "asyncapi"


class DocumentationPage(AsyncAPIRoute):
    """The page of the document; FastStream's own loads scripts and icons from other hosts."""

    def __init__(self) -> None:
        super().__init__(PATH, try_it_out_path=None)

    def __call__(self, schema: Any) -> GetHandler:
        page = (STATIC_DIRECTORY / "index.html").read_bytes()

        @get(include_in_schema=False)
        async def show(scope: Any) -> AsgiResponse:
            return AsgiResponse(page, 200, {"Content-Type": "text/html; charset=utf-8"})

        return show


def static_routes() -> list[tuple[str, Starlette]]:
    """Return the routes of the page's script and styles. FastStream matches whole paths only."""
    files = Starlette(routes=[Mount(PATH, StaticFiles(directory=STATIC_DIRECTORY))])
    return [(f"{PATH}/{name}", files) for name in ("standalone.js", "default.min.css")]


class QueueDocumentation(AsyncAPI):
    """FastStream's document factory, its document completed."""

    def __init__(self) -> None:
        super().__init__(title="Holdfast: the queue", version="1", description=DESCRIPTION)

    def to_specification(self) -> Specification:
        return _Completed(self.title, complete(super().to_specification().to_jsonable()))


@dataclass(frozen=True)
class _Completed:
    title: str
    document: dict[str, Any]

    def to_jsonable(self) -> dict[str, Any]:
        return self.document

    def to_json(self) -> str:
        return json.dumps(self.document)

    def to_yaml(self) -> str:
        return self.to_json()  # JSON is YAML


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """Return FastStream's document with payload schemas, the reply and an example."""
    components = document["components"]
    schemas: dict[str, Any] = {}
    components["schemas"] = schemas
    commands = _schema(Message, schemas, "validation")
    outcomes = _schema(list[Outcome], schemas, "serialization")
    [(channel_name, channel)] = document["channels"].items()
    [(message_name, _)] = channel["messages"].items()
    message = components["messages"][f"{channel_name}:{message_name}"]
    message.update(title="Commands", payload=commands, examples=[{"payload": [EXAMPLE]}])
    components["messages"]["outcomes"] = {
        "title": "Outcomes",
        "contentType": "application/json",
        "correlationId": {"location": "$message.header#/correlation_id"},
        "payload": outcomes,
    }
    document["channels"]["replies"] = {
        "address": None,
        "description": "The queue that the message's reply_to names.",
        "messages": {"outcomes": {"$ref": "#/components/messages/outcomes"}},
    }
    [operation] = document["operations"].values()
    operation["reply"] = {
        "address": {"location": "$message.header#/reply_to"},
        "channel": {"$ref": "#/channels/replies"},
        "messages": [{"$ref": "#/channels/replies/messages/outcomes"}],
    }
    return document


def _schema(model: Any, schemas: dict[str, Any], mode: JsonSchemaMode) -> dict[str, Any]:
    """Return the JSON schema of `model`, and add the schemas that it refers to to `schemas`."""
    schema = TypeAdapter(model).json_schema(mode=mode, ref_template="#/components/schemas/{model}")
    schemas.update(_without_discriminators(schema.pop("$defs", {})))
    described: dict[str, Any] = _without_discriminators(schema)
    return described


def _without_discriminators(schema: Any) -> Any:
    """Drop OpenAPI's discriminator objects: AsyncAPI allows a string alone, and `oneOf` does."""
    if isinstance(schema, dict):
        return {
            name: _without_discriminators(value)
            for name, value in schema.items()
            if not (name == "discriminator" and isinstance(value, dict) and "propertyName" in value)
        }
    if isinstance(schema, list):
        return [_without_discriminators(value) for value in schema]
    return schema


EXAMPLE = {
    "kind": "reserve_tickets",
    "command_id": "01a20400-0000-7000-8000-000000000001",
    "user_id": "01a20400-0000-7000-8000-000000000002",
    "submitted_at": "2026-12-01T19:00:00Z",
    "deadline": None,
    "items": [{"ticket_type_id": "01a20400-0000-7000-8000-000000000003", "quantity": 2}],
}
