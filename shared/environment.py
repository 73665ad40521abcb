"""Reads a settings model from the environment, or says which variable is wrong."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from shared.fields import TextPattern

PREFIX = "HOLDFAST_"


def _with_an_address(url: str) -> str:
    """Refuse a URL without a valid port; it may hold a password and is not quoted."""
    try:
        urlsplit(url).port  # noqa: B018 - raises ValueError
    except ValueError:
        raise PydanticCustomError("port", "must name a port from 0 to 65535, or none") from None
    return url


PostgresUrl = Annotated[
    str,
    TextPattern("^postgres(ql)?://", "must begin with postgresql:// or postgres://"),
    AfterValidator(_with_an_address),
]
BrokerUrl = Annotated[
    str,
    TextPattern("^amqps?://", "must begin with amqp:// or amqps://"),
    AfterValidator(_with_an_address),
]
HttpUrl = Annotated[
    str,
    TextPattern(
        "^https?://[^/?#@]+(/[^?#]*)?$",
        "must be an http or https URL without user, query or fragment",
    ),
    AfterValidator(_with_an_address),
    AfterValidator(lambda url: url.rstrip("/")),
]
"""Without a slash at its end, so that a path can be added."""

Settings = TypeVar("Settings", bound=BaseModel)


def read_settings(model: type[Settings], environment: Mapping[str, str] = os.environ) -> Settings:
    """Build `model` from `HOLDFAST_<FIELD>`, or from the file that `HOLDFAST_<FIELD>_FILE` names.

    An empty variable counts as absent. Raises `SystemExit` with one line for each bad variable.
    """
    values: dict[str, str] = {}
    for field in model.model_fields:
        variable = PREFIX + field.upper()
        if value := environment.get(variable):
            values[field] = value
        elif path := environment.get(f"{variable}_FILE"):
            try:
                values[field] = Path(path).read_text().strip()
            except OSError as error:
                raise SystemExit(f"{variable}_FILE: {error.strerror}: {path}") from None
    try:
        return model.model_validate(values)
    except ValidationError as error:
        # Without the input: a variable may hold a password.
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        lines = [f"{PREFIX}{str(p['loc'][0]).upper()}: {_sentence(p)}" for p in problems]
        raise SystemExit("\n".join(lines)) from None


def _sentence(problem: Mapping[str, object]) -> str:
    return "is required" if problem["type"] == "missing" else str(problem["msg"])
