"""The settings of the payments process, read once from the environment."""

from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from shared.environment import HttpUrl
from shared.fields import TextPattern

MIN_PASSWORD_CHARACTERS = 12
"""As for any user of the engine."""
DEMO_EMAIL = "demo-payments@holdfast.example"
DEMO_PASSWORD = "there is no money behind this"  # noqa: S105 - the demo page asks for none at all
REAL_EMAIL = "payments@holdfast.example"
LIVE_KEYS = ("sk_live_", "rk_live_")


StripeKey = Annotated[
    str,
    TextPattern("^(sk|rk)_(test|live)_[A-Za-z0-9]+$", "must begin with sk_test_, sk_live_, rk_…"),
]
StripeWebhookSecret = Annotated[str, TextPattern("^whsec_.+$", "must begin with whsec_")]


class Settings(BaseModel):
    """Each field is the variable `HOLDFAST_<FIELD>`; see `shared.environment.read_settings`."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    gateway_url: HttpUrl = "http://127.0.0.1:8000"
    payments_host: str = "127.0.0.1"
    payments_port: Annotated[int, Field(ge=1, le=65_535)] = 8100
    payments_public_url: HttpUrl = "http://127.0.0.1:8100"
    """Where a buyer's browser reaches this process."""
    payments_return_url: HttpUrl = "http://127.0.0.1:8000"
    """Where the provider's page sends the buyer afterwards, with `?order=` and the order's ID."""
    stripe_secret_key: StripeKey | None = Field(default=None, repr=False)
    stripe_webhook_secret: StripeWebhookSecret | None = Field(
        default=None, repr=False, validate_default=True
    )
    stripe_api_base: HttpUrl = "https://api.stripe.com"
    demo_payments: bool = False
    """Whether the demo provider is on: its page marks orders as paid, and no money moves."""
    payments_email: str = ""
    """The payment agent's account, which is registered at the first start."""
    payments_password: str = Field(default="", repr=False, validate_default=True)

    @field_validator("stripe_webhook_secret")
    @classmethod
    def _both_secrets(cls, secret: str | None, info: ValidationInfo) -> str | None:
        if (secret is None) != (info.data.get("stripe_secret_key") is None):
            raise PydanticCustomError(
                "stripe", "must be set where HOLDFAST_STRIPE_SECRET_KEY is, and only there"
            )
        return secret

    @field_validator("demo_payments")
    @classmethod
    def _one_provider(cls, demo: bool, info: ValidationInfo) -> bool:
        if demo and info.data.get("stripe_secret_key") is not None:
            raise PydanticCustomError("provider", "must be off where Stripe has its keys")
        return demo

    @field_validator("payments_password")
    @classmethod
    def _long_enough(cls, password: str, info: ValidationInfo) -> str:
        is_needed = password or info.data.get("stripe_secret_key") is not None
        if is_needed and len(password) < MIN_PASSWORD_CHARACTERS:
            raise PydanticCustomError(
                "password", f"must have at least {MIN_PASSWORD_CHARACTERS} characters"
            )
        return password

    @property
    def has_stripe(self) -> bool:
        return self.stripe_secret_key is not None

    @property
    def account(self) -> tuple[str, str]:
        """The e-mail address and the password of the payment agent.

        The two kinds of providers have different accounts, so that the demo's never counts as the
        payment agent of an event that takes real money.
        """
        if self.demo_payments:
            return self.payments_email or DEMO_EMAIL, self.payments_password or DEMO_PASSWORD
        return self.payments_email or REAL_EMAIL, self.payments_password

    def return_url(self, order_id: str) -> str:
        """Where a buyer goes after the provider's page."""
        return f"{self.payments_return_url}/?order={order_id}"
