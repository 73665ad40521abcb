"""Every reason for a refusal: a stable code, a sentence for people, and the data behind it.

To add one, write its class and name its code in `RefusalCode`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias, Union, get_args

from shared.orders import OrderStatus

RefusalCode = Literal[
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
REFUSAL_CODES: tuple[RefusalCode, ...] = get_args(RefusalCode)


class Refusal:
    """Why a command changed nothing; each subclass is a dataclass with a code of its own."""

    code: RefusalCode
    detail: str


@dataclass
class TicketTypeNotFound(Refusal):
    ticket_type_id: str
    code: Literal["ticket_type_not_found"] = "ticket_type_not_found"
    detail: str = "There is no such ticket type."


@dataclass
class EventNotFound(Refusal):
    event_id: str
    code: Literal["event_not_found"] = "event_not_found"
    detail: str = "There is no such event."


@dataclass
class ItemNotInCart(Refusal):
    ticket_type_id: str
    code: Literal["item_not_in_cart"] = "item_not_in_cart"
    detail: str = "The cart holds no ticket of this type."


@dataclass
class UserNotFound(Refusal):
    code: Literal["user_not_found"] = "user_not_found"
    detail: str = "The user of this command does not exist."


@dataclass
class NotTheOrganizer(Refusal):
    code: Literal["not_the_organizer"] = "not_the_organizer"
    detail: str = "Only the organizer of the event may do this."


@dataclass
class EventEnded(Refusal):
    event_id: str
    code: Literal["event_ended"] = "event_ended"
    detail: str = "The event has ended."


@dataclass
class EventCancelled(Refusal):
    event_id: str
    code: Literal["event_cancelled"] = "event_cancelled"
    detail: str = "The event was cancelled."


@dataclass
class SaleNotStarted(Refusal):
    ticket_type_id: str
    sale_starts_at: datetime
    code: Literal["sale_not_started"] = "sale_not_started"
    detail: str = "The sale has not started."


@dataclass
class SaleEnded(Refusal):
    ticket_type_id: str
    sale_ends_at: datetime
    code: Literal["sale_ended"] = "sale_ended"
    detail: str = "The sale has ended."


@dataclass
class InsufficientAvailability(Refusal):
    ticket_type_id: str
    requested: int
    available: int
    code: Literal["insufficient_availability"] = "insufficient_availability"
    detail: str = "Fewer tickets are available than were asked for."


@dataclass
class LineTooLarge(Refusal):
    ticket_type_id: str
    requested: int
    """How many tickets the line would have."""
    allowed: int
    code: Literal["line_too_large"] = "line_too_large"
    detail: str = "The line of the cart would have too many tickets."


@dataclass
class CartFull(Refusal):
    allowed: int
    """How many lines a cart has at most."""
    code: Literal["cart_full"] = "cart_full"
    detail: str = "The cart would have too many lines."


@dataclass
class LimitExceeded(Refusal):
    ticket_type_id: str
    limit: Literal["order", "user"]
    """What the limit is for: one order, or all that a user has."""
    allowed: int
    requested: int
    """How many tickets the cart, or the user, would then hold."""
    code: Literal["limit_exceeded"] = "limit_exceeded"
    detail: str = "More tickets of this type are not allowed."


@dataclass
class HoldLimitReached(Refusal):
    expires_at: datetime
    code: Literal["hold_limit_reached"] = "hold_limit_reached"
    detail: str = "The cart cannot be held any longer."


@dataclass
class CartEmpty(Refusal):
    code: Literal["cart_empty"] = "cart_empty"
    detail: str = "The cart holds no ticket."


@dataclass
class OrderNotFound(Refusal):
    order_id: str
    code: Literal["order_not_found"] = "order_not_found"
    detail: str = "There is no such order."


@dataclass
class NothingToCheckOut(Refusal):
    event_id: str
    code: Literal["nothing_to_check_out"] = "nothing_to_check_out"
    detail: str = "The cart holds no ticket of this event."


@dataclass
class PriceChanged(Refusal):
    total: int
    """What the tickets cost now, in minor units."""
    currency: str
    code: Literal["price_changed"] = "price_changed"
    detail: str = "The tickets no longer cost what was expected."


@dataclass
class MinimumNotReached(Refusal):
    ticket_type_id: str
    min_per_order: int
    quantity: int
    code: Literal["minimum_not_reached"] = "minimum_not_reached"
    detail: str = "Fewer tickets of this type are not sold in one order."


@dataclass
class TooManyOpenOrders(Refusal):
    allowed: int
    """How many pending orders of an event a user has at most."""
    code: Literal["too_many_open_orders"] = "too_many_open_orders"
    detail: str = "Pay or cancel an order of this event first."


@dataclass
class OrderNotPending(Refusal):
    order_id: str
    order_status: OrderStatus
    code: Literal["order_not_pending"] = "order_not_pending"
    detail: str = "The order does not wait for its payment."


@dataclass
class OrderNotPaid(Refusal):
    order_id: str
    order_status: OrderStatus
    code: Literal["order_not_paid"] = "order_not_paid"
    detail: str = "The order is not paid."


@dataclass
class MoreThanHeld(Refusal):
    ticket_type_id: str
    code: Literal["more_than_held"] = "more_than_held"
    detail: str = "The order does not have as many tickets of this type."


@dataclass
class MoreThanDue(Refusal):
    refund_due: int
    """What is due back to the buyer, in minor units."""
    code: Literal["more_than_due"] = "more_than_due"
    detail: str = "The amount is more than what is due back to the buyer."


@dataclass
class NotThePaymentAgent(Refusal):
    code: Literal["not_the_payment_agent"] = "not_the_payment_agent"
    detail: str = "Only the payment agent of the event may do this."


@dataclass
class PaymentIdReused(Refusal):
    code: Literal["payment_id_reused"] = "payment_id_reused"
    detail: str = "This ID was recorded with another order, amount or currency."


@dataclass
class CurrencyMismatch(Refusal):
    code: Literal["currency_mismatch"] = "currency_mismatch"
    detail: str = "The order has another currency."


@dataclass
class OrderFull(Refusal):
    allowed: int
    """How many payments, or refunds, an order has at most."""
    code: Literal["order_full"] = "order_full"
    detail: str = "The order has as many payments, or refunds, as it may have."


@dataclass
class TotalBelowCommitted(Refusal):
    reserved_quantity: int
    sold_quantity: int
    code: Literal["total_below_committed"] = "total_below_committed"
    detail: str = "More tickets are reserved and sold than the new total."


@dataclass
class TooManyTicketTypes(Refusal):
    allowed: int
    """How many ticket types an event has at most."""
    code: Literal["too_many_ticket_types"] = "too_many_ticket_types"
    detail: str = "The event has as many ticket types as it may have."


@dataclass
class EmailTaken(Refusal):
    code: Literal["email_taken"] = "email_taken"
    detail: str = "A user with this e-mail address or ID is registered."


@dataclass
class DeadlinePassed(Refusal):
    code: Literal["deadline_passed"] = "deadline_passed"
    detail: str = "The command's deadline passed before it was decided."


@dataclass
class StaleCommand(Refusal):
    code: Literal["stale_command"] = "stale_command"
    detail: str = "The command's ID is older than the window in which IDs are accepted."


@dataclass
class CommandIdReused(Refusal):
    code: Literal["command_id_reused"] = "command_id_reused"
    detail: str = "Another command was submitted under this ID."


@dataclass
class Unprocessable(Refusal):
    detail: str = "The command could not be applied and was set aside."
    code: Literal["unprocessable"] = "unprocessable"


REFUSALS: tuple[type[Refusal], ...] = tuple(Refusal.__subclasses__())
if TYPE_CHECKING:
    AnyRefusal: TypeAlias = Refusal
else:
    AnyRefusal = Union[REFUSALS]  # noqa: UP007 - the tuple is not known to a type checker
    """For pydantic, which reads a refusal as the class that has its code."""
