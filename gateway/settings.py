"""The gateway's settings, read from the environment once at its start."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from shared.environment import BrokerUrl, HttpUrl, PostgresUrl

MIN_SECRET_BYTES = 32
MAX_ACCEPTED_SECRETS = 8
MAX_PROXY_HOPS = 8
DEFAULT_PORTS = {"http": "80", "https": "443"}
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
"""A scheme, a host and perhaps a port (RFC 6454, section 6.2)."""


def _long_enough(secret: str) -> str:
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise PydanticCustomError("secret", f"must be at least {MIN_SECRET_BYTES} bytes long")
    return secret


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


def _origins(text: str) -> list[str]:
    return [_origin(part.strip()) for part in text.split(",") if part.strip()]


def _origin(text: str) -> str:
    """Return an origin as browsers write it: in lower case, without its scheme's own port."""
    origin = text.lower()
    if origin != "*" and not _ORIGIN.fullmatch(origin):
        raise PydanticCustomError(
            "origin", "must be * or origins such as https://shop.example, separated by commas"
        )
    scheme, _, port = origin.rpartition(":")
    return scheme if DEFAULT_PORTS.get(scheme.partition(":")[0]) == port else origin


def _all_or_some(origins: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in origins and len(origins) > 1:
        raise PydanticCustomError("origin", "must not name origins beside *")
    return origins


Secret = Annotated[str, AfterValidator(_long_enough)]
Secrets = Annotated[
    tuple[Secret, ...], Field(max_length=MAX_ACCEPTED_SECRETS), BeforeValidator(_lines)
]
"""One per line, because a secret may contain any other character."""
Origins = Annotated[tuple[str, ...], BeforeValidator(_origins), AfterValidator(_all_or_some)]


class Settings(BaseModel):
    """Each field is the variable `HOLDFAST_<FIELD>`; see `shared.environment.read_settings`."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    database_url: PostgresUrl = Field(repr=False)
    read_database_url: PostgresUrl | None = Field(default=None, repr=False)
    """A replica may serve the reads; without it, the database above does."""
    broker_url: BrokerUrl = Field(repr=False)
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    jwt_secret: Secret = Field(repr=False)
    """Signs tokens."""
    jwt_accepted_secrets: Secrets = Field(default=(), repr=False, validate_default=False)
    """Further secrets whose tokens are accepted, from before or after a rotation."""
    command_window_seconds: Annotated[int, Field(ge=1)] = 86_400
    """How old a command ID may be and still be accepted."""
    command_deadline_seconds: Annotated[int, Field(ge=1, le=86_400)] = 600
    """How long a command that takes tickets may wait to be decided; as long as a cart is held."""
    wrong_passwords_per_address: Annotated[int, Field(ge=1, le=1_000_000)] = 5
    """How many are checked per minute; many people may share an address."""
    trusted_proxy_hops: Annotated[int, Field(ge=0, le=MAX_PROXY_HOPS)] = 0
    """How many proxies are in front of the gateway, each appending to X-Forwarded-For."""
    cors_origins: Origins = Field(default=(), validate_default=False)
    """The origins whose pages may call the gateway from a browser; `*`: all."""

    payments_url: HttpUrl | None = None
    """Of the payments process; without it no order is paid online."""

    @property
    def command_deadline(self) -> timedelta:
        return timedelta(seconds=self.command_deadline_seconds)
