"""Bugs at the edge: who may ask, what is promised, and to whom it is told."""

from reliability.mutants.mutant import Mutant

AWAITING = "gateway/read_model/outcome_poller.py"
BODY = "gateway/http/request_body.py"
COMMANDS_ROUTE = "gateway/routes/commands.py"
IDS = "gateway/http/ids.py"
OVERLOAD = "gateway/server/overload.py"
PUBLISHER = "gateway/messaging/publisher.py"
TOKENS = "gateway/identity/tokens.py"

TEST_ANSWERS = "tests/gateway/messaging/test_misdirected_replies.py"
TEST_AWAITING = "tests/gateway/read_model/test_outcome_poller.py"
TEST_BODY = "tests/gateway/http/test_request_body.py"
TEST_COMMANDS_ROUTE = "tests/gateway/routes/test_commands.py"
TEST_STREAMS = "tests/system/test_commands.py"
TEST_COMMAND_IDS = "tests/gateway/http/test_command_ids.py"
TEST_OVERLOAD = "tests/gateway/server/test_overload.py"
TEST_IN_FLIGHT = "tests/gateway/messaging/test_user_limit.py"
TEST_PUBLISHER = "tests/gateway/messaging/test_publisher.py"
TEST_PUBLISHER_TIMES = "tests/gateway/messaging/alone/test_publisher_times.py"
TEST_TOKENS = "tests/gateway/identity/test_tokens.py"

