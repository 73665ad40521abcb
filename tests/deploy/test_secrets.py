"""The secrets of a deployment in containers: made once, each readable by one process."""

import base64
import getpass
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

FOLDERS = {
    "administrator": {
        "database_url",
        "migrator_database_url",
        "worker_database_url",
        "gateway_database_url",
        "operator_database_url",
    },
    "gateway": {"database_url", "broker_url", "jwt"},
    "migrator": {"database_url"},
    "operator": {"database_url", "broker_url"},
    "payments": {"password"},
    "postgres": {"password"},
    "rabbitmq": {"definitions.json", "rabbitmq.conf"},
    "worker": {"database_url", "broker_url"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the files of each process, as compose mounts them."""
    for name in ("kept", *FOLDERS):
        (tmp_path / name).mkdir()
    return tmp_path


def make(folder: Path, **given: str) -> dict[str, str]:
    """Run `python -m deploy.secrets`; return what it wrote, by name below the folder."""
    command = [sys.executable, "-m", "deploy.secrets", folder, getpass.getuser()]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HOLDFAST_")}
    subprocess.run(command, env=environment | given, check=True)
    return {str(p.relative_to(folder)): p.read_text() for p in folder.glob("*/*")}


def password_of(url: str) -> str:
    return unquote(urlsplit(url).password or "")


def test_each_process_gets_the_secrets_it_needs(folder: Path) -> None:
    made = make(folder)

    found = {
        name: {Path(each).name for each in made if each.startswith(f"{name}/")} for name in FOLDERS
    }
    assert found == FOLDERS


def test_no_process_gets_the_secret_of_another(folder: Path) -> None:
    made = make(folder)

    passwords = {
        name: {password_of(made[f"{name}/{file}"]) for file in files if file.endswith("_url")}
        for name, files in FOLDERS.items()
        if name in ("gateway", "worker", "operator", "migrator")
    } | {"payments": {made["payments/password"]}}
    every_one = [password for own in passwords.values() for password in own]
    assert len(set(every_one)) == len(every_one) == 8
    assert all(len(password) >= 32 for password in every_one)
    for name in passwords:
        shown = "".join(content for path, content in made.items() if path.startswith(f"{name}/"))
        for secret in {*every_one, made["postgres/password"], made["kept/jwt"]}:
            own = secret in passwords[name] or (name == "gateway" and secret == made["kept/jwt"])
            assert (secret in shown) == own


def test_the_servers_get_no_password_of_a_process(folder: Path) -> None:
    made = make(folder)

    shown = made["postgres/password"] + made["rabbitmq/definitions.json"]
    assert not any(password_of(url) in shown for path, url in made.items() if "r_url" in path)
    for user in json.loads(made["rabbitmq/definitions.json"])["users"]:
        assert "password" not in user


def test_the_broker_checks_the_passwords_that_it_was_given(folder: Path) -> None:
    made = make(folder)

    users = {u["name"]: u for u in json.loads(made["rabbitmq/definitions.json"])["users"]}
    for name in ("gateway", "worker", "operator"):
        hashed = base64.b64decode(users[name]["password_hash"])
        salt, password = hashed[:4], password_of(made[f"{name}/broker_url"]).encode()
        assert hashed[4:] == hashlib.sha256(salt + password).digest()
        assert users[name]["tags"] == []


def test_only_its_reader_can_read_a_secret(folder: Path) -> None:
    make(folder)

    for path in folder.glob("*/*"):
        open_to_all = path.parent.name in ("postgres", "rabbitmq")
        assert path.stat().st_mode & 0o777 == (0o444 if open_to_all else 0o600), path
    assert not list(folder.glob("*/.*"))


def test_a_second_start_keeps_the_secrets_of_the_first(folder: Path) -> None:
    assert without_hashes(make(folder)) == without_hashes(make(folder))


def test_the_environment_may_set_the_administrators_passwords(folder: Path) -> None:
    made = make(folder, HOLDFAST_POSTGRES_PASSWORD="it's @ mine: 1/2%")

    assert made["postgres/password"] == "it's @ mine: 1/2%"
    assert password_of(made["administrator/database_url"]) == "it's @ mine: 1/2%"
    assert without_hashes(make(folder)) == without_hashes(made)


def without_hashes(made: dict[str, str]) -> dict[str, str]:
    """The hashes of the broker's passwords have new salts each time."""
    return {**made, "rabbitmq/definitions.json": ""}
