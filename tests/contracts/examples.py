"""One example of each command and outcome, with every field set."""

from dataclasses import replace
from datetime import UTC, datetime

from shared.commands import Command
from shared.orders import Order, OrderItem, Payment, PaymentDecision, Refund
from shared.outcomes import (
    Cart,
    CartItem,
    CartResult,
    Event,
    EventResult,
    OrderResult,
    Outcome,
    PaymentResult,
    Result,
    TicketType,
    TicketTypeResult,
    User,
    UserResult,
    refused,
    succeeded,
)
from shared.refusals import (
    CartEmpty,
    CartFull,
    CommandIdReused,
    CurrencyMismatch,
    DeadlinePassed,
    EmailTaken,
    EventCancelled,
    EventEnded,
    EventNotFound,
    HoldLimitReached,
    InsufficientAvailability,
    ItemNotInCart,
    LimitExceeded,
    LineTooLarge,
    MinimumNotReached,
    MoreThanDue,
    MoreThanHeld,
    NothingToCheckOut,
    NotTheOrganizer,
    NotThePaymentAgent,
    OrderFull,
    OrderNotFound,
    OrderNotPaid,
    OrderNotPending,
    PaymentIdReused,
    PriceChanged,
    Refusal,
    SaleEnded,
    SaleNotStarted,
    StaleCommand,
    TicketTypeNotFound,
    TooManyOpenOrders,
    TooManyTicketTypes,
    TotalBelowCommitted,
    Unprocessable,
    UserNotFound,
)
from tests import builders

USER = "017f22e2-0000-7000-8000-000000000001"
EVENT = "017f22e2-0000-7000-8000-000000000002"
STANDING = "017f22e2-0000-7000-8000-000000000003"
SEATED = "017f22e2-0000-7000-8000-000000000004"
ORDER = "017f22e2-0000-7000-8000-000000000006"
AGENT = "017f22e2-0000-7000-8000-000000000005"
COMMAND = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"

SUBMITTED = datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)
DECIDED = datetime(2022, 2, 22, 19, 22, 22, 123456, tzinfo=UTC)
STARTS = datetime(2022, 3, 1, 19, tzinfo=UTC)
ENDS = datetime(2022, 3, 1, 23, 30, tzinfo=UTC)

_own = {"command_id": COMMAND, "submitted_at": SUBMITTED, "deadline": ENDS}
_prices = {"unit_price": 4_500, "min_per_order": 2, "max_per_order": 6, "max_per_user": 8}
_sale = {"sale_starts_at": SUBMITTED, "sale_ends_at": STARTS}

COMMANDS: dict[str, Command] = {
    command.kind: command
    for command in (
        builders.register_user(USER, email="Ann@example.com", **_own),
        builders.create_event(
            USER,
            name="A concert",
            starts_at=STARTS,
            ends_at=ENDS,
            currency="CHF",
            payment_agent_id=AGENT,
            **_own,
        ),
        builders.change_event(
            USER,
            EVENT,
            name="A concert",
            starts_at=STARTS,
            ends_at=ENDS,
            payment_agent_id=AGENT,
            **_own,
        ),
        builders.cancel_event(USER, EVENT, **_own),
        builders.end_event(USER, EVENT, **_own),
        builders.create_ticket_type(
            USER, EVENT, name="Standing", total_quantity=100, **_sale, **_prices, **_own
        ),
        builders.change_ticket_type(
            USER, STANDING, name="Seated", total_quantity=50, **_sale, **_prices, **_own
        ),
        builders.reserve(USER, {STANDING: 2, SEATED: 1}, **_own),
        builders.set_quantity(USER, STANDING, 0, **_own),
        builders.release_item(USER, STANDING, **_own),
        builders.release_cart(USER, **_own),
        builders.extend_hold(USER, **_own),
        builders.check_out(USER, EVENT, expected_total=9_000, **_own),
        builders.record_payment(AGENT, ORDER, 9_000, payment_id="pi_3Nq", currency="CHF", **_own),
        builders.record_refund(AGENT, ORDER, 4_500, refund_id="re_3Nq", **_own),
        builders.release_tickets(USER, ORDER, {STANDING: 1}, keep_amount=500, **_own),
        builders.cancel_order(USER, ORDER, keep_amount=500, **_own),
        builders.extend_order(USER, ORDER, ENDS, **_own),
    )
}