MUTANTS = (
    Mutant(
        "unicode_line_ends_in_a_stream",
        "a client that ends lines as Unicode does loses the rest of an outcome",
        COMMANDS_ROUTE,
        "document.translate(LINE_ENDS)",
        "document",
        (TEST_COMMANDS_ROUTE,),
    ),
    Mutant(
        "outcome_streamed_again",
        "an EventSource connects again and again for an outcome that it has",
        COMMANDS_ROUTE,
        '    if decided is not None and request.headers.get("last-event-id") == command_id:\n',
        "    if False:\n",
        (TEST_STREAMS,),
    ),
    Mutant(
        "not_mandatory",
        "a command that no queue took is answered 202",
        PUBLISHER,
        "mandatory=True)",
        "mandatory=False)",
        (TEST_PUBLISHER,),
    ),
    Mutant(
        "returned_messages_taken_for_sent",
        "a command that no queue took is answered 202",
        PUBLISHER,
        "on_return_raises=True)",
        "on_return_raises=False)",
        (TEST_PUBLISHER,),
    ),
    Mutant(
        "one_message_id_for_all",
        "of two messages that come back at once one is taken for confirmed",
        PUBLISHER,
        "            message_id=new_id(),\n",
        "            message_id=self._reply_to,\n",
        (TEST_PUBLISHER,),
    ),
    Mutant(
        "not_persistent",
        "a command that was answered 202 goes with the broker's memory",
        PUBLISHER,
        "            delivery_mode=DeliveryMode.PERSISTENT,\n",
        "            delivery_mode=DeliveryMode.NOT_PERSISTENT,\n",
        (TEST_PUBLISHER,),
    ),
    Mutant(
        "no_confirms",
        "202 is said of a command that never reached the broker",
        PUBLISHER,
        "publisher_confirms=True, on_return_raises=True)",
        "publisher_confirms=False)",
        (TEST_PUBLISHER,),
    ),
    Mutant(
        "accepted_before_the_confirm",
        "202 is said of a command that the broker may yet refuse",
        PUBLISHER,
        "        if submission.confirmed is None:\n            await submission.listen()\n"
        "        return submission.confirmed is True\n",
        "        return True\n",
        (TEST_PUBLISHER,),
    ),
    Mutant(
        "refused_publish_taken_for_confirmed",
        "202 is said of a command that a full queue refused",
        PUBLISHER,
        "        except DeliveryError:\n",
        "        except DeliveryError:\n            return True\n",
        (TEST_PUBLISHER,),
    ),
    Mutant(
        "lost_reply_not_looked_up",
        "a client whose reply is lost waits without effect",
        PUBLISHER,
        "        if decided is None and submission.confirmed is not False:\n",
        "        if False:\n",
        (TEST_PUBLISHER,),
    ),
    Mutant(
        "answers_by_place_alone",
        "a buyer gets the outcome of another user's command",
        PUBLISHER,
        "            if submission.command.command_id == outcome.command_id:\n",
        "            if True:\n",
        (TEST_ANSWERS,),
    ),
    Mutant(
        "backlog_without_an_end",
        "when workers are slow, clients wait indefinitely, also after the rush",
        OVERLOAD,
        "        return is_command and self.is_backlog_full\n",
        "        return False\n",
        (TEST_OVERLOAD,),
    ),
    Mutant(
        "backlog_of_lost_replies",
        "after the broker's restart, no command is accepted for a minute",
        PUBLISHER,
        "        self._messages.clear()\n",
        "        pass\n",
        (TEST_PUBLISHER,),
    ),
    Mutant(
        "small_messages_for_workers_that_are_behind",
        "after a rush, workers never catch up with half of what they could do before it",
        PUBLISHER,
        "        if len(self._messages) < BACKLOG_THRESHOLD_MESSAGES:\n            wanted",
        "        if True:\n            wanted",
        (TEST_PUBLISHER, TEST_PUBLISHER_TIMES),
    ),
    Mutant(
        "held_back_for_ever",
        "a command waits indefinitely for a batch that never becomes full",
        PUBLISHER,
        "        if self._queue and self._unconfirmed < MAX_UNCONFIRMED_AT_FULL_BATCHES:\n",
        "        if False:\n",
        (TEST_PUBLISHER,),
    ),
    Mutant(
        "taken_where_there_is_no_room",
        "what comes in pieces gets past the bound",
        OVERLOAD,
        "        if self.is_backlog_full:\n",
        "        if False:\n",
        (TEST_IN_FLIGHT,),
    ),
    Mutant(
        "outcome_of_an_earlier_use",
        "another payload under a used ID gets the outcome of the first",
        AWAITING,
        "        if self.user_id == user_id and (fingerprint in known or self._was_unread()):\n",
        "        if self.user_id == user_id:\n",
        (TEST_PUBLISHER,),
    ),
    Mutant(
        "shows_anybodys_outcome",
        "a client that guesses an ID reads a stranger's outcome",
        AWAITING,
        "        if self.user_id == user_id and (fingerprint in known or self._was_unread()):\n",
        "        if fingerprint in known or self._was_unread():\n",
        (TEST_AWAITING,),
    ),
    Mutant(
        "reused_key_pending_until_the_window_ends",
        "a client polls for an outcome that never comes",
        AWAITING,
        "        return None if fingerprint is None else read_document(_reused(self.command_id))\n",
        "        return None\n",
        (TEST_PUBLISHER,),
    ),
    Mutant(
        "signature_not_verified",
        "anybody makes a token for anybody (alg: none, any key)",
        TOKENS,
        '                options={"require": _REQUIRED, "strict_aud": True},\n',
        '                options={"require": _REQUIRED, "strict_aud": True, '
        '"verify_signature": False, "verify_exp": True, "verify_aud": True, "verify_iss": True},\n',
        (TEST_TOKENS,),
    ),
    Mutant(
        "header_not_checked",
        "a token says by what it is to be verified",
        TOKENS,
        "        if secret is None or header != _HEADER:\n",
        "        if secret is None:\n",
        (TEST_TOKENS,),
    ),
    Mutant(
        "known_token_never_expires",
        "a token that was used once never expires",
        TOKENS,
        "        if known.expires_at + LEEWAY_SECONDS <= time.time():\n",
        "        if False:\n",
        (TEST_TOKENS,),
    ),
    Mutant(
        "clocks_must_agree",
        "a token of a gateway whose clock is a second ahead is refused",
        TOKENS,
        "                leeway=LEEWAY_SECONDS,\n",
        "",
        (TEST_TOKENS,),
    ),
    Mutant(
        "token_for_years",
        "a token may say itself how long it serves",
        TOKENS,
        "        if expires_at - issued_at > LIFETIME_SECONDS:\n",
        "        if False:\n",
        (TEST_TOKENS,),
    ),
    Mutant(
        "issuer_not_checked",
        "a token of another service that has the same secret is accepted",
        TOKENS,
        "                issuer=ISSUER,\n",
        "",
        (TEST_TOKENS,),
    ),
    Mutant(
        "user_that_is_gone",
        "a token outlives its user",
        TOKENS,
        "            if await self._find_user(known.user_id) is None:\n",
        "            if False:\n",
        (TEST_TOKENS,),
    ),
    Mutant(
        "stale_key_accepted",
        "an ID whose outcome is gone comes as far as the queue",
        IDS,
        "    return _age_seconds(command_id) > window_seconds\n",
        "    return False\n",
        (TEST_COMMAND_IDS,),
    ),
    Mutant(
        "key_of_the_future_accepted",
        "an ID is taken that only a worker refuses, and without an outcome",
        IDS,
        "    if not is_uuid7(text) or _age_seconds(text) < -MAX_AHEAD_SECONDS:\n",
        "    if not is_uuid7(text):\n",
        (TEST_COMMAND_IDS,),
    ),
    Mutant(
        "body_without_an_end",
        "one request fills the gateway's memory",
        BODY,
        "        if size > MAX_DISCARDED_BYTES or not",
        "        if not",
        (TEST_BODY,),
    ),
    Mutant(
        "large_body_cut_off",
        "the part of a body that fits is taken for the whole",
        BODY,
        "    if size > MAX_BODY_BYTES:\n",
        "    if False:\n",
        (TEST_BODY,),
    ),
    Mutant(
        "duplicate_members_accepted",
        "a proxy and the gateway read different quantities",
        BODY,
        "    if repeats_member(body, read.member_count()):\n",
        "    if False:\n",
        (TEST_BODY,),
    ),
    Mutant(
        "commands_of_a_user_without_bound",
        "one user takes all the gateway can bear",
        "gateway/messaging/user_limit.py",
        "        if count >= self.maximum:\n",
        "        if False:\n",
        (TEST_IN_FLIGHT,),
    ),
    Mutant(
        "bound_of_a_user_until_the_202",
        "one user fills the gateway by not waiting, while workers are slow",
        "gateway/messaging/submission.py",
        "        if not confirmed:\n            self.finish()\n",
        "        self.finish()\n",
        (TEST_IN_FLIGHT,),
    ),
    Mutant(
        "bound_of_a_user_without_an_end",
        "replies are lost, and a user can send no command until the gateway restarts",
        "gateway/messaging/in_flight_messages.py",
        "            submission.finish()\n",
        "            pass\n",
        (TEST_IN_FLIGHT,),
    ),
    Mutant(
        "unknown_address_answers_at_once",
        "the time of an answer tells who is registered",
        "gateway/identity/passwords.py",
        "        checked_hash = password_hash if affordable and password_hash else DUMMY_HASH\n",
        "        if password_hash is None:\n            return False\n"
        "        checked_hash = password_hash if affordable else DUMMY_HASH\n",
        ("tests/gateway/identity/test_passwords.py",),
    ),
    Mutant(
        "expensive_hash_checked",
        "one registration on the queue makes a log-in take 2 GiB of the gateway",
        "gateway/identity/passwords.py",
        "        checked_hash = password_hash if affordable and password_hash else DUMMY_HASH\n",
        "        checked_hash = password_hash or DUMMY_HASH\n",
        ("tests/gateway/identity/test_passwords.py",),
    ),
    Mutant(
        "password_compared_as_typed",
        "a password typed on another keyboard is wrong",
        "gateway/identity/passwords.py",
        '    composed = unicodedata.normalize("NFC", spaced)\n',
        "    composed = spaced\n",
        ("tests/gateway/identity/test_passwords.py",),
    ),
    Mutant(
        "registration_tells_passwords",
        "a client that knows a user's ID and address has unlimited guesses of the password",
        "gateway/identity/login_throttle.py",
        '("invalid_credentials", "command_id_reused")',
        '("invalid_credentials",)',
        ("tests/system/test_login_throttle.py",),
    ),
    Mutant(
        "owner_locked_out",
        "a client that knows an e-mail address can lock its owner out",
        "gateway/identity/login_throttle.py",
        "        if self._known_devices.get(device, 0) <= self._clock():\n",
        "        if True:\n",
        ("tests/gateway/identity/test_login_throttle.py",),
    ),
    Mutant(
        "reply_in_the_last_moment_dropped",
        "who waits is told 202 although the outcome has arrived",
        PUBLISHER,
        "        decided = decided or submission.decided\n",
        "",
        (TEST_PUBLISHER,),
    ),
)
