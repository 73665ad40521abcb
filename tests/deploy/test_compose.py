"""The compose file: each service mounts its own secrets, and the file contains none."""

import json
import re
from pathlib import Path

from deploy.broker import ACCOUNTS
from gateway.http.problems import ProblemError

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()


def services() -> dict[str, str]:
    """Return the lines of each service."""
    block = TEXT.partition("\nservices:\n")[2].partition("\nvolumes:\n")[0]
    names = re.split(r"^  (\w+):", block, flags=re.MULTILINE)[1:]
    return dict(zip(names[::2], names[1::2], strict=True))


def test_each_service_mounts_the_secrets_of_its_own_account() -> None:
    shown = {
        name: re.findall(r"^      - (?:(\w+)_)?secrets:(\S+)", lines, re.MULTILINE)
        for name, lines in services().items()
    }
    made = shown.pop("secrets")

    assert shown == {
        "proxy": [],
        "gateway": [("gateway", "/secrets:ro")],
        "worker": [("worker", "/secrets:ro")],
        "payments": [("payments", "/secrets:ro")],
        "operator": [("operator", "/secrets:ro")],
        "demo": [],
        "migrate": [("migrator", "/secrets:ro")],
        "accounts": [("administrator", "/secrets:ro")],
        "postgres": [("postgres", "/secrets:ro")],
        "rabbitmq": [("rabbitmq", "/secrets:ro")],
    }
    assert ("", "/secrets/kept") in made
    assert all(path == f"/secrets/{account or 'kept'}" for account, path in made)
    assert {account for secrets in shown.values() for account, _ in secrets} <= {
        account for account, _ in made
    }


def test_the_compose_file_contains_no_password() -> None:
    assert not re.search(r"://[^/\s]*:[^/\s]*@", TEXT)
    given = re.findall(r"^ +(\w*(?:PASS|PASSWORD|SECRET)): *(\S*)", TEXT, re.MULTILINE)
    assert given
    assert all(value == f"${{{variable}:-}}" for variable, value in given)


def test_no_provider_of_payments_is_on_by_default_and_the_demo_least_of_all() -> None:
    switches = re.findall(
        r"^ +(HOLDFAST_(?:DEMO_PAYMENTS|STRIPE_\w+)): *(\S*)", services()["payments"], re.MULTILINE
    )

    assert switches == [
        (name, f"${{{name}:-}}")
        for name in (
            "HOLDFAST_STRIPE_SECRET_KEY",
            "HOLDFAST_STRIPE_WEBHOOK_SECRET",
            "HOLDFAST_DEMO_PAYMENTS",
        )
    ]


def test_postgres_is_started_with_our_settings() -> None:
    postgres = services()["postgres"]
    configuration = re.search(r"config_file=(\S+?),", postgres)

    assert configuration is not None
    assert f"- ./deploy/postgresql.conf:{configuration[1]}:ro\n" in postgres
    # The file that is replaced contains it.
    assert "listen_addresses=*" in postgres


def test_the_image_is_given_all_that_it_copies() -> None:
    copied = re.findall(r"^COPY (?!--from)(\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    given = re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE)

    assert copied
    assert set(copied) == set(given)


def test_the_payments_process_is_shown_no_database_and_no_broker() -> None:
    assert "DATABASE_URL" not in services()["payments"]
    assert "BROKER_URL" not in services()["payments"]


def test_workers_accept_commands_of_named_accounts_only_by_default() -> None:
    accounts = re.search(r"\$\{HOLDFAST_COMMAND_ACCOUNTS-(\S+)\}", services()["worker"])

    assert accounts is not None
    assert set(accounts[1].split(",")) == set(ACCOUNTS) - {"worker"}


def test_only_the_proxy_is_published_and_only_on_this_machine() -> None:
    published = {name: lines for name, lines in services().items() if "ports:" in lines}

    assert list(published) == ["proxy"]
    assert "- 127.0.0.1:" in published["proxy"]


def test_the_problems_of_the_proxy_are_worded_like_the_gateways() -> None:
    config = (ROOT / "deploy" / "nginx.conf").read_text()
    found = re.findall(r"return (\d+) '(.*)';", config)
    assert found
    for status, document in found:
        problem = json.loads(document)
        response = ProblemError(problem["code"]).response()
        assert response.status_code == int(status)
        assert json.loads(bytes(response.body)) == problem
