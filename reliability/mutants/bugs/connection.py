"""Bugs in the middleware in front of the routes."""

from reliability.mutants.mutant import Mutant

CLIENT_DISCONNECTS = "gateway/server/client_disconnects.py"
LOAD_SHEDDING = "gateway/server/load_shedding.py"
RETRY_TIMES = "gateway/server/retry_times.py"
OVERLOAD = "gateway/server/overload.py"
REQUEST_HEADS = "gateway/server/request_heads.py"

TEST_CLIENT_DISCONNECTS = "tests/gateway/server/test_client_disconnects.py"
TEST_LOAD_SHEDDING = "tests/gateway/server/test_load_shedding.py"
TEST_RETRY_TIMES = "tests/gateway/server/test_retry_times.py"
TEST_OVERLOAD = "tests/gateway/server/test_overload.py"
TEST_REQUEST_HEADS = "tests/gateway/server/test_request_heads.py"

MUTANTS = (
    Mutant(
        "body_read_as_a_request",
        "behind a proxy one client's body is the next client's request",
        REQUEST_HEADS,
        "    if asks_for_upgrade and (codings or has_length):\n",
        "    if False:\n",
        (TEST_REQUEST_HEADS,),
    ),
    Mutant(
        "connection_kept_after_an_upgrade",
        "what follows a head with an upgrade is read as uvicorn's parser happens to stand",
        REQUEST_HEADS,
        "                send = _closing(send)\n",
        "                pass\n",
        (TEST_REQUEST_HEADS,),
    ),
    Mutant(
        "long_heads",
        "a head of any length reaches the routes",
        REQUEST_HEADS,
        "    if size > MAX_HEAD_BYTES:\n",
        "    if False:\n",
        (TEST_REQUEST_HEADS,),
    ),
    Mutant(
        "first_of_two_tokens",
        "a proxy checks one Authorization header, and the gateway believes the other",
        REQUEST_HEADS,
        '_AT_MOST_ONCE = frozenset((b"host", b"authorization", b"content-type"))\n',
        '_AT_MOST_ONCE = frozenset((b"host", b"content-type"))\n',
        (TEST_REQUEST_HEADS,),
    ),
    Mutant(
        "compressed_body_read_as_plain",
        "a body under a transfer coding that is not decoded is read as JSON",
        REQUEST_HEADS,
        '    if codings and codings != [b"chunked"]:\n',
        "    if False:\n",
        (TEST_REQUEST_HEADS,),
    ),
    Mutant(
        "refused_requests_count_as_work",
        "requests that have ended keep the gateway overloaded until its restart",
        LOAD_SHEDDING,
        "                overload.in_progress -= 1\n",
        "                pass\n",
        (TEST_LOAD_SHEDDING,),
    ),
    Mutant(
        "nothing_but_refusals",
        "clients that retry at once take all of the process's time",
        LOAD_SHEDDING,
        "                await asyncio.sleep(pause_seconds)\n",
        "                pass\n",
        (TEST_LOAD_SHEDDING,),
    ),
    Mutant(
        "patient_clients_delayed",
        "clients that honour Retry-After wait seconds for a refusal",
        RETRY_TIMES,
        "        return now < self._retry_at.get(client, now)\n",
        "        return True\n",
        (TEST_RETRY_TIMES,),
    ),
    Mutant(
        "reads_shed_for_workers",
        "no client can look at an event because workers are behind with reservations",
        OVERLOAD,
        '        is_command = method not in ("GET", "HEAD", "OPTIONS") and path != "/v1/tokens"\n',
        "        is_command = True\n",
        (TEST_OVERLOAD,),
    ),
    Mutant(
        "clients_that_left_are_waited_for",
        "a client that opens and closes connections fills the gateway with waiters",
        CLIENT_DISCONNECTS,
        "            self._waiter.cancel()\n",
        "            pass\n",
        (TEST_CLIENT_DISCONNECTS,),
    ),
)
