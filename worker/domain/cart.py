"""The rules of holding tickets and giving them back: refusals in order of precedence."""

from collections.abc import Iterable, Mapping

from shared import outcomes
from shared.bodies import MAX_CART_LINES, MAX_QUANTITY
from shared.commands import ExtendHold, ReleaseCart, ReleaseItem, ReserveTickets, SetQuantity
from shared.outcomes import EMPTY_CART, CartItem, CartResult
from shared.refusals import (
    CartEmpty,
    CartFull,
    EventCancelled,
    EventEnded,
    HoldLimitReached,
    InsufficientAvailability,
    ItemNotInCart,
    LimitExceeded,
    LineTooLarge,
    Refusal,
    SaleEnded,
    SaleNotStarted,
    TicketTypeNotFound,
)
from worker.domain.book import Book


def reserve_tickets(book: Book, command: ReserveTickets) -> CartResult | Refusal:
    quantities: dict[str, int] = {}
    for item in command.items:
        quantities[item.ticket_type_id] = quantities.get(item.ticket_type_id, 0) + item.quantity
    cart = book.carts.get(command.user_id)
    lines = cart.lines if cart else {}
    for ticket_type_id, quantity in quantities.items():
        if refusal := _refuse_hold(book, command.user_id, lines, ticket_type_id, quantity):
            return refusal
    if refusal := _refuse_lines(lines, quantities):
        return refusal
    for ticket_type_id, quantity in quantities.items():
        ticket_type = book.ticket_types[ticket_type_id]
        book.hold(command.user_id, ticket_type, quantity, cart_id=command.command_id)
    return _cart(book, command.user_id)


def set_quantity(book: Book, command: SetQuantity) -> CartResult | Refusal:
    cart = book.carts.get(command.user_id)
    lines = cart.lines if cart else {}
    held = lines.get(command.ticket_type_id, 0)
    more = command.quantity - held
    if more > 0:
        if refusal := _refuse_hold(book, command.user_id, lines, command.ticket_type_id, more):
            return refusal
        if refusal := _refuse_lines(lines, [command.ticket_type_id]):
            return refusal
        ticket_type = book.ticket_types[command.ticket_type_id]
        book.hold(command.user_id, ticket_type, more, cart_id=command.command_id)
    elif cart is None or held == 0:
        return ItemNotInCart(command.ticket_type_id)
    elif more < 0:
        book.give_back(cart, command.ticket_type_id, -more)
    return _cart(book, command.user_id)


def release_item(book: Book, command: ReleaseItem) -> CartResult | Refusal:
    cart = book.carts.get(command.user_id)
    if cart is None or command.ticket_type_id not in cart.lines:
        return ItemNotInCart(command.ticket_type_id)
    book.give_back(cart, command.ticket_type_id, cart.lines[command.ticket_type_id])
    return _cart(book, command.user_id)


def release_cart(book: Book, command: ReleaseCart) -> CartResult | Refusal:
    if cart := book.carts.get(command.user_id):
        book.release(cart)
    return _cart(book, command.user_id)


def extend_hold(book: Book, command: ExtendHold) -> CartResult | Refusal:
    cart = book.carts.get(command.user_id)
    if cart is None:
        return CartEmpty()
    expires_at = min(book.now + book.rules.hold, cart.opened_at + book.rules.max_hold)
    if expires_at <= cart.expires_at:
        return HoldLimitReached(cart.expires_at)
    book.extend(cart, expires_at)
    return _cart(book, command.user_id)


def _refuse_hold(
    book: Book, user_id: str, lines: Mapping[str, int], ticket_type_id: str, quantity: int
) -> Refusal | None:
    """The rules for holding `quantity` more tickets of a type, in order of precedence."""
    ticket_type = book.ticket_types.get(ticket_type_id)
    if ticket_type is None:
        return TicketTypeNotFound(ticket_type_id)
    event = book.events[ticket_type.event_id]
    if event.has_ended(book.now):
        return EventEnded(event.id)
    if event.status == "cancelled":
        return EventCancelled(event.id)
    if book.now < ticket_type.sale_starts_at:
        return SaleNotStarted(ticket_type_id, ticket_type.sale_starts_at)
    if ticket_type.sale_ends_at <= book.now:
        return SaleEnded(ticket_type_id, ticket_type.sale_ends_at)
    requested = lines.get(ticket_type_id, 0) + quantity
    if ticket_type.max_per_order is not None and requested > ticket_type.max_per_order:
        return LimitExceeded(ticket_type_id, "order", ticket_type.max_per_order, requested)
    if ticket_type.max_per_user is not None:
        would_have = requested + book.ordered[user_id, ticket_type_id]
        if would_have > ticket_type.max_per_user:
            return LimitExceeded(ticket_type_id, "user", ticket_type.max_per_user, would_have)
    if quantity > ticket_type.available:
        return InsufficientAvailability(ticket_type_id, quantity, ticket_type.available)
    if requested > MAX_QUANTITY:
        return LineTooLarge(ticket_type_id, requested, MAX_QUANTITY)
    return None


def _refuse_lines(lines: Mapping[str, int], wanted: Iterable[str]) -> Refusal | None:
    """The rule for adding lines to a cart; more of a line that is there adds none."""
    new_lines = sum(ticket_type_id not in lines for ticket_type_id in wanted)
    if new_lines and len(lines) + new_lines > MAX_CART_LINES:
        return CartFull(MAX_CART_LINES)
    return None


def _cart(book: Book, user_id: str) -> CartResult:
    """The user's cart as it now is."""
    cart = book.carts.get(user_id)
    if cart is None:
        return CartResult(EMPTY_CART)
    items = [
        CartItem(ticket_type_id, book.ticket_types[ticket_type_id].event_id, quantity)
        for ticket_type_id, quantity in sorted(cart.lines.items())
    ]
    return CartResult(outcomes.Cart(cart.id, "active", cart.expires_at, items))
