"""Bugs at the edge: who may ask, what is promised, and to whom it is told."""

from reliability.mutants.mutant import Mutant

AWAITING = "gateway/read_model/outcome_poller.py"
BODY = "gateway/http/request_body.py"
IDS = "gateway/http/ids.py"
OVERLOAD = "gateway/server/overload.py"
SUBMIT = "gateway/messaging/submit.py"
TOKENS = "gateway/identity/tokens.py"

TEST_ANSWERS = "tests/gateway/messaging/test_misdirected_replies.py"
TEST_AWAITING = "tests/gateway/read_model/test_outcome_poller.py"
TEST_BODY = "tests/gateway/http/test_request_body.py"
TEST_COMMAND_IDS = "tests/gateway/http/test_command_ids.py"
TEST_OVERLOAD = "tests/gateway/server/test_overload.py"
TEST_IN_FLIGHT = "tests/gateway/messaging/test_user_limit.py"
TEST_SUBMIT = "tests/gateway/messaging/test_submit.py"
TEST_TOKENS = "tests/gateway/identity/test_tokens.py"

MUTANTS = (
    Mutant(
        "not_mandatory",
        "a command that no queue took is answered 202",
        SUBMIT,
        "mandatory=True)",
        "mandatory=False)",
        (TEST_SUBMIT,),
    ),
    Mutant(
        "returned_messages_taken_for_sent",
        "a command that no queue took is answered 202",
        SUBMIT,
        "on_return_raises=True)",
        "on_return_raises=False)",
        (TEST_SUBMIT,),
    ),
    Mutant(
        "one_message_id_for_all",
        "of two messages that come back at once one is taken for confirmed",
        SUBMIT,
        "            message_id=new_id(),\n",
        "            message_id=self._reply_to,\n",
        (TEST_SUBMIT,),
    ),
    Mutant(
        "not_persistent",
        "a command that was answered 202 goes with the broker's memory",
        SUBMIT,
        "            delivery_mode=DeliveryMode.PERSISTENT,\n",
        "            delivery_mode=DeliveryMode.NOT_PERSISTENT,\n",
        (TEST_SUBMIT,),
    ),
    Mutant(
        "no_confirms",
        "202 is said of a command that never reached the broker",
        SUBMIT,
        "publisher_confirms=True, on_return_raises=True)",
        "publisher_confirms=False)",
        (TEST_SUBMIT,),
    ),
    Mutant(
        "accepted_before_the_confirm",
        "202 is said of a command that the broker may yet refuse",
        SUBMIT,
        "        if submission.confirmed is None:\n            await submission.listen()\n"
        "        return submission.confirmed is True\n",
        "        return True\n",
        (TEST_SUBMIT,),
    ),
    Mutant(
        "refused_publish_taken_for_confirmed",
        "202 is said of a command that a full queue refused",
        SUBMIT,
        "        except DeliveryError:\n",
        "        except DeliveryError:\n            return True\n",
        (TEST_SUBMIT,),
    ),
    Mutant(
        "lost_reply_not_looked_up",
        "who waits for a reply that is lost waits in vain",
        SUBMIT,
        "        if decided is None and submission.confirmed is not False:\n",
        "        if False:\n",
        (TEST_SUBMIT,),
    ),
    Mutant(
        "answers_by_place_alone",
        "a buyer is told what became of somebody else's command",
        SUBMIT,
        "            if submission.command.command_id == decided.command_id:\n",
        "            if True:\n",
        (TEST_ANSWERS,),
    ),
    Mutant(
        "backlog_without_an_end",
        "when workers are slow, who comes waits for ever, and so does who comes after the rush",
        OVERLOAD,
        "        return self._in_flight() + max(1, begun) > MAX_IN_FLIGHT_COMMANDS\n",
        "        return False\n",
        (TEST_OVERLOAD,),
    ),
    Mutant(
        "backlog_of_lost_replies",
        "after the broker's restart, nobody's command is taken for a minute",
        SUBMIT,
        "        self._in_flight.forget()\n",
        "        pass\n",
        (TEST_SUBMIT,),
    ),
    Mutant(
        "small_messages_for_workers_that_are_behind",
        "after a rush, workers never catch up with half of what they could do before it",
        SUBMIT,
        "        if len(self._in_flight) < BEHIND_MESSAGES:\n            wanted",
        "        if True:\n            wanted",
        (TEST_SUBMIT,),
    ),
    Mutant(
        "held_back_for_ever",
        "a command that waits for a full load waits in vain where no load becomes full",
        SUBMIT,
        "        if self._line and self._open_lanes < MAX_UNCONFIRMED_AT_FULL_BATCHES:\n",
        "        if False:\n",
        (TEST_SUBMIT,),
    ),
    Mutant(
        "taken_where_there_is_no_room",
        "what comes in pieces gets past the bound",
        OVERLOAD,
        "        if self._in_flight() + 1 > MAX_IN_FLIGHT_COMMANDS:\n",
        "        if False:\n",
        (TEST_IN_FLIGHT,),
    ),
    Mutant(
        "outcome_of_an_earlier_use",
        "another payload under a used ID gets the outcome of the first",
        AWAITING,
        "        if self.submitted_at is None or decided.submitted_at == self.submitted_at:\n",
        "        if True:\n",
        (TEST_SUBMIT,),
    ),
    Mutant(
        "waits_for_anybodys_outcome",
        "who guesses an ID waits for a stranger's outcome",
        AWAITING,
        "        if recorded.user_id != self.user_id or self.found.done():\n",
        "        if self.found.done():\n",
        (TEST_AWAITING,),
    ),
    Mutant(
        "shows_anybodys_outcome",
        "who guesses an ID reads a stranger's outcome",
        AWAITING,
        "            if recorded.user_id == user_id:\n",
        "            if True:\n",
        ("tests/system/test_commands.py",),
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
        "a token that was used once serves for ever",
        TOKENS,
        "        if expires_at <= time.time():\n",
        "        if False:\n",
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
        '        if await self._find_user(claims["sub"]) is None:\n',
        "        if False:\n",
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
        "        _refuse_duplicates(body)\n",
        "",
        (TEST_BODY,),
    ),
    Mutant(
        "commands_of_a_user_without_bound",
        "one user takes all the gateway can bear",
        "gateway/messaging/user_limit.py",
        "        if count >= MAX_COMMANDS_PER_USER:\n",
        "        if False:\n",
        (TEST_IN_FLIGHT,),
    ),
    Mutant(
        "unknown_address_answers_at_once",
        "the time of an answer tells who is registered",
        "gateway/identity/passwords.py",
        "        matches = await self._in_thread("
        "lambda: _matches(password, password_hash or DUMMY_HASH))\n",
        "        if password_hash is None:\n            return False\n"
        "        matches = await self._in_thread(lambda: _matches(password, password_hash))\n",
        ("tests/gateway/identity/test_passwords.py",),
    ),
    Mutant(
        "registration_tells_passwords",
        "whoever knows a user's ID and address guesses the password as often as they like",
        "gateway/identity/login_throttle.py",
        '("invalid_credentials", "command_id_reused")',
        '("invalid_credentials",)',
        ("tests/system/test_login_throttle.py",),
    ),
    Mutant(
        "owner_locked_out",
        "whoever knows an e-mail address keeps its owner from logging in",
        "gateway/identity/login_throttle.py",
        "        if self._known_devices.get(device, 0) <= self._clock():\n",
        "        if True:\n",
        ("tests/gateway/identity/test_login_throttle.py",),
    ),
    Mutant(
        "reply_in_the_last_moment_dropped",
        "who waits is told 202 although the outcome has arrived",
        SUBMIT,
        "        decided = decided or submission.decided\n",
        "",
        (TEST_SUBMIT,),
    ),
)
