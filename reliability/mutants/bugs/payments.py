"""Bugs between a payment provider and the engine: money that is believed, lost or taken twice."""

from reliability.mutants.mutant import Mutant

ENGINE = "payments/engine.py"
DEMO = "payments/demo/adapter.py"
STRIPE = "payments/stripe/adapter.py"
EVENTS = "payments/stripe/events.py"
CLIENT = "gateway/payment_provider.py"

TEST_CLIENT = "tests/gateway/test_payment_provider.py"
TEST_DEMO = "tests/payments/demo"
TEST_ENGINE = "tests/payments/test_engine.py"
TEST_SESSIONS = "tests/payments/test_sessions.py"
TEST_CHECKOUT = "tests/payments/stripe/test_checkout_sessions.py"
TEST_WEBHOOKS = "tests/payments/stripe/test_webhooks.py"

MUTANTS = (
    Mutant(
        "old_signature_believed",
        "whoever recorded an event may send it again for years",
        EVENTS,
        "verify_header(body, signature, secret, TOLERANCE_SECONDS)",
        "verify_header(body, signature, secret)",
        (TEST_WEBHOOKS,),
    ),
    Mutant(
        "unpaid_session_counts_as_paid",
        "tickets go out while a bank transfer is under way",
        STRIPE,
        'or session.payment_status != "paid" ',
        "",
        (TEST_WEBHOOKS,),
    ),
    Mutant(
        "event_of_another_deployment_believed",
        "a test system records the payments of production",
        STRIPE,
        "if not metadata or metadata.get(AGENT) != self._engine.agent_id:",
        "if not metadata:",
        (TEST_WEBHOOKS,),
    ),
    Mutant(
        "test_mode_believed",
        "test cards buy tickets",
        STRIPE,
        "event.account is not None or event.livemode != self.is_real",
        "event.account is not None",
        (TEST_WEBHOOKS,),
    ),
    Mutant(
        "event_before_the_log_in_ignored",
        "payments that come while the process starts are never recorded",
        STRIPE,
        "if self._engine.agent_id is None:",
        "if False:",
        (TEST_WEBHOOKS,),
    ),
    Mutant(
        "refund_recorded_before_it_has_succeeded",
        "money counts as given back that the bank sends back",
        STRIPE,
        '            if refund.status == "succeeded"\n',
        "",
        (TEST_WEBHOOKS,),
    ),
    Mutant(
        "undecided_report_acknowledged",
        "the provider stops repeating a payment that nobody recorded",
        STRIPE,
        "return _again() if undecided else",
        "return",
        (TEST_WEBHOOKS,),
    ),
    Mutant(
        "every_refusal_is_final",
        "a refund that comes before the release of its tickets is lost",
        ENGINE,
        "is_final = code in FINAL_REFUSALS",
        'is_final = code != ""',
        (TEST_WEBHOOKS,),
    ),
    Mutant(
        "stored_command_counts_as_decided",
        "a payment that is refused later is never told to anybody",
        ENGINE,
        "in (httpx.codes.OK, httpx.codes.CREATED):",
        "in (httpx.codes.OK, httpx.codes.CREATED, httpx.codes.ACCEPTED):",
        (TEST_WEBHOOKS,),
    ),
    Mutant(
        "surplus_counts_towards_the_total",
        "a buyer is asked for less than what is due",
        ENGINE,
        ' if each.disposition == "accepted")',
        ")",
        (TEST_ENGINE,),
    ),
    Mutant(
        "refused_token_kept",
        "after a change of the signing secret no payment is recorded until a restart",
        ENGINE,
        "            self._token_refused.set()\n",
        "",
        (TEST_ENGINE,),
    ),
    Mutant(
        "a_new_session_each_time",
        "a buyer who reloads pays twice",
        STRIPE,
        'f"holdfast-{order.id}-{amount}-{when}"',
        'f"holdfast-{order.id}-{amount}-{when}-{datetime.now(UTC)}"',
        (TEST_CHECKOUT,),
    ),
    Mutant(
        "session_outlives_the_hold",
        "buyers pay for tickets that are sold to others meanwhile",
        STRIPE,
        'wanted["expires_at"] = int(expires_at.timestamp())',
        "pass",
        (TEST_CHECKOUT,),
    ),
    Mutant(
        "order_that_is_paid_gets_a_page",
        "a buyer pays a second time",
        "payments/app.py",
        'order.status != "pending_payment" or not amount_due(order)',
        "not amount_due(order)",
        (TEST_SESSIONS,),
    ),
    Mutant(
        "demo_pays_twice_at_a_double_click",
        "the demo shows a fault that the engine does not have",
        DEMO,
        'str(UUID(form["session"][0])) if "session" in form else str(uuid4())',
        "str(uuid4())",
        (TEST_DEMO,),
    ),
    Mutant(
        "order_of_another_agent_counts_as_missing",
        "a buyer is told that their own order does not exist",
        CLIENT,
        'raise ProblemError("no_online_payment")\n        raise',
        'raise ProblemError("order_not_found")\n        raise',
        (TEST_CLIENT,),
    ),
)
