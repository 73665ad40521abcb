"""Metrics of the audit: findings, drift, and when it last ran."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from worker.audit.snapshot import Report


class AuditMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._findings = Gauge(
            "holdfast_audit_findings", "Findings of the last audit.", ["check"], registry=registry
        )
        self._drift = Gauge(
            "holdfast_ticket_type_drift",
            "Reserved tickets in no active cart or pending order; only ticket types that drift.",
            ["ticket_type_id"],
            registry=registry,
        )
        self._seconds = Gauge("holdfast_audit_seconds", "How long it took.", registry=registry)
        self._audited_at = Gauge(
            "holdfast_audit_last_timestamp_seconds", "When the last audit ended.", registry=registry
        )
        self._failures = Counter(
            "holdfast_audit_failures_total",
            "Audits that failed.",
            registry=registry,
        )

    def observe(self, report: Report) -> None:
        for check, count in report.counts.items():
            self._findings.labels(check).set(count)
        self._drift.clear()
        for ticket_type_id, drift in report.drift.items():
            self._drift.labels(ticket_type_id).set(drift)
        self._seconds.set(report.seconds)
        self._audited_at.set_to_current_time()

    def failed(self) -> None:
        self._failures.inc()
