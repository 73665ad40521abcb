"""Brings the database that `HOLDFAST_DATABASE_URL` names to the newest version."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from pydantic import BaseModel

from shared.environment import PostgresUrl, read_settings


class Settings(BaseModel):
    database_url: PostgresUrl


def main() -> None:
    read_settings(Settings)  # says which variable is missing
    command.upgrade(Config(str(Path(__file__).parent.parent / "alembic.ini")), "head")


if __name__ == "__main__":
    main()
