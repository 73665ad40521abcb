"""The metrics of the payments process."""

from prometheus_client import Counter

REPORTS = Counter(
    "holdfast_payments_reports_total",
    "Payments and refunds that a provider reported: recorded, refused for good (money has moved"
    " that the engine does not know), postponed until the provider repeats them, or unavailable.",
    ["kind", "result"],
)
SESSIONS = Counter(
    "holdfast_payments_sessions_total",
    "Requests for a payment page, by what became of them.",
    ["result"],
)
EVENTS = Counter(
    "holdfast_payments_provider_events_total",
    "Signed events of the provider: taken, or ignored because they are of no order of ours.",
    ["result"],
)
