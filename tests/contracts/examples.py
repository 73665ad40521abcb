"""One example of each command and outcome, with every field set."""

from dataclasses import replace
from datetime import UTC, datetime

from shared.commands import Command
from shared.outcomes import (
    Cart,
    CartItem,
    CartResult,
    Event,
    EventResult,
    Outcome,
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
    NotTheOrganizer,
    Refusal,
    SaleEnded,
    SaleNotStarted,
    StaleCommand,
    TicketTypeNotFound,
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
