"""Bugs in what the gateway knows of connections, beneath its routes."""

from reliability.mutants.mutant import Mutant

HEADS = "gateway/server/heads.py"
LOAD_SHEDDING = "gateway/server/load_shedding.py"
REPEATED_READS = "gateway/server/repeated_reads.py"

TEST_HEADS = "tests/gateway/server/test_heads.py"
TEST_LOAD_SHEDDING = "tests/gateway/server/test_load_shedding.py"
TEST_REPEATED_READS = "tests/gateway/server/test_repeated_reads.py"

MUTANTS = (
    Mutant(
        "read_answered_in_the_middle_of_a_request",
        "a header that looks like a request is answered as one",
        REPEATED_READS,
        "            event_id is not None\n            and between_requests\n",
        "            event_id is not None\n",
        (TEST_REPEATED_READS,),
    ),
    Mutant(
        "two_requests_known_as_one",
        "of two requests in one packet the second is never answered",
        REPEATED_READS,
        "            and request.find(_HEAD_END) == len(request) - len(_HEAD_END)\n",
        "",
        (TEST_REPEATED_READS,),
    ),
    Mutant(
        "shed_and_learned_as_the_read_before",
        "who asks for a cart, or for an event that is not there, gets the page of another event",
        REPEATED_READS,
        "        if was_parsed and event_id is None",
        "        if event_id is None",
        (TEST_REPEATED_READS,),
    ),
    Mutant(
        "reads_for_who_reads_nothing",
        "a client that reads no answers has the gateway keep any number of them",
        REPEATED_READS,
        "            and not self.flow.write_paused  # uvicorn waits",
        "            # uvicorn waits",
        (TEST_REPEATED_READS,),
    ),
    Mutant(
        "body_read_as_a_request",
        "behind a proxy one client's body is the next client's request",
        HEADS,
        "            return head + data[stopped.args[0] :]\n",
        "            return data[stopped.args[0] :]\n",
        (TEST_HEADS,),
    ),
    Mutant(
        "heads_without_end",
        "one client fills the memory of a gateway with a header",
        HEADS,
        "        if self._head_bytes > MAX_HEAD_BYTES:\n",
        "        if False:\n",
        (TEST_HEADS,),
    ),
    Mutant(
        "farewell_before_the_answer",
        "a gateway that is told to stop leaves a reader without an answer",
        REPEATED_READS,
        "        if self.is_reading:\n            self._closes_after = True\n",
        "        if False:\n            self._closes_after = True\n",
        (TEST_REPEATED_READS,),
    ),
    Mutant(
        "shed_in_the_middle_of_a_head",
        "the next request on the connection is read as the rest of a head",
        LOAD_SHEDDING,
        "            return cycle is None and self.scope is None\n",
        "            return True\n",
        (TEST_LOAD_SHEDDING,),
    ),
    Mutant(
        "all_let_in_that_come_at_once",
        "a thousand that come in one turn of the loop all find the last place free",
        LOAD_SHEDDING,
        "        begun = self.in_progress - self._publisher.submitting\n",
        "        begun = 0\n",
        (TEST_LOAD_SHEDDING,),
    ),
    Mutant(
        "reads_shed_for_workers",
        "nobody can look at an event because workers are behind with reservations",
        LOAD_SHEDDING,
        "            and is_shed(data, commands_only=not shedder.overloaded)\n",
        "            and is_shed(data)\n",
        (TEST_LOAD_SHEDDING,),
    ),
)
