"""Upgrades the database that `HOLDFAST_DATABASE_URL` names to the newest version."""

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config

from migrations.settings import Settings
from shared.environment import read_settings


def main() -> None:
    read_settings(Settings)  # exits and names the variable if it is missing
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    command.upgrade(Config(str(Path(__file__).parent.parent / "alembic.ini")), "head")


if __name__ == "__main__":
    main()
