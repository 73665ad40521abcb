"""The bounds in the contract are those of the code."""

import re
from pathlib import Path

import pytest

from gateway import payment_provider
from gateway.http import cursor, prefer, request_body
from gateway.identity import passwords
from gateway.messaging import user_limit
from gateway.routes import commands as command_routes
from gateway.server import overload, request_heads
from payments.demo import adapter as demo_adapter
from shared import bodies, messages, orders, topology
from worker.messaging import replies

ROW = re.compile(r"^\| [^|]+ \| ([\d,]+) \| `([A-Z_]+)` \|", re.M)
CONTRACT = Path(__file__).parents[2] / "docs" / "contract.md"
TEXT = CONTRACT.read_text()
DOCUMENTED = {name: int(value.replace(",", "")) for value, name in ROW.findall(TEXT)}
MODULES = {
    "MAX_LINES": bodies,
    "MAX_CART_LINES": bodies,
    "MAX_QUANTITY": bodies,
    "MAX_TOTAL_QUANTITY": bodies,
    "MAX_TICKET_TYPES": bodies,
    "MAX_OPEN_ORDERS": orders,
    "MAX_PAYMENTS": orders,
    "MAX_REFUNDS": orders,
    "MAX_COMMANDS_PER_USER": user_limit,
    "MAX_WAITS_PER_USER": user_limit,
    "MAX_WAIT_SECONDS": prefer,
    "STREAM_SECONDS": command_routes,
    "MAX_IN_FLIGHT_COMMANDS": overload,
    "MAX_WAITING": passwords,
    "MAX_NEW_WAITING": passwords,
    "MAX_HEAD_BYTES": request_heads,
    "MAX_BODY_BYTES": request_body,
    "MAX_COMMANDS_A_MESSAGE": messages,
    "MAX_MESSAGE_BYTES": messages,
    "MAX_QUEUED_MESSAGES": topology,
    "MAX_REPLY_BYTES": replies,
    "MAX_PAGE_ITEMS": cursor,
    "MAX_REQUESTS": payment_provider,
    "MAX_LATE_PAYMENTS": demo_adapter,
}


def test_every_documented_bound_is_checked() -> None:
    assert set(DOCUMENTED) == set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_a_bound_has_the_documented_value(name: str) -> None:
    assert getattr(MODULES[name], name) == DOCUMENTED[name]
