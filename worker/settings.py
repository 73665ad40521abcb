"""The worker's settings, read once from the environment."""

from datetime import timedelta

from pydantic import BaseModel, Field

from shared.environment import BrokerUrl, PostgresUrl
from worker.domain.book import Rules


class Settings(BaseModel):
    database_url: PostgresUrl = Field(repr=False)
    broker_url: BrokerUrl = Field(repr=False)
    hold_seconds: int = Field(default=600, ge=1, le=86_400)
    max_hold_seconds: int = Field(default=1_800, ge=1, le=86_400)
    """How long after its first hold a cart may hold tickets, however often it is extended."""
    payment_seconds: int = Field(default=1_860, ge=1, le=90 * 86_400)
    """How long a buyer has to pay an order: sessions of payment providers last 30 minutes."""
    payment_grace_seconds: int = Field(default=300, ge=0, le=86_400)
    """How much longer an order's tickets are held, for payments that are told late."""
    command_window_seconds: int = Field(default=86_400, ge=1, le=30 * 86_400)
    retention_days: int = Field(default=30, ge=1, le=36_500)
    """How many days after the end of its hold a closed cart is kept."""
    command_accounts: str = ""
    """The accounts at the broker whose commands are applied, with commas; empty: all of them."""
    worker_host: str = "127.0.0.1"
    worker_port: int = Field(default=8001, ge=1, le=65_535)

    @property
    def accounts(self) -> frozenset[str]:
        names = (name.strip() for name in self.command_accounts.split(","))
        return frozenset(name for name in names if name)

    @property
    def retention(self) -> timedelta:
        return timedelta(days=self.retention_days)

    @property
    def rules(self) -> Rules:
        return Rules(
            hold=timedelta(seconds=self.hold_seconds),
            max_hold=timedelta(seconds=self.max_hold_seconds),
            payment=timedelta(seconds=self.payment_seconds),
            payment_grace=timedelta(seconds=self.payment_grace_seconds),
            command_window=timedelta(seconds=self.command_window_seconds),
        )
