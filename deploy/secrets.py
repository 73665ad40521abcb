"""Makes the secrets of a deployment in containers, in one folder for each process.

Passwords are made once and kept in a folder that no process mounts. A later start reuses them and
writes the files that depend on them again.
"""

import json
import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from deploy.broker import ACCOUNTS, definitions

SECRET_BYTES = 32
NAME = "holdfast"
"""The name of the database, of the vhost, and of each server's administrator."""
DATABASE_ACCOUNTS = ("migrator", "worker", "gateway", "operator")
SERVERS = ("postgres", "rabbitmq")
"""They run as users of their own images, so every user of their containers may read."""

RABBITMQ_SETTINGS = "load_definitions = /secrets/definitions.json\n"


def main() -> None:
    folder, reader = Path(sys.argv[1]), sys.argv[2]
    os.umask(0o077)
    kept = PasswordStore(folder / "kept", os.environ)
    for name, content in secret_files(kept).items():
        path = folder / name
        unfinished = path.with_name(f".{path.name}")
        unfinished.write_text(content)
        if path.parent.name in SERVERS:
            unfinished.chmod(0o444)
        else:
            shutil.chown(unfinished, reader)
        unfinished.replace(path)


class PasswordStore:
    """The passwords on disk. A missing one is made; one in the environment replaces it."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment

    def password(self, name: str, variable: str = "") -> str:
        path = self._folder / name
        given = self._environment.get(variable)
        if given or not path.exists() or not path.read_text().strip():
            path.write_text(given or secrets.token_urlsafe(SECRET_BYTES))
        return path.read_text().strip()


def secret_files(kept: PasswordStore) -> dict[str, str]:
    """Return the content of every file by its path: the folder names the process that reads it."""
    postgres = kept.password("postgres", "HOLDFAST_POSTGRES_PASSWORD")
    rabbitmq = kept.password("rabbitmq", "HOLDFAST_RABBITMQ_PASSWORD")
    users = {name: (name, kept.password(f"rabbitmq_{name}")) for name in ACCOUNTS}
    files = {
        "gateway/jwt": kept.password("jwt"),
        "payments/password": kept.password("payments"),
        "postgres/password": postgres,
        "administrator/database_url": _postgres_url(NAME, postgres),
        "rabbitmq/rabbitmq.conf": RABBITMQ_SETTINGS,
        "rabbitmq/definitions.json": json.dumps(definitions(NAME, users, (NAME, rabbitmq))),
    }
    for name in DATABASE_ACCOUNTS:
        url = _postgres_url(name, kept.password(f"postgres_{name}"))
        files[f"{name}/database_url"] = files[f"administrator/{name}_database_url"] = url
    for name, (user, password) in users.items():
        files[f"{name}/broker_url"] = f"amqp://{user}:{password}@rabbitmq:5672/{NAME}"
    return files


def _postgres_url(user: str, password: str) -> str:
    return f"postgresql://{user}:{quote(password, safe='')}@postgres:5432/{NAME}"


if __name__ == "__main__":
    main()
