"""The demo provider: a page that pays, fails, pays late or twice at a click. No money moves."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import get_args
from urllib.parse import parse_qs
from uuid import UUID, uuid4

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from payments.demo.page import Action, Told, not_found_page, order_page
from payments.engine import (
    Engine,
    EngineUnavailableError,
    NotRecordedError,
    PaymentReport,
    RefundReport,
    Report,
    amount_due,
)
from payments.provider import Session
from payments.request_body import read_body
from payments.settings import Settings
from shared.orders import Order

STYLE = Path(__file__).with_name("style.css")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
MAX_FIELDS = 8
MAX_LATE_PAYMENTS = 100
"""Payments that wait in memory for their order to expire; a restart forgets them."""
LOOK_EVERY_SECONDS = 1.0
REPORT_ATTEMPTS = 10
"""How often a late payment is reported until it is recorded."""

_log = logging.getLogger(__name__)


class DemoProvider:
    """Records payments of money that nobody paid, for trying the system out."""

    name = "demo"
    is_real = False

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self._settings = settings
        self._engine = engine
        self._late: set[asyncio.Task[None]] = set()

    @property
    def routes(self) -> Sequence[Route]:
        return [
            Route("/payments/demo/style.css", self._style),
            Route("/payments/demo/{order_id:uuid}", self._show),
            Route("/payments/demo/{order_id:uuid}", self._act, methods=["POST"]),
        ]

    async def open_session(self, order: Order) -> Session:
        """Return the page of the order; it stores nothing."""
        return Session(f"{self._settings.payments_public_url}/payments/demo/{order.id}", None)

    async def close(self) -> None:
        """Forget the late payments."""
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    async def _style(self, request: Request) -> Response:
        return FileResponse(STYLE, headers=HEADERS, media_type="text/css")

    async def _show(self, request: Request) -> Response:
        told = request.query_params.get("told")
        return await self._page(
            request.path_params["order_id"],
            told if told in get_args(Told) else None,  # type: ignore[arg-type]  # mypy does not narrow by `in`
        )

    async def _act(self, request: Request) -> Response:
        order_id: UUID = request.path_params["order_id"]
        try:
            form = parse_qs((await read_body(request)).decode(), max_num_fields=MAX_FIELDS)
            action = form["action"][0]
            session_id = str(UUID(form["session"][0])) if "session" in form else str(uuid4())
        except (ValueError, KeyError):
            return await self._page(order_id, "unknown", HTTPStatus.UNPROCESSABLE_ENTITY)
        if action not in get_args(Action):
            return await self._page(order_id, "unknown", HTTPStatus.UNPROCESSABLE_ENTITY)
        try:
            order = await self._engine.order(str(order_id))
            if order is None:
                return await self._page(order_id, None)
            told = await self._do(action, order, session_id)  # type: ignore[arg-type]  # checked above
        except (EngineUnavailableError, NotRecordedError):
            # With the same session: a payment that was recorded after all is not made twice.
            return await self._page(order_id, "again", HTTPStatus.SERVICE_UNAVAILABLE, session_id)
        return RedirectResponse(
            f"/payments/demo/{order_id}?told={told}", HTTPStatus.SEE_OTHER, HEADERS
        )

    async def _do(self, action: Action, order: Order, session_id: str) -> Told:
        # An order that is paid, cancelled or expired can be paid too: such money is a surplus, or
        # buys the tickets if they are still to be had.
        amount = amount_due(order) or order.total
        payments = [
            PaymentReport(order.id, f"demo-{session_id}-{number}", amount, order.currency)
            for number in (1, 2)
        ]
        if action == "refund":
            refund = RefundReport(order.id, f"demo-{session_id}-refund", order.refund_due)
            return await self._record("refunded", refund) if refund.amount else "nothing_due"
        if not amount:
            return "nothing_due"
        match action:
            case "pay":
                return await self._record("paid", payments[0])
            case "pay_twice":
                return await self._record("paid_twice", *payments)
            case "pay_late":
                return "late" if self._start_late(payments[0], order.pay_by) else "too_many"
            case "fail":
                return "failed"

    async def _record(self, told: Told, *reports: Report) -> Told:
        recorded = [await self._engine.record(report) for report in reports]
        return told if all(recorded) else "refused"

    def _start_late(self, payment: PaymentReport, pay_by: datetime) -> bool:
        if len(self._late) >= MAX_LATE_PAYMENTS:
            return False
        task = asyncio.create_task(self._pay_late(payment, pay_by))
        self._late.add(task)
        task.add_done_callback(self._late.discard)
        return True

    async def _pay_late(self, payment: PaymentReport, pay_by: datetime) -> None:
        """Report a payment once its order is no longer pending."""
        await asyncio.sleep(max(0.0, (pay_by - datetime.now(UTC)).total_seconds()))
        is_pending = True
        while is_pending:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            is_pending = await self._is_pending(payment.order_id)
        for attempt in range(REPORT_ATTEMPTS):
            try:
                await self._engine.record(payment)
            except NotRecordedError:
                await asyncio.sleep(LOOK_EVERY_SECONDS * 2**attempt)
            else:
                return

    async def _is_pending(self, order_id: str) -> bool:
        try:
            order = await self._engine.order(order_id)
        except EngineUnavailableError:
            return True
        return order is not None and order.status == "pending_payment"

    async def _page(
        self,
        order_id: UUID,
        told: Told | None,
        status: HTTPStatus = HTTPStatus.OK,
        session_id: str | None = None,
    ) -> Response:
        try:
            order = await self._engine.order(str(order_id))
        except EngineUnavailableError:
            order, told, status = None, "again", HTTPStatus.SERVICE_UNAVAILABLE
        if order is None:
            missing = HTTPStatus.NOT_FOUND if status == HTTPStatus.OK else status
            return Response(not_found_page(told), missing, HEADERS, "text/html")
        html = order_page(
            order, told, session_id or str(uuid4()), self._settings.return_url(order.id)
        )
        return Response(html, status, HEADERS, "text/html")
