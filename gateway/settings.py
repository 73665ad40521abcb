"""What the gateway reads from the environment, once, at its start."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shared.environment import BrokerUrl, PostgresUrl

MIN_SECRET_BYTES = 32


def _long_enough(secret: str) -> str:
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"must be at least {MIN_SECRET_BYTES} bytes long")
    return secret


Secret = Annotated[str, AfterValidator(_long_enough)]


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
    command_window_seconds: Annotated[int, Field(ge=1)] = 86_400
    """How old a command ID may be and still be accepted."""
