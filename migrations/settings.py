"""The settings of a migration, read from the environment."""

from pydantic import BaseModel, Field

from shared.environment import PostgresUrl


class Settings(BaseModel):
    database_url: PostgresUrl = Field(repr=False)
