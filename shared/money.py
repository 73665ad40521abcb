"""The types of money: amounts in minor units of a currency, and the IDs of payments."""

from typing import Annotated

from pydantic import Field, WithJsonSchema

from shared.fields import TextPattern

MAX_UNIT_PRICE = 100_000_000
"""Minor units of a ticket's price."""
MAX_AMOUNT = 2**53 - 1
"""Minor units of one amount: the largest integer that every reader of JSON keeps (RFC 8259,
section 6)."""
MAX_PAYMENT_ID_CHARACTERS = 200
DEFAULT_CURRENCY = "EUR"

_CURRENCY = "^[A-Z]{3}$"
# Printable: no control characters, spaces at most inside, nothing that turns the text around.
_PAYMENT_ID = (
    r"^[^\s\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
    r"([^\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]*"
    r"[^\s\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069])?$"
)

Currency = Annotated[
    str,
    TextPattern(_CURRENCY, "must be a currency of ISO 4217: three capital letters, such as EUR"),
    WithJsonSchema({"type": "string", "pattern": _CURRENCY}),
]
"""A currency as ISO 4217 names it."""

UnitPrice = Annotated[int, Field(strict=True, ge=0, le=MAX_UNIT_PRICE)]
"""Minor units."""
Amount = Annotated[int, Field(strict=True, ge=1, le=MAX_AMOUNT)]
"""Minor units of money that moves."""
AmountOrNone = Annotated[int, Field(strict=True, ge=0, le=MAX_AMOUNT)]
"""Minor units; 0 where there is nothing."""

PaymentId = Annotated[
    str,
    TextPattern(
        _PAYMENT_ID,
        f"must be 1 to {MAX_PAYMENT_ID_CHARACTERS} printable characters,"
        " without spaces at its ends",
        min_length=1,
        max_length=MAX_PAYMENT_ID_CHARACTERS,
    ),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_PAYMENT_ID_CHARACTERS,
            "pattern": _PAYMENT_ID,
        }
    ),
]
"""How a payment provider names a payment or a refund."""
