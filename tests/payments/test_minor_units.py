"""Minor units: how people write them, and how Stripe counts them."""

import pytest

from payments.minor_units import UnsupportedAmountError, decimal, from_stripe, to_stripe


@pytest.mark.parametrize(
    ("amount", "currency", "written"),
    [
        (2550, "EUR", "25.50"),
        (5, "EUR", "0.05"),
        (0, "USD", "0.00"),
        (2550, "JPY", "2550"),
        (2550, "KWD", "2.550"),
        (25_500, "CLF", "2.5500"),
    ],
)
def test_an_amount_is_written_with_the_digits_of_its_currency(
    amount: int, currency: str, written: str
) -> None:
    assert decimal(amount, currency) == written


@pytest.mark.parametrize(
    ("amount", "currency", "at_stripe"),
    [
        (2550, "EUR", 2550),
        (2550, "JPY", 2550),
        (2550, "KWD", 2550),
        (2550, "ISK", 255_000),
        (2550, "UGX", 255_000),
    ],
)
def test_stripe_counts_minor_units_but_for_two_currencies_without_any(
    amount: int, currency: str, at_stripe: int
) -> None:
    assert to_stripe(amount, currency) == at_stripe
    assert from_stripe(at_stripe, currency) == amount


def test_an_amount_that_the_other_side_cannot_express_is_refused() -> None:
    with pytest.raises(UnsupportedAmountError):
        to_stripe(2550, "MGA")
    with pytest.raises(UnsupportedAmountError):
        from_stripe(2550, "MGA")
    with pytest.raises(UnsupportedAmountError):
        from_stripe(255_050, "ISK")
