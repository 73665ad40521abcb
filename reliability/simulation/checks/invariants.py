"""The invariants, checked while a seed runs and on the state at its end."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from unittest.mock import patch

from reliability.simulation.checks.books import audit, compare_money
from reliability.simulation.checks.model import Model
from reliability.simulation.clients.clients import Clients, SentCommand
from reliability.simulation.fakes.broker import Broker, Message
from reliability.simulation.fakes.tables import Database, OutcomeRow
from shared.commands import Command, unread_fingerprint
from worker import apply as unit_of_work
from worker.domain.batch import Batch
from worker.storage.outcomes import EncodedOutcome

LONGEST_OVERDUE = timedelta(seconds=5)
"""How long the sweep of a worker in health may leave a cart whose hold is over."""


class ReplyMonitor:
    """Checks every reply when the broker receives it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.violations: list[str] = []

    def on_reply(self, documents: list[str]) -> None:
        for document in documents:
            if not (self._is_recorded(document) or _is_recorded_nowhere(document)):
                self.violations.append(f"a reply tells what is not committed: {document}")

    def on_acknowledged(self, message: Message) -> None:
        for id in message.command_ids:
            if id not in self._database.tables["outcomes"]:
                self.violations.append(f"I3: {id} is acknowledged and not committed")

    def on_delivery_limit(self, message: Message) -> None:
        self.violations.append(f"I11: the broker gives up {message.command_ids} without an outcome")

    def _is_recorded(self, document: str) -> bool:
        row = self._database.tables["outcomes"].get(document[15:51])
        return row is not None and row.document == document


def _is_recorded_nowhere(document: str) -> bool:
    return '"code":"command_id_reused"' in document or '"decided_at":null' in document


class Order:
    """The place of each document among all decisions.

    The very document, for two workers may come to equal ones at the same instant.
    """

    def __init__(self) -> None:
        self._documents: list[str] = []
        self._places: dict[int, int] = {}

    def note(self, documents: list[str]) -> None:
        for document in documents:
            self._places[id(document)] = len(self._documents)
            self._documents.append(document)

    def place(self, document: str) -> int:
        return self._places[id(document)]


@contextmanager
def order_of_decisions() -> Iterator["Order"]:
    """Note the order of decisions: a table has none."""
    order = Order()
    encode = vars(unit_of_work)["encode"]

    def noting(batch: Batch) -> list[EncodedOutcome]:
        encoded: list[EncodedOutcome] = encode(batch)
        documents = dict(zip(batch.outcomes, encoded, strict=True))
        order.note([documents[new].document for new in batch.to_record])
        return encoded

    with patch.object(unit_of_work, "encode", noting):
        yield order


def check_invariants(
    model: Model, database: Database, broker: Broker, clients: Clients, order: Order
) -> Iterator[str]:
    """Everything that is wrong at the end of a run."""
    yield from database.alarms
    yield from _follow(model, database, clients.record, order)
    yield from _compare(model, database)
    yield from audit(database.tables)
    yield from compare_money(database.tables, clients.record.values())
    for id, asked in clients.record.items():
        yield from _answers(id, asked, database.tables["outcomes"].get(id))
    if len(broker.dead_letters) < clients.bad_messages:
        yield "I11: a message that cannot be read has no dead letter"
    for id in _set_aside(database):
        if not any(id.encode() in letter for letter in broker.dead_letters):
            yield f"I11: {id} was set aside without a dead letter"


def _set_aside(database: Database) -> set[str]:
    """The commands that cannot be applied, and those that ended their worker, or seemed to."""
    outcomes = database.tables["outcomes"]
    suspects = {id for id in database.given_up if id in outcomes and outcomes[id].dead_letter}
    return (database.poisoned | database.deadly) & outcomes.keys() | suspects


def _follow(
    model: Model, database: Database, record: Mapping[str, SentCommand], order: Order
) -> Iterator[str]:
    """Enter the history into the model."""
    set_aside = _set_aside(database)
    last_clock: dict[str, datetime] = {}
    for committed in database.history:
        model.settle(committed)
        for cart_id in committed.expired:
            if finding := model.expire(cart_id, committed.clock):
                yield finding
        for row in sorted(committed.outcomes, key=lambda row: order.place(row.document)):
            asked = record[row.command_id]
            if row.command_id in set_aside and _was_unread(row):
                continue
            decided = [c for c in asked.payloads if c.fingerprint() == row.fingerprint]
            if len({_payload(command) for command in decided}) != 1:
                yield f"I6: {row.command_id}: {len(decided)} payloads of one fingerprint"
                continue
            guard = model.guard(decided[0], committed.began)
            if guard and last_clock.get(guard, committed.clock) > committed.clock:
                yield f"I10: {row.command_id} is decided by a clock from before its locks"
            elif row.command_id in set_aside and row.dead_letter:
                continue
            elif finding := model.enter(decided[0], row.document, asked.first_sent, committed):
                yield finding
            if guard:
                last_clock[guard] = committed.clock
        for order_row in committed.orders:
            if finding := model.purchases.differs(order_row):
                yield finding


def _compare(model: Model, database: Database) -> Iterator[str]:
    """Compare the stored state with the model."""
    tables, state = database.tables, model.state
    for id, row in tables["ticket_types"].items():
        expected = state.ticket_types[id]._replace(reserved=state.reserved(id), sold=state.sold(id))
        if row != expected:
            yield f"I5: {row} should be {expected}"
    active = {cart.id for cart in tables["carts"].values() if cart.status == "active"}
    if active != {hold.cart_id for hold in state.holds.values()}:
        yield f"I5: the active carts are {active}"
    if state.users != set(tables["users"]):
        yield "the users are not those who registered"
    if any(event != state.events.get(id) for id, event in tables["events"].items()):
        yield "an event is not what its commands made of it"
    if state.purchases.keys() != tables["orders"].keys():
        yield "O1: the orders are not those that were checked out"
    for order in tables["orders"].values():
        if finding := model.purchases.differs(order):
            yield finding


def _answers(id: str, asked: SentCommand, row: OutcomeRow | None) -> Iterator[str]:
    """Compare the responses that clients got with the recorded outcomes."""
    if row is None:
        if asked.accepted or asked.answers:
            yield f"I3: {id} was accepted, and is lost"
        return
    for command, document in asked.answers:
        of_the_first = command.fingerprint() == row.fingerprint or (
            _was_unread(row) and command.user_id == row.user_id
        )
        if of_the_first and document != row.document:
            yield f"I7: {id} is answered {document}, recorded as {row.document}"
        if not of_the_first and '"command_id_reused"' not in document:
            yield f"I6: {id} with another payload is answered {document}"


def _was_unread(row: OutcomeRow) -> bool:
    """Whether the outcome answers whatever payload its user sent."""
    return row.dead_letter and row.fingerprint == unread_fingerprint(row.user_id)


def _payload(command: Command) -> str:
    return command.model_dump_json(exclude={"submitted_at", "deadline"})
