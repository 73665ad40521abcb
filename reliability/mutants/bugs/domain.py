"""Bugs in the rules of the box office."""

from reliability.mutants.bugs.suites import DOMAIN, SIMULATION
from reliability.mutants.mutant import Mutant

BATCH = "worker/domain/batch.py"
BOOK = "worker/domain/book.py"
CART = "worker/domain/cart.py"
CATALOGUE = "worker/domain/catalogue.py"
DECIDE = "worker/domain/decide.py"

MUTANTS = (
    Mutant(
        "no_fingerprint",
        "a request that reuses an ID gets the outcome of another request",
        BATCH,
        "earlier.fingerprint == fingerprint or _was_unread(earlier, command.user_id):\n",
        "earlier is not None:\n",
        (SIMULATION, DOMAIN),
    ),
    Mutant(
        "refused_outcome_not_recorded",
        "a refused request succeeds when it is repeated",
        BATCH,
        "            if command.command_id >= book.oldest_kept_id:\n",
        "            if outcome.refusal is None:\n",
        (SIMULATION, DOMAIN),
    ),
    Mutant(
        "duplicate_in_a_batch_decided_again",
        "a double click holds twice",
        BATCH,
        "        earlier = known.get(command.command_id)\n",
        "        earlier = recorded.get(command.command_id)\n",
        (SIMULATION, DOMAIN),
    ),
    Mutant(
        "expired_holds_kept",
        "tickets whose hold has expired are never sold",
        BATCH,
        "    book.expire_carts()\n",
        "",
        (SIMULATION, DOMAIN),
    ),
    Mutant(
        "other_payload_recorded",
        "the refusal of another payload takes the place of the outcome",
        BATCH,
        """        else:
            reused = refused(command, CommandIdReused(), book.now)
            batch.outcomes.append(NewOutcome(command, fingerprint, reused, dead_letter=False))
""",
        """        else:
            reused = refused(command, CommandIdReused(), book.now)
            batch.outcomes.append(NewOutcome(command, fingerprint, reused, dead_letter=False))
            batch.to_record.append(batch.outcomes[-1])
""",
        (SIMULATION, DOMAIN),
    ),
    Mutant(
        "hold_ends_a_moment_late",
        "a hold that is over refuses a buyer at the instant of its end",
        BOOK,
        "if cart.expires_at <= self.now]:\n",
        "if cart.expires_at < self.now]:\n",
        (DOMAIN,),
    ),
    Mutant(
        "hold_prolonged_by_each_reservation",
        "a buyer who adds tickets now and then holds the others indefinitely",
        BOOK,
        "        self.move(ticket_type.id, reserved=quantity)\n        self.changes.touched",
        "        cart.expires_at = self.now + self.rules.hold\n"
        "        self.move(ticket_type.id, reserved=quantity)\n        self.changes.touched",
        (DOMAIN, SIMULATION),
    ),
    Mutant(
        "lowered_quantity_not_given_back",
        "tickets that were taken out of a cart are lost",
        BOOK,
        "        self.move(ticket_type_id, reserved=-quantity)\n        self.changes.touched_lines",
        "        self.changes.touched_lines",
        (SIMULATION, DOMAIN),
    ),
    Mutant(
        "closed_cart_keeps_its_tickets",
        "tickets of released and expired carts are lost",
        BOOK,
        """        for ticket_type_id, quantity in cart.lines.items():
            self.move(ticket_type_id, reserved=-quantity)
""",
        "",
        (SIMULATION, DOMAIN),
    ),
    Mutant(
        "quantity_checked_per_line",
        "two lines for the same tickets oversell them",
        CART,
        "        quantities[item.ticket_type_id] = "
        "quantities.get(item.ticket_type_id, 0) + item.quantity\n",
        "        quantities[item.ticket_type_id] = item.quantity\n",
        (SIMULATION, DOMAIN),
    ),
    Mutant(
        "availability_off_by_one",
        "one ticket more is sold than there is",
        CART,
        "    if quantity > ticket_type.available:\n",
        "    if quantity > ticket_type.available + 1:\n",
        (SIMULATION, DOMAIN),
    ),
    Mutant(
        "last_ticket_never_sold",
        "the last ticket stays on the shelf",
        CART,
        "    if quantity > ticket_type.available:\n",
        "    if quantity >= ticket_type.available:\n",
        (SIMULATION, DOMAIN),
    ),
    Mutant(
        "sale_ends_a_moment_late",
        "a sale is still open at its end",
        CART,
        "    if ticket_type.sale_ends_at <= book.now:\n",
        "    if ticket_type.sale_ends_at < book.now:\n",
        (DOMAIN,),
    ),
    Mutant(
        "deadline_a_moment_late",
        "a command is applied when its deadline has come",
        DECIDE,
        "command.deadline <= book.now:\n",
        "command.deadline < book.now:\n",
        (DOMAIN,),
    ),
    Mutant(
        "stale_command_applied",
        "an ID whose outcome has gone is applied a second time",
        DECIDE,
        "    if command.command_id < book.oldest_command_id:\n        return StaleCommand()\n",
        "",
        (SIMULATION, DOMAIN),
    ),
    Mutant(
        "anybody_organizes",
        "anybody cancels anybody's event",
        CATALOGUE,
        "    if event.organizer_id != user_id:\n        return NotTheOrganizer()\n",
        "",
        (SIMULATION, DOMAIN),
    ),
    Mutant(
        "cart_without_bound",
        "one buyer's cart of thousands of lines slows down every other buyer",
        CART,
        "    if new_lines and len(lines) + new_lines > MAX_CART_LINES:\n",
        "    if new_lines > MAX_CART_LINES:\n",
        (DOMAIN,),
    ),
    Mutant(
        "line_bound_per_command",
        "two commands make a line that no client can set",
        CART,
        "    if requested > MAX_QUANTITY:\n",
        "    if quantity > MAX_QUANTITY:\n",
        (DOMAIN,),
    ),
    Mutant(
        "event_ends_before_it_starts",
        "a mistaken change of an event is set aside as a fault of the system",
        CATALOGUE,
        "    if ends_at <= starts_at:\n",
        "    if ends_at < starts_at:\n",
        (DOMAIN,),
    ),
    Mutant(
        "changed_event_locks_no_ticket_type",
        "tickets are sold for an event after its organizer has ended it",
        "worker/domain/locks.py",
        "            case ChangeEvent():\n"
        "                request.event_ids.add(command.event_id)\n",
        "            case ChangeEvent():\n",
        (DOMAIN, SIMULATION),
    ),
    Mutant(
        "total_below_what_is_held",
        "an organizer takes tickets away from those who hold them",
        CATALOGUE,
        "    if total < committed:\n",
        "    if total < ticket_type.sold:\n",
        (SIMULATION, DOMAIN),
    ),
)
