"""Minor units of currencies: their digits by ISO 4217, and where Stripe counts differently."""

_DIGITS = {
    currency: digits
    for digits, currencies in (
        (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
        (3, "BHD IQD JOD KWD LYD OMR TND"),
        (4, "CLF UYW"),
    )
    for currency in currencies.split()
}
DEFAULT_DIGITS = 2

_STRIPE_FACTORS = {"ISK": 100, "UGX": 100}
"""Stripe counts these in hundredths, though they have no minor unit."""
_NOT_AT_STRIPE = frozenset({"MGA"})
"""Stripe counts whole ariary, ISO 4217 hundredths."""


class UnsupportedAmountError(ValueError):
    """The provider cannot express the amount."""


def decimal(amount: int, currency: str) -> str:
    """Return an amount in minor units as people write it: 2550 EUR is `25.50`."""
    digits = _DIGITS.get(currency, DEFAULT_DIGITS)
    if digits == 0:
        return str(amount)
    whole, rest = divmod(amount, 10**digits)
    return f"{whole}.{rest:0{digits}}"


def to_stripe(amount: int, currency: str) -> int:
    """Return what Stripe calls this amount of minor units. Raises `UnsupportedAmountError`."""
    if currency in _NOT_AT_STRIPE:
        raise UnsupportedAmountError(currency)
    return amount * _STRIPE_FACTORS.get(currency, 1)


def from_stripe(amount: int, currency: str) -> int:
    """Return the minor units of an amount at Stripe. Raises `UnsupportedAmountError`."""
    whole, rest = divmod(amount, _STRIPE_FACTORS.get(currency, 1))
    if rest or currency in _NOT_AT_STRIPE:
        raise UnsupportedAmountError(currency)
    return whole
