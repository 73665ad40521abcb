"""The gateway's settings, as they stand in the environment."""

from pathlib import Path

import pytest

from gateway.settings import MAX_ACCEPTED_SECRETS, Settings
from shared.environment import read_settings

GOOD = {
    "HOLDFAST_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "HOLDFAST_BROKER_URL": "amqp://127.0.0.1:1/",
    "HOLDFAST_JWT_SECRET": "a secret of the tests, of more than 32 bytes",
}
ONE = "one, with a comma and spaces, and more than 32 bytes"
OTHER = "another one of more than 32 bytes"


def read(**environment: str) -> Settings:
    more = {f"HOLDFAST_{name.upper()}": value for name, value in environment.items()}
    return read_settings(Settings, GOOD | more)


def test_further_secrets_are_one_a_line():
    assert read().jwt_accepted_secrets == ()
    assert read(jwt_accepted_secrets=ONE).jwt_accepted_secrets == (ONE,)
    assert read(jwt_accepted_secrets=f"{ONE}\n\n{OTHER}\n").jwt_accepted_secrets == (ONE, OTHER)


def test_origins_are_read_as_browsers_write_them():
    assert read().cors_origins == ()
    assert read(cors_origins="*").cors_origins == ("*",)
    written = "https://Shop.example:443, http://[::1]:80,http://localhost:5173,https://x.example:80"
    assert read(cors_origins=written).cors_origins == (
        "https://shop.example",
        "http://[::1]",
        "http://localhost:5173",
        "https://x.example:80",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("broker_url", f"amqp://guest:{ONE}@127.0.0.1:99999/x"),
        ("broker_url", f"amqp://guest:{ONE}@127.0.0.1:port/x"),
        ("broker_url", f"http://guest:{ONE}@127.0.0.1/x"),
        ("database_url", f"mysql://nobody:{ONE}@127.0.0.1/none"),
        ("database_url", f"postgresql://nobody:{ONE}@127.0.0.1:65536/none"),
        ("jwt_accepted_secrets", f"{ONE}\nshort"),
        ("jwt_accepted_secrets", "\n".join([ONE] * (MAX_ACCEPTED_SECRETS + 1))),
        ("command_deadline_seconds", "0"),
        ("command_deadline_seconds", "86401"),
        ("wrong_passwords_per_address", "0"),
        ("trusted_proxy_hops", "-1"),
        ("trusted_proxy_hops", "all"),
        ("cors_origins", "shop.example"),
        ("cors_origins", "https://shop.example/"),
        ("cors_origins", f"https://ada:{ONE}@shop.example"),
        ("cors_origins", "https://*.example"),
        ("cors_origins", "null"),
        ("cors_origins", "*, https://shop.example"),
    ],
)
def test_a_bad_value_names_its_variable_and_no_secret(name: str, value: str):
    with pytest.raises(SystemExit) as refused:
        read(**{name: value})
    assert f"HOLDFAST_{name.upper()}" in str(refused.value)
    assert ONE not in str(refused.value)
    assert "pattern" not in str(refused.value)
    assert "Value error" not in str(refused.value)


def test_no_secret_is_shown():
    settings = read(jwt_accepted_secrets=ONE)
    assert ONE not in repr(settings)
    assert GOOD["HOLDFAST_JWT_SECRET"] not in repr(settings)


def test_a_value_may_stand_in_a_file(tmp_path: Path):
    """As compose hands out its secrets; editors end a file with a new line."""
    secret = tmp_path / "secret"
    secret.write_text(f"{OTHER}\n")
    assert read(jwt_secret="", jwt_secret_file=str(secret)).jwt_secret == OTHER
    assert read(jwt_secret_file=str(secret)).jwt_secret == GOOD["HOLDFAST_JWT_SECRET"]


@pytest.mark.parametrize("written", [None, "short"])
def test_a_bad_file_names_its_variable_and_no_secret(tmp_path: Path, written: str | None):
    secret = tmp_path / "secret"
    if written is not None:
        secret.write_text(written)
    with pytest.raises(SystemExit) as refused:
        read(jwt_secret="", jwt_secret_file=str(secret))
    assert "HOLDFAST_JWT_SECRET" in str(refused.value)
    assert "short" not in str(refused.value).replace("shorter", "")