_event = EventResult(Event(EVENT, USER, "A concert", STARTS, ENDS, "active", "CHF", AGENT))
_ticket_type = TicketTypeResult(
    TicketType(STANDING, EVENT, "Standing", 100, 30, 20, 50, SUBMITTED, STARTS, **_prices)
)
_cart = CartResult(
    Cart(
        COMMAND,
        "active",
        ENDS,
        [CartItem(STANDING, EVENT, 2), CartItem(SEATED, EVENT, 1)],
    )
)
_order = Order(
    id=ORDER,
    event_id=EVENT,
    user_id=USER,
    status="pending_payment",
    currency="CHF",
    total=9_000,
    paid=0,
    refunded=0,
    kept=0,
    refund_due=0,
    created_at=SUBMITTED,
    pay_by=STARTS,
    items=[OrderItem(STANDING, "Standing", quantity=2, released=0, unit_price=4_500)],
    payments=[],
    refunds=[],
)
_paid_order = replace(
    _order,
    status="paid",
    paid=18_000,
    refunded=4_500,
    kept=500,
    refund_due=8_500,
    items=[OrderItem(STANDING, "Standing", quantity=2, released=1, unit_price=4_500)],
    payments=[
        Payment("pi_3Nq", 9_000, "accepted", None, DECIDED),
        Payment("pi_3Nr", 9_000, "surplus", "already_paid", DECIDED),
    ],
    refunds=[Refund("re_3Nq", 4_500, DECIDED)],
)
_empty_cart = CartResult(Cart(None, "empty", None, []))

RESULTS: dict[str, Result] = {
    "register_user": UserResult(User(USER, "Ann@example.com")),
    "create_event": _event,
    "change_event": _event,
    "cancel_event": EventResult(replace(_event.event, status="cancelled")),
    "end_event": EventResult(replace(_event.event, status="ended")),
    "create_ticket_type": _ticket_type,
    "change_ticket_type": _ticket_type,
    "reserve_tickets": _cart,
    "set_quantity": _cart,
    "release_item": _cart,
    "release_cart": _empty_cart,
    "extend_hold": _cart,
    "check_out": OrderResult(_order),
    "record_payment": PaymentResult(
        _paid_order, PaymentDecision("pi_3Nr", "surplus", "already_paid")
    ),
    "record_refund": OrderResult(_paid_order),
    "release_tickets": OrderResult(_paid_order),
    "cancel_order": OrderResult(replace(_order, status="cancelled")),
    "extend_order": OrderResult(_order),
}

REFUSALS: dict[str, Refusal] = {
    refusal.code: refusal
    for refusal in (
        TicketTypeNotFound(STANDING),
        EventNotFound(EVENT),
        ItemNotInCart(STANDING),
        UserNotFound(),
        NotTheOrganizer(),
        EventEnded(EVENT),
        EventCancelled(EVENT),
        SaleNotStarted(STANDING, STARTS),
        SaleEnded(STANDING, STARTS),
        InsufficientAvailability(STANDING, requested=3, available=2),
        LineTooLarge(STANDING, requested=2_000_000, allowed=1_000_000),
        CartFull(allowed=50),
        LimitExceeded(STANDING, limit="order", allowed=4, requested=5),
        HoldLimitReached(ENDS),
        CartEmpty(),
        OrderNotFound(ORDER),
        NothingToCheckOut(EVENT),
        PriceChanged(total=9_000, currency="CHF"),
        MinimumNotReached(STANDING, min_per_order=2, quantity=1),
        TooManyOpenOrders(allowed=5),
        OrderNotPending(ORDER, "paid"),
        OrderNotPaid(ORDER, "pending_payment"),
        MoreThanHeld(STANDING),
        MoreThanDue(refund_due=500),
        NotThePaymentAgent(),
        PaymentIdReused(),
        CurrencyMismatch(),
        OrderFull(allowed=100),
        TotalBelowCommitted(reserved_quantity=30, sold_quantity=20),
        TooManyTicketTypes(allowed=100),
        EmailTaken(),
        DeadlinePassed(),
        StaleCommand(),
        CommandIdReused(),
        Unprocessable(),
    )
}

OUTCOMES: dict[str, Outcome] = {
    **{
        f"succeeded.{kind}": succeeded(COMMANDS[kind], result, DECIDED)
        for kind, result in RESULTS.items()
    },
    **{
        f"refused.{code}": refused(COMMANDS["reserve_tickets"], refusal, DECIDED)
        for code, refusal in REFUSALS.items()
    },
    "pending": Outcome(COMMAND, "reserve_tickets", "pending", SUBMITTED, None, None, None),
}
