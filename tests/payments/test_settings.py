"""The settings of the payments process, as they stand in the environment."""

import pytest

from payments.settings import DEMO_EMAIL, REAL_EMAIL, Settings
from shared.environment import read_settings

KEY = "sk_test_51Hold"
SECRET = "whsec_a1b2"
PASSWORD = "correct horse battery"


def read(**environment: str) -> Settings:
    return read_settings(
        Settings, {f"HOLDFAST_{name.upper()}": value for name, value in environment.items()}
    )


def test_no_provider_is_on_by_default() -> None:
    settings = read()
    assert not settings.has_stripe
    assert not settings.demo_payments


def test_the_demo_has_another_account_than_a_provider_of_real_money() -> None:
    demo = read(demo_payments="1")
    stripe = read(stripe_secret_key=KEY, stripe_webhook_secret=SECRET, payments_password=PASSWORD)
    assert demo.account[0] == DEMO_EMAIL
    assert stripe.account == (REAL_EMAIL, PASSWORD)


@pytest.mark.parametrize(
    ("environment", "variable"),
    [
        ({"stripe_secret_key": KEY, "payments_password": PASSWORD}, "STRIPE_WEBHOOK_SECRET"),
        ({"stripe_webhook_secret": SECRET}, "STRIPE_WEBHOOK_SECRET"),
        ({"stripe_secret_key": "pk_test_51Hold"}, "STRIPE_SECRET_KEY"),
        ({"stripe_webhook_secret": "a1b2"}, "STRIPE_WEBHOOK_SECRET"),
        (
            {
                "stripe_secret_key": KEY,
                "stripe_webhook_secret": SECRET,
                "payments_password": PASSWORD,
                "demo_payments": "1",
            },
            "DEMO_PAYMENTS",
        ),
        ({"stripe_secret_key": KEY, "stripe_webhook_secret": SECRET}, "PAYMENTS_PASSWORD"),
        ({"payments_password": "short"}, "PAYMENTS_PASSWORD"),
        ({"demo_payments": "perhaps"}, "DEMO_PAYMENTS"),
        ({"payments_port": "70000"}, "PAYMENTS_PORT"),
        ({"gateway_url": "ftp://127.0.0.1"}, "GATEWAY_URL"),
        ({"gateway_url": "http://127.0.0.1:99999"}, "GATEWAY_URL"),
        ({"payments_public_url": f"https://ada:{PASSWORD}@tickets.example"}, "PUBLIC_URL"),
        ({"payments_return_url": "https://tickets.example/?shop=1"}, "PAYMENTS_RETURN_URL"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_variable(
    environment: dict[str, str], variable: str
) -> None:
    with pytest.raises(SystemExit) as refused:
        read(**environment)
    said = str(refused.value)
    assert f"{variable}:" in said
    assert not any(secret in said for secret in (KEY, SECRET, PASSWORD))
