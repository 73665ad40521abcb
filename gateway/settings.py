"""What the gateway reads from the environment, once, at its start."""

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from shared.environment import BrokerUrl, PostgresUrl

MIN_SECRET_BYTES = 32
MAX_ACCEPTED_SECRETS = 8
MAX_PROXY_HOPS = 8


def _long_enough(secret: str) -> str:
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise PydanticCustomError("secret", f"must be at least {MIN_SECRET_BYTES} bytes long")
    return secret


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


Secret = Annotated[str, AfterValidator(_long_enough)]
Secrets = Annotated[
    tuple[Secret, ...], Field(max_length=MAX_ACCEPTED_SECRETS), BeforeValidator(_lines)
]
"""One a line: a secret may hold any other character."""


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
    """Further secrets whose tokens are accepted: of before a rotation, or after it."""
    command_window_seconds: Annotated[int, Field(ge=1)] = 86_400
    """How old a command ID may be and still be accepted."""
    command_deadline_seconds: Annotated[int, Field(ge=1, le=86_400)] = 600
    """How long a command that takes tickets may wait to be decided: as long as a cart is held."""
    wrong_passwords_per_address: Annotated[int, Field(ge=1, le=1_000_000)] = 5
    """How many are checked in a minute; many people may share an address."""
    trusted_proxy_hops: Annotated[int, Field(ge=0, le=MAX_PROXY_HOPS)] = 0
    """How many proxies stand before the gateway, each adding to X-Forwarded-For."""

    @property
    def command_deadline(self) -> timedelta:
        return timedelta(seconds=self.command_deadline_seconds)
