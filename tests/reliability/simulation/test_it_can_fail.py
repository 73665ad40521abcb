"""Controls: a worker that is wrong in one place breaks an invariant within a few seeds."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from reliability.simulation.fakes import locks
from reliability.simulation.fakes.tables import Transaction
from reliability.simulation.run import simulate
from shared.commands import Command, CommandFields
from worker import apply
from worker.domain import batch, cart, ledger
from worker.domain.batch import Batch, decide_batch
from worker.domain.book import Book
from worker.domain.order import Order
from worker.messaging import consumer, replies
from worker.storage import locking, orders, outcomes
from worker.storage.driver import transaction
from worker.storage.save import save

MAX_SEEDS = 300
MAX_DUE = apply.DUE_LINES_BESIDE_COMMANDS

Patch = pytest.MonkeyPatch


def acknowledge_on_arrival(patch: Patch) -> None:
    handle = consumer.Consumer.handle

    async def hasty(self: consumer.Consumer, message: Any) -> None:
        await handle(self, message)
        await message.channel.basic_ack(message.delivery_tag, multiple=False, wait=False)

    patch.setattr(consumer.Consumer, "handle", hasty)


def acknowledge_beyond_what_is_done(patch: Patch) -> None:
    async def acknowledge(self: replies.AckBatcher) -> None:
        if self._done:
            await self.channel.basic_ack(max(self._done), multiple=True, wait=False)
            self._done.clear()

    patch.setattr(replies.AckBatcher, "acknowledge", acknowledge)


def answer_before_the_commit(patch: Patch) -> None:
    async def apply_later(
        engine: Any,
        rules: Any,
        commands: Sequence[Command],
        due: Any = (),
        *,
        forced_refusal: Any = None,
    ) -> apply.AppliedBatch:
        async with transaction(engine) as driver:
            users = await locking.lock_users(driver, commands, due, MAX_DUE)
            recorded = await outcomes.recall(driver, commands)
            locked = await locking.lock_book(driver, users, rules)
            decided = apply.decide_batch(locked.book, commands, recorded, forced_refusal)
            return apply.AppliedBatch(decided, apply.encode(decided))

    patch.setattr(apply, "apply", apply_later)


def recall_before_the_locks(patch: Patch) -> None:
    async def apply_early(
        engine: Any,
        rules: Any,
        commands: Sequence[Command],
        due: Any = (),
        *,
        forced_refusal: Any = None,
    ) -> apply.AppliedBatch:
        async with transaction(engine) as driver:
            recorded = await outcomes.recall(driver, commands)
            users = await locking.lock_users(driver, commands, due, MAX_DUE)
            locked = await locking.lock_book(driver, users, rules)
            decided = apply.decide_batch(locked.book, commands, recorded, forced_refusal)
            encoded = apply.encode(decided)
            await save(driver, decided, encoded)
            return apply.AppliedBatch(decided, encoded)

    patch.setattr(apply, "apply", apply_early)


def recall_nothing(patch: Patch) -> None:
    async def forget(driver: Any, commands: Sequence[Command]) -> dict[str, Any]:
        return {}

    patch.setattr(outcomes, "recall", forget)


def lock_nothing(patch: Patch) -> None:
    async def acquire(self: locks.RowLocks, holder: locks.Holder, key: locks.Key) -> None:
        holder.locks.discard(key)

    patch.setattr(locks.RowLocks, "acquire", acquire)


def lock_in_any_order(patch: Patch) -> None:
    lock = Transaction.lock

    async def unordered(self: Transaction, table: Any, ids: list[str], sql: str) -> list[Any]:
        return await lock(self, table, ids, sql.replace("ORDER BY", ""))

    patch.setattr(Transaction, "lock", unordered)


def commit_half(patch: Patch) -> None:
    commit = Transaction.commit

    def forgetful(self: Transaction) -> None:
        self._writes.pop("lines", None)
        commit(self)

    patch.setattr(Transaction, "commit", forgetful)


def expire_nothing(patch: Patch) -> None:
    patch.setattr(Book, "expire_carts", lambda self: None)


def leave_the_carts_of_others(patch: Patch) -> None:
    lock_users = locking.lock_users

    async def selfish(driver: Any, commands: Sequence[Command], due: Any, lines: int) -> Any:
        return await lock_users(driver, commands, due, 0)

    patch.setattr(locking, "lock_users", selfish)
    patch.setattr(Batch, "depends_on_due_holds", lambda self: False)


def take_any_payload_for_the_first(patch: Patch) -> None:
    patch.setattr(CommandFields, "fingerprint", lambda self: b"always the same.")


def sell_one_too_many(patch: Patch) -> None:
    refuse = cart._refuse_hold

    def refuse_less(book: Any, user_id: str, lines: Any, id: str, quantity: int) -> Any:
        return refuse(book, user_id, lines, id, quantity - 1)

    patch.setattr(cart, "_refuse_hold", refuse_less)


def count_lines_one_by_one(patch: Patch) -> None:
    def reserve(book: Book, command: Any) -> Any:
        for line in command.items:
            type_id, quantity = line.ticket_type_id, line.quantity
            if refusal := cart._refuse_hold(book, command.user_id, {}, type_id, quantity):
                return refusal
        for line in command.items:
            ticket_type = book.ticket_types[line.ticket_type_id]
            book.hold(command.user_id, ticket_type, line.quantity, command.command_id)
        return cart._cart(book, command.user_id)

    patch.setattr(cart, "reserve_tickets", reserve)


def expire_no_order(patch: Patch) -> None:
    patch.setattr(ledger, "settle_all", lambda book: None)
    patch.setattr(ledger, "settle", lambda book, order: None)


def keep_the_tickets_of_an_expired_order_reserved(patch: Patch) -> None:
    settle, move = ledger.settle, Book.move

    def settle_without_tickets(book: Book, order: Any) -> None:
        patch.setattr(Book, "move", lambda *_, **__: None)
        settle(book, order)
        patch.setattr(Book, "move", move)

    patch.setattr(ledger, "settle", settle_without_tickets)


def sell_without_payment(patch: Patch) -> None:
    patch.setattr(Order, "would_be_paid_with", lambda self, amount: True)


def take_the_price_of_now(patch: Patch) -> None:
    buy = ledger.buy

    def buy_at_new_price(book: Book, order: Order) -> None:
        buy(book, order)
        order.tickets_value = sum(
            book.ticket_types[id].unit_price * item.held for id, item in order.items.items()
        )

    patch.setattr(ledger, "buy", buy_at_new_price)


def forget_what_was_paid_before(patch: Patch) -> None:
    async def forget(*_: Any) -> None:
        pass

    patch.setattr(orders, "_read_money", forget)


def leave_the_orders_of_others(patch: Patch) -> None:
    async def read_own(driver: Any, request: Any, user_ids: Any, max_due: int) -> Any:
        return await orders.read_orders(driver, request, user_ids, 0)

    patch.setattr(locking, "read_orders", read_own)
    patch.setattr(Batch, "depends_on_due_holds", lambda self: False)


def record_no_refusals(patch: Patch) -> None:
    def forget(*arguments: Any) -> batch.Batch:
        decided = decide_batch(*arguments)
        decided.to_record = [new for new in decided.to_record if new.outcome.result]
        return decided

    patch.setattr(apply, "decide_batch", forget)


def leave_without_a_word(patch: Patch) -> None:
    async def drain(self: consumer.Consumer) -> None:
        pass

    patch.setattr(consumer.Consumer, "drain", drain)


def set_aside_without_a_dead_letter(patch: Patch) -> None:
    async def publish_dead_letter(*_: Any) -> None:
        pass

    patch.setattr(consumer, "publish_dead_letter", publish_dead_letter)


@pytest.mark.parametrize(
    "break_it",
    [
        acknowledge_on_arrival,
        acknowledge_beyond_what_is_done,
        answer_before_the_commit,
        recall_before_the_locks,
        recall_nothing,
        lock_nothing,
        lock_in_any_order,
        commit_half,
        expire_nothing,
        leave_the_carts_of_others,
        take_any_payload_for_the_first,
        sell_one_too_many,
        count_lines_one_by_one,
        expire_no_order,
        keep_the_tickets_of_an_expired_order_reserved,
        sell_without_payment,
        take_the_price_of_now,
        forget_what_was_paid_before,
        leave_the_orders_of_others,
        record_no_refusals,
        leave_without_a_word,
        set_aside_without_a_dead_letter,
    ],
)
def test_it_is_found_within_a_few_seeds(
    monkeypatch: pytest.MonkeyPatch, break_it: Callable[[Patch], None]
) -> None:
    break_it(monkeypatch)

    found = next(found for seed in range(MAX_SEEDS) if (found := simulate(seed).violations))
    assert not any("unhandled" in violation for violation in found), found
