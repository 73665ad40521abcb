"""Replays the recorded outcomes: each user's cart, and the availability of each ticket type.

A user's commands are known in their order. Those of several users on one ticket type are ordered
by their instants of decision: each is read from the database's clock under the ticket type's
lock. Commands decided at one instant, in one batch, have no known order; what was left then is
known to lie between two bounds.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate, groupby
from typing import Any, assert_never

from reliability.chaos.checks.record import CartCommandKind, Document, Entry

Lines = dict[str, int]
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Hold:
    """Tickets of one type in one user's cart, from one instant to another."""

    ticket_type_id: str
    quantity: int
    since: datetime
    until: datetime
    expired: bool
    """Whether it ended by its expiry, without a command."""


@dataclass(frozen=True, slots=True)
class SoldOut:
    """A refusal for want of tickets."""

    command_id: str
    ticket_type_id: str
    submitted_at: datetime
    decided_at: datetime
    requested: int
    available: int


@dataclass(slots=True)
class Cart:
    """A user's holds according to the outcomes."""

    id: str | None = None
    expires_at: datetime = NEVER
    lines: Lines = field(default_factory=dict)
    since: dict[str, datetime] = field(default_factory=dict)
    """When each line got its current quantity."""


@dataclass(slots=True)
class Replay:
    carts: dict[str, Cart] = field(default_factory=dict)
    """By user, after the last command."""
    holds: list[Hold] = field(default_factory=list)
    sold_out: list[SoldOut] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)


def replay(by_user: Mapping[str, list[Entry]], recorded: Mapping[str, Document]) -> Replay:
    """Follow every cart through the commands of its user."""
    played = Replay()
    for user_id, entries in by_user.items():
        cart = Cart()
        for entry in entries:
            if (outcome := recorded.get(entry.id)) is not None:
                cart = _step(played, cart, entry, outcome)
        _close(played, cart, (), NEVER)
        played.carts[user_id] = cart
    return played


def _step(played: Replay, cart: Cart, entry: Entry, outcome: Document) -> Cart:
    now = instant(outcome["decided_at"])
    alive = cart if cart.expires_at > now else Cart()
    if outcome["status"] == "refused":
        _check_refusal(played, alive, entry, outcome, now)
        return cart
    expected = after(entry.kind, entry.fields, alive.lines)
    told = outcome["result"]["cart"]
    lines = {item["ticket_type_id"]: item["quantity"] for item in told["items"]}
    if lines != expected:
        played.findings.append(
            f"I5: after {entry.kind} {entry.id} the cart holds {lines}, not {expected}"
        )
    id = (alive.id if alive.lines else entry.id) if expected else None
    if told["id"] != id:
        played.findings.append(f"I5: after {entry.id} the cart is {told['id']}, not {id}")
    expires_at = instant(told["expires_at"]) if lines else NEVER
    if alive.lines and lines and expires_at != alive.expires_at:
        played.findings.append(f"I5: {entry.id} has moved the expiry of its cart")
    kept = {id for id, quantity in lines.items() if alive.lines.get(id) == quantity}
    _close(played, cart, kept, now)
    since = {id: cart.since[id] if id in kept else now for id in lines}
    return Cart(told["id"], expires_at, lines, since)


def after(kind: CartCommandKind, fields: Document, lines: Lines) -> Lines:
    """What a cart holds once a command has succeeded."""
    now = dict(lines)
    match kind:
        case "reserve_tickets":
            for line in fields["items"]:
                id = line["ticket_type_id"]
                now[id] = now.get(id, 0) + line["quantity"]
        case "set_quantity":
            now[fields["ticket_type_id"]] = fields["quantity"]
        case "release_item":
            now.pop(fields["ticket_type_id"], None)
        case "release_cart":
            now.clear()
        case _:
            assert_never(kind)
    return {id: quantity for id, quantity in now.items() if quantity}


def _check_refusal(
    played: Replay, alive: Cart, entry: Entry, outcome: Document, now: datetime
) -> None:
    refusal = outcome["refusal"]
    if refusal["code"] == "item_not_in_cart" and refusal["ticket_type_id"] in alive.lines:
        played.findings.append(f"I10: {entry.id} was refused what its cart held")
    if refusal["code"] == "insufficient_availability":
        played.sold_out.append(
            SoldOut(
                entry.id,
                refusal["ticket_type_id"],
                instant(outcome["submitted_at"]),
                now,
                refusal["requested"],
                refusal["available"],
            )
        )


def _close(played: Replay, cart: Cart, kept: Container[str], now: datetime) -> None:
    """Note what a cart held until now, or until its hold was over, but for the lines it keeps."""
    until = min(now, cart.expires_at)
    played.holds += [
        Hold(id, quantity, cart.since[id], until, expired=cart.expires_at <= now)
        for id, quantity in cart.lines.items()
        if id not in kept
    ]


def check_availability(played: Replay, totals: Mapping[str, int]) -> Iterable[str]:
    """I10, to the instant, and with it I9: nothing oversold, no refusal without a reason."""
    for ticket_type_id, total in totals.items():
        holds = [hold for hold in played.holds if hold.ticket_type_id == ticket_type_id]
        refused = [each for each in played.sold_out if each.ticket_type_id == ticket_type_id]
        yield from _check_type(ticket_type_id, total, holds, refused)


def _check_type(
    ticket_type_id: str, total: int, holds: list[Hold], refused: list[SoldOut]
) -> Iterable[str]:
    instants, reserved, granted, returned = _timeline(holds)
    for when, held in zip(instants, reserved, strict=True):
        if held > total:
            yield f"I10: {ticket_type_id} is oversold at {when}: {held} of {total}"
    expiries = sorted((hold.until, hold.quantity) for hold in holds if hold.expired)
    ends = [end for end, _ in expiries]
    sums = [0, *accumulate(quantity for _, quantity in expiries)]
    for each in refused:
        at = bisect_left(instants, each.decided_at)
        before = reserved[at - 1] if at else 0
        in_batch = at < len(instants) and instants[at] == each.decided_at
        # Holds that expired after the command was sent may have been in its way still.
        lately = sums[bisect_right(ends, each.decided_at)]
        lately -= sums[bisect_right(ends, each.submitted_at)]
        fewest = total - before - lately - (granted[at] if in_batch else 0)
        most = total - before + (returned[at] if in_batch else 0)
        if not fewest <= each.available <= most or each.available >= each.requested:
            yield (
                f"I9, I10: {each.command_id} was refused {each.requested} of {ticket_type_id} with"
                f" {each.available} available; there were {fewest} to {most}"
            )


def _timeline(holds: list[Hold]) -> tuple[list[datetime], list[int], list[int], list[int]]:
    """At each instant: tickets held from then on; and how many were granted, and returned, then."""
    changes = [(hold.since, hold.quantity) for hold in holds]
    changes += [(hold.until, -hold.quantity) for hold in holds if hold.until != NEVER]
    changes.sort()
    instants, reserved, granted, returned = [], [], [], []
    held = 0
    for at, group in groupby(changes, key=lambda change: change[0]):
        steps = [quantity for _, quantity in group]
        held += sum(steps)
        instants.append(at)
        reserved.append(held)
        granted.append(sum(step for step in steps if step > 0))
        returned.append(-sum(step for step in steps if step < 0))
    return instants, reserved, granted, returned


def instant(text: Any) -> datetime:
    """Parse a time of an outcome document."""
    return datetime.fromisoformat(text)
