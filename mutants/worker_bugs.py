"""Bugs on the way of a message through the worker."""

from mutants.mutant import Mutant
from mutants.suites import (
    ANSWERS,
    COMMITTER,
    CONSUMER,
    DUE_CARTS,
    FAULTS,
    SIMULATION,
    TOPOLOGY,
    WORKER_PROCESS,
)

ANSWERS_FILE = "worker/answers.py"
COMMITTER_FILE = "worker/committer.py"
CONSUMER_FILE = "worker/consumer.py"

MUTANTS = (
    Mutant(
        "acknowledged_on_arrival",
        "a worker that dies takes accepted commands with it",
        CONSUMER_FILE,
        "        decided = self._committer.submit(",
        "        acknowledger.settle(raw.delivery_tag or 0)\n"
        "        await acknowledger.acknowledge()\n"
        "        decided = self._committer.submit(",
        (SIMULATION, WORKER_PROCESS),
    ),
    Mutant(
        "acknowledged_beyond_the_settled",
        "messages that are still undecided are lost with the worker",
        ANSWERS_FILE,
        """        while last + 1 in self._settled:
            last += 1
            self._settled.remove(last)
""",
        """        if self._settled:
            last = max(self._settled)
            self._settled.clear()
""",
        (ANSWERS, SIMULATION),
    ),
    Mutant(
        "never_acknowledged",
        "every message comes back after each restart",
        ANSWERS_FILE,
        "            await self.channel.basic_ack(last, multiple=True, wait=False)\n",
        "            pass\n",
        (ANSWERS, SIMULATION),
    ),
    Mutant(
        "answers_end_with_a_channel",
        "after a channel has broken nobody gets an answer",
        ANSWERS_FILE,
        "                except Exception as error:\n",
        "                except ValueError as error:\n",
        (ANSWERS, SIMULATION),
    ),
    Mutant(
        "failed_reply_left_on_a_live_channel",
        "a broker that stalls for some seconds leaves commands unacknowledged for ever",
        ANSWERS_FILE,
        "                    await _close(acknowledger.channel)\n",
        "",
        (SIMULATION, CONSUMER),
    ),
    Mutant(
        "merged_replies_mixed_up",
        "a buyer gets the answer to somebody else's message",
        ANSWERS_FILE,
        '            replies[message.correlation_id or ""] = answer.documents\n',
        '            replies[message.correlation_id or ""] = answers[0].documents\n',
        (SIMULATION, ANSWERS),
    ),
    Mutant(
        "bugs_retried_for_ever",
        "one command that cannot be applied stops everything behind it",
        COMMITTER_FILE,
        "                if not faults.is_passing(error) or conflicts > MAX_CONFLICTS:\n",
        "                if not faults.is_passing(error) and conflicts > MAX_CONFLICTS:\n",
        (SIMULATION, COMMITTER),
    ),
    Mutant(
        "passing_faults_set_aside",
        "commands are refused because Postgres was away for a moment",
        COMMITTER_FILE,
        "                if not faults.is_passing(error) or conflicts > MAX_CONFLICTS:\n",
        "                if True:\n",
        (COMMITTER, SIMULATION),
    ),
    Mutant(
        "lock_timeouts_taken_for_bugs",
        "commands are refused because a lock was held for too long",
        "worker/faults.py",
        '    "55",  # object not in prerequisite state: lock time-out\n',
        "",
        (SIMULATION, FAULTS),
    ),
    Mutant(
        "lost_connections_taken_for_bugs",
        "commands are refused because a commit was not answered",
        "worker/faults.py",
        "        if isinstance(cause, LOST):\n            return True\n",
        "",
        (COMMITTER, SIMULATION),
    ),
    Mutant(
        "neighbours_set_aside_too",
        "one bad command takes those of others along",
        COMMITTER_FILE,
        "        if len(commands) > 1:\n",
        "        if len(commands) > 1 and False:\n",
        (COMMITTER, SIMULATION),
    ),
    Mutant(
        "one_damaged_cart_ends_the_sweep",
        "no other cart expires beside one that cannot",
        COMMITTER_FILE,
        "            for some in (due_users[:half], due_users[half:]):\n",
        "            for some in due_users[:0]:\n",
        (COMMITTER,),
    ),
    Mutant(
        "due_users_left_out",
        "the sweep expires nothing",
        COMMITTER_FILE,
        "[user for work in batch for user in work.due_users]",
        "()",
        (COMMITTER, SIMULATION),
    ),
    Mutant(
        "set_aside_without_a_dead_letter",
        "a command that could not be applied is gone without a trace",
        CONSUMER_FILE,
        "            if IS_UNPROCESSABLE in document and",
        "            if False and",
        (SIMULATION, CONSUMER),
    ),
    Mutant(
        "unreadable_without_a_dead_letter",
        "what could not be read is gone without a trace",
        CONSUMER_FILE,
        "                await bury(self._broker, entry.body, entry.reason, entry.error, "
        "raw.correlation_id)\n",
        "",
        (SIMULATION, CONSUMER),
    ),
    Mutant(
        "commands_of_the_future_taken",
        "an ID that outlives its own outcome is applied twice",
        CONSUMER_FILE,
        "        return _refuse_future(read_commands(body))\n",
        "        return list(read_commands(body))\n",
        (CONSUMER,),
    ),
    Mutant(
        "anybodys_commands_taken",
        "whoever may publish reserves in the name of others",
        CONSUMER_FILE,
        "        allowed = not self._accounts or raw.user_id in self._accounts\n",
        "        allowed = True\n",
        ("tests/system/permissions/test_whose_commands.py",),
    ),
    Mutant(
        "stopped_without_waiting",
        "each restart counts a delivery for every message in hand, until they are given up",
        CONSUMER_FILE,
        "                await self._answers.all_sent()\n",
        "                pass\n",
        (SIMULATION, WORKER_PROCESS),
    ),
    Mutant(
        "connected_anew_while_stopping",
        "a worker that is stopping when the broker restarts takes messages, and never ends",
        CONSUMER_FILE,
        "            if self._drains:",
        "            if False:",
        (WORKER_PROCESS,),
    ),
    Mutant(
        "suspects_tried_with_others",
        "a deadly command takes its neighbours to the dead letters",
        CONSUMER_FILE,
        "self._committer.submit(commands, suspect=_is_suspect(raw))",
        "self._committer.submit(commands)",
        (SIMULATION,),
    ),
    Mutant(
        "dead_letters_not_persistent",
        "the dead letters go with the broker's memory",
        "worker/dead_letters.py",
        "                persist=True,\n",
        "                persist=False,\n",
        (CONSUMER,),
    ),
    Mutant(
        "dead_letter_sent_once",
        "a broker that is away for a moment loses a dead letter",
        "worker/dead_letters.py",
        "            await asyncio.sleep(PAUSE_SECONDS)\n        else:\n            return\n",
        "            return\n        else:\n            return\n",
        (SIMULATION, CONSUMER),
    ),
    Mutant(
        "returned_dead_letters_taken_for_sent",
        "a dead letter that no queue took is gone, and its message is acknowledged",
        "worker/__main__.py",
        "        default_channel=Channel(on_return_raises=True),\n",
        "        default_channel=Channel(on_return_raises=False),\n",
        (CONSUMER,),
    ),
    Mutant(
        "sweep_ends_with_a_fault",
        "after Postgres was away holds are over and are not given back",
        "worker/sweep.py",
        "        except Exception as error:\n",
        "        except ValueError as error:\n",
        (DUE_CARTS, SIMULATION),
    ),
    Mutant(
        "full_queue_drops_the_oldest",
        "a full queue loses commands that were confirmed",
        "shared/topology.py",
        '    "x-overflow": "reject-publish",\n',
        '    "x-overflow": "drop-head",\n',
        (TOPOLOGY,),
    ),
)
