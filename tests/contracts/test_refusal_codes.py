"""The codes of refusals: one for each class, and those of the contract."""

from typing import get_args

from shared.refusals import REFUSAL_CODES, REFUSALS

# In the order of the contract, section 2.
CONTRACT = [
    "ticket_type_not_found",
    "event_not_found",
    "item_not_in_cart",
    "user_not_found",
    "not_the_organizer",
    "event_ended",
    "event_cancelled",
    "sale_not_started",
    "sale_ended",
    "insufficient_availability",
    "line_too_large",
    "cart_full",
    "limit_exceeded",
    "hold_limit_reached",
    "cart_empty",
    "order_not_found",
    "nothing_to_check_out",
    "price_changed",
    "minimum_not_reached",
    "too_many_open_orders",
    "order_not_pending",
    "order_not_paid",
    "more_than_held",
    "more_than_due",
    "not_the_payment_agent",
    "payment_id_reused",
    "currency_mismatch",
    "order_full",
    "total_below_committed",
    "too_many_ticket_types",
    "email_taken",
    "deadline_passed",
    "stale_command",
    "command_id_reused",
    "unprocessable",
]


def test_the_list_names_each_refusal_once() -> None:
    codes = [refusal.code for refusal in REFUSALS]

    assert list(REFUSAL_CODES) == codes
    assert len(set(codes)) == len(codes)


def test_the_list_matches_the_contract() -> None:
    assert set(REFUSAL_CODES) == set(CONTRACT)


def test_the_type_of_a_code_allows_only_that_code() -> None:
    for refusal in REFUSALS:
        field = refusal.__dataclass_fields__["code"]
        assert get_args(field.type) == (field.default,)


def test_the_detail_of_every_refusal_is_a_sentence() -> None:
    for refusal in REFUSALS:
        assert refusal.detail[0].isupper()
        assert refusal.detail.endswith(".")
