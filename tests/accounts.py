"""Makes the accounts of a deployment, by the deployment's own tools, on servers for tests."""

import json
import os
import subprocess
import sys
from tempfile import NamedTemporaryFile
from urllib.parse import urlsplit, urlunsplit

from deploy.broker import ACCOUNTS, definitions
from dev.addresses import last_part
from dev.servers.private_rabbitmq import PrivateRabbitMQ
from tests.conftest import migrate

PASSWORD = "a password of the tests"
DATABASE_ACCOUNTS = ("migrator", "worker", "gateway", "operator")


def make_database_accounts(administrator_url: str) -> dict[str, str]:
    """Make the accounts and migrate as the migrator; return the URL of each account."""
    urls = {name: as_user(administrator_url, name) for name in DATABASE_ACCOUNTS}
    run_accounts(administrator_url, urls)
    migrate(urls["migrator"])
    return urls


def run_accounts(administrator_url: str, urls: dict[str, str]) -> None:
    """Run `python -m migrations.accounts`. Raises `CalledProcessError` with what it said."""
    variables = {f"HOLDFAST_{name.upper()}_DATABASE_URL": url for name, url in urls.items()}
    subprocess.run(
        [sys.executable, "-m", "migrations.accounts"],
        env=os.environ | variables | {"HOLDFAST_DATABASE_URL": administrator_url},
        check=True,
        capture_output=True,
        text=True,
    )


def make_broker_accounts(node: PrivateRabbitMQ) -> dict[str, str]:
    """Load the definitions into the node's vhost; return the URL of each account."""
    users = {name: (name, PASSWORD) for name in ACCOUNTS}
    with NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(definitions(last_part(node.url), users), file)
        file.flush()
        node.control("import_definitions", file.name)
    return {name: as_user(node.url, name) for name in ACCOUNTS}


def as_user(url: str, user: str, password: str = PASSWORD) -> str:
    """Return `url` with another user."""
    parts = urlsplit(url)
    address = f"{user}:{password.replace(' ', '%20')}@{parts.hostname}:{parts.port}"
    return urlunsplit(parts._replace(netloc=address))
