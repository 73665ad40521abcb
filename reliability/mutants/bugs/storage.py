"""Bugs in the transaction: what is locked, in which order, and what is saved."""

from reliability.mutants.bugs.suites import (
    DUE_CARTS,
    FAULTS,
    LOCK_ORDER,
    RACES,
    RETENTION,
    SAVED,
    SIMULATION,
    WORKER_PROCESS,
)
from reliability.mutants.mutant import Mutant

APPLY = "worker/apply.py"
BOOKS = "worker/storage/locking.py"
DRIVER = "worker/storage/driver.py"
RETENTION_JOB = "worker/operations/retention.py"
ENGINE = "worker/storage/engine.py"
SAVE = "worker/storage/save.py"
STATEMENTS = "worker/storage/statements.py"

MUTANTS = (
    Mutant(
        "recall_before_the_lock",
        "a duplicate that waits for the lock is decided again",
        APPLY,
        """                users = await locking.lock_users(driver, commands, due, max_due_lines)
                # Under the users' locks, and before the ticket types, for which others wait.
                recorded = await outcomes.recall(driver, commands)
""",
        """                recorded = await outcomes.recall(driver, commands)
                users = await locking.lock_users(driver, commands, due, max_due_lines)
""",
        (SIMULATION,),
    ),
    Mutant(
        "reply_before_the_commit",
        "an answer is given that a crash takes back",
        APPLY,
        """                await save(driver, batch, encoded)
            return AppliedBatch(batch, encoded)
        except _DueHoldsFirstError:
            await _end_due_holds(engine, rules, commands)
""",
        """            import asyncio

            asyncio.get_running_loop().create_task(_save_soon(engine, batch, encoded))
            return AppliedBatch(batch, encoded)
        except _DueHoldsFirstError:
            await _end_due_holds(engine, rules, commands)


async def _save_soon(engine: AsyncEngine, batch: Batch, encoded: list[EncodedOutcome]) -> None:
    async with transaction(engine) as driver:
        await save(driver, batch, encoded)
""",
        (SIMULATION,),
    ),
    Mutant(
        "due_carts_beyond_the_bound_forgotten",
        "where many holds are over at once, they refuse a buyer",
        APPLY,
        "                if locked.due_holds_remain and batch.depends_on_due_holds():\n",
        "                if False:\n",
        (DUE_CARTS,),
    ),
    Mutant(
        "users_locked_in_any_order",
        "two batches wait for each other",
        STATEMENTS,
        "    ORDER BY users.id\n",
        "",
        (SIMULATION, LOCK_ORDER),
    ),
    Mutant(
        "ticket_types_locked_in_any_order",
        "two batches wait for each other",
        STATEMENTS,
        "    ORDER BY ticket_types.id\n",
        "",
        (SIMULATION, LOCK_ORDER),
    ),
    Mutant(
        "users_not_locked",
        "a double click holds twice, a user has two carts",
        STATEMENTS,
        "    ORDER BY users.id\n    FOR NO KEY UPDATE\n",
        "    ORDER BY users.id\n",
        (SIMULATION, RACES),
    ),
    Mutant(
        "ticket_types_not_locked",
        "the last ticket is sold twice",
        STATEMENTS,
        "    ORDER BY ticket_types.id\n    FOR NO KEY UPDATE\n",
        "    ORDER BY ticket_types.id\n",
        (SIMULATION, RACES),
    ),
    Mutant(
        "events_not_locked",
        "a ticket type is added to an event that is being cancelled",
        STATEMENTS,
        "    ORDER BY id\n    FOR NO KEY UPDATE\n",
        "    ORDER BY id\n",
        (SIMULATION, LOCK_ORDER),
    ),
    Mutant(
        "clock_of_the_transactions_start",
        "who waited for a lock is decided by a time that has passed",
        STATEMENTS,
        "    SELECT clock_timestamp(),\n",
        "    SELECT now(),\n",
        (SIMULATION, RACES),
    ),
    Mutant(
        "expiry_without_its_lock",
        "a cart that its owner changes at the same time is given back twice",
        BOOKS,
        """LOCK_USERS, sorted(request.user_ids), sorted(request.ticket_type_ids), max_due_lines
    )
    existing = [row[0] for row in rows]
""",
        """LOCK_USERS,
        sorted(request.user_ids.difference(user_id for user_id, _ in due)),
        sorted(request.ticket_type_ids),
        max_due_lines,
    )
    existing = [*[row[0] for row in rows], *(user_id for user_id, _ in due)]
""",
        (SIMULATION, RACES),
    ),
    Mutant(
        "due_carts_of_others_left",
        "an expired hold refuses a buyer until the sweep comes",
        BOOKS,
        "    return LockedBook(book, due_holds_remain)\n",
        "    return LockedBook(book, due_holds_remain=False)\n",
        (RACES, SIMULATION),
    ),
    Mutant(
        "due_carts_ignored_when_sold_out",
        "an expired hold refuses a buyer where more are due than a batch takes along",
        "worker/domain/batch.py",
        "    return isinstance(new.outcome.refusal, InsufficientAvailability | LimitExceeded)\n",
        "    return isinstance(new.outcome.refusal, LimitExceeded)\n",
        (DUE_CARTS, SIMULATION),
    ),
    Mutant(
        "lines_of_closed_carts_stay",
        "each search for due carts reads every cart that ever expired",
        SAVE,
        "    for cart in changed_carts:\n",
        "    for cart in ():\n",
        (SAVED,),
    ),
    Mutant(
        "ticket_types_of_carts_not_locked",
        "what an expired cart gives back is lost, or the worker fails",
        BOOKS,
        "    ticket_type_ids = request.ticket_type_ids.union(locked.ticket_type_ids, *in_carts)\n",
        "    ticket_type_ids = request.ticket_type_ids.union(locked.ticket_type_ids)\n",
        (SIMULATION, RACES),
    ),
    Mutant(
        "dropped_lines_stay",
        "a ticket that was taken out of a cart is still in it",
        SAVE,
        "            drops.append(item)\n",
        "            pass\n",
        (SIMULATION, SAVED),
    ),
    Mutant(
        "closed_carts_not_saved",
        "a released cart comes back",
        SAVE,
        "    yield UPDATE_CARTS, CARTS.arrays(stored)\n",
        "",
        (SIMULATION, SAVED),
    ),
    Mutant(
        "outcomes_in_the_order_of_the_batch",
        "the same commands of unknown users in opposite orders deadlock",
        SAVE,
        "OUTCOMES.arrays(sorted(outcomes))",
        "OUTCOMES.arrays(outcomes)",
        (RACES,),
    ),
    Mutant(
        "broken_connection_kept",
        "a connection that broke is lent again and again",
        DRIVER,
        "            if not committed:\n",
        "            if False:\n",
        (FAULTS, WORKER_PROCESS),
    ),
    Mutant(
        "rolled_back_taken_for_committed",
        "a success is told of what Postgres threw away",
        DRIVER,
        '            if await driver.execute(COMMIT) != "COMMIT":\n',
        '            if await driver.execute(COMMIT) == "":\n',
        (FAULTS,),
    ),
    Mutant(
        "locks_waited_for_without_end",
        "a worker that was stopped while it held a lock stops all others",
        ENGINE,
        '    "lock_timeout": "2s",\n',
        "",
        (LOCK_ORDER,),
    ),
    Mutant(
        "retention_by_id_alone",
        "a cart that a late command opened is deleted on the day it is closed",
        RETENTION_JOB,
        " AND status <> 'active' AND expires_at < $3\n",
        " AND status <> 'active' AND $3::timestamptz IS NOT NULL\n",
        (RETENTION,),
    ),
    Mutant(
        "retention_deletes_active_carts",
        "a cart that waits for the sweep is deleted, and its tickets are lost to every buyer",
        RETENTION_JOB,
        " AND status <> 'active' AND expires_at < $3\n",
        " AND expires_at < $3\n",
        (RETENTION,),
    ),
)
