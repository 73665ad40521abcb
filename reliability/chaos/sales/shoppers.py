"""Buyers who check out, and the agent that tells their payments: once, twice, in parts, late."""

import asyncio
import random
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from reliability.chaos.checks.database import Database
from reliability.chaos.checks.record import Document
from reliability.chaos.clients.fixtures import TokenIssuer
from reliability.chaos.clients.queue_client import QueueClient
from reliability.chaos.clients.rate_limiter import RateLimiter
from reliability.chaos.clients.workload import command
from reliability.chaos.sales.delivery import ByQueue, Delivery, NotDecidedError, OverHttp
from reliability.chaos.sales.fixtures import Sale
from reliability.chaos.sales.ledger import Ledger, Payment
from reliability.chaos.system.system_under_test import GRACE_SECONDS, PAYMENT_SECONDS
from shared.ids import new_id

AT_THE_QUEUE, AT_GATEWAYS = 12, 12
SHOPPERS = AT_THE_QUEUE + AT_GATEWAYS
COMMANDS_A_PURCHASE = 4
REQUEST_SECONDS = 8.0
MAX_QUANTITY = 3
TOLD_TWICE = 0.3
REFUNDED = 0.5
LATE_SECONDS = PAYMENT_SECONDS + GRACE_SECONDS + 0.5
EXPECTED_REFUSALS = {
    "reserve_tickets": {"insufficient_availability"},
    "check_out": {"nothing_to_check_out", "too_many_open_orders"},
    "cancel_order": {"order_not_pending"},
}
"""A payment, and a refund of what is due, is never refused."""


class Shopper:
    """One buyer, and the payment agent for this buyer's orders."""

    def __init__(
        self, buyer_id: str, sale: Sale, delivery: Delivery, ledger: Ledger, rng: random.Random
    ) -> None:
        self._buyer_id = buyer_id
        self._sale = sale
        self._delivery = delivery
        self._ledger = ledger
        self._rng = rng

    async def shop(self, is_open: Callable[[], bool], rate_limiter: RateLimiter) -> None:
        while is_open():
            await rate_limiter.wait_for(COMMANDS_A_PURCHASE)
            try:
                await self._purchase()
            except NotDecidedError as error:
                self._ledger.strange.append(f"M0: {error}")

    async def _purchase(self) -> None:
        rng, sale = self._rng, self._sale
        ids = rng.sample(sale.ticket_type_ids, rng.choice((1, 1, 2)))
        lines = [{"ticket_type_id": id, "quantity": rng.randint(1, MAX_QUANTITY)} for id in ids]
        reserved = await self._ask("reserve_tickets", self._buyer_id, items=lines)
        if reserved is None:
            return
        ordered = await self._ask("check_out", self._buyer_id, event_id=sale.event_id)
        if ordered is None:
            return
        order = ordered["order"]
        self._ledger.orders[order["id"]] = order
        total = order["total"]
        if total == 0:
            return
        match rng.randrange(8):
            case 0:
                return  # never paid
            case 1:
                await self._pay(order, total)
                order = await self._pay(order, total)
            case 2:
                await self._pay(order, total // 2)
                order = await self._pay(order, total - total // 2)
            case 3:
                order = await self._pay(order, total + 100)
            case 4:
                await asyncio.sleep(LATE_SECONDS)
                order = await self._pay(order, total)
            case 5:
                order, _ = await asyncio.gather(self._pay(order, total), self._cancel(order))
            case 6:
                order = await self._pay(order, total // 2)
            case _:
                order = await self._pay(order, total)
        if order["refund_due"] > 0 and rng.random() < REFUNDED:
            await self._refund(order)

    async def _pay(self, order: Document, amount: int) -> Document:
        """Tell of a payment, perhaps twice at once; return the order."""
        payment_id = f"pay_{new_id()}"
        payment = self._ledger.payments[payment_id] = Payment(order["id"], amount)
        fields = {
            "order_id": order["id"],
            "payment_id": payment_id,
            "amount": amount,
            "currency": order["currency"],
        }
        times = 2 if self._rng.random() < TOLD_TWICE else 1
        results = await asyncio.gather(
            *(self._ask("record_payment", self._sale.agent_id, **fields) for _ in range(times))
        )
        for result in results:
            payment.dispositions.add(result["payment"]["disposition"] if result else "refused")
        # Of two answers either may show the order without this payment's consequences.
        shown = [result["order"] for result in results if result]
        return max(shown, key=lambda each: int(each["paid"]), default=order)

    async def _cancel(self, order: Document) -> None:
        if await self._ask("cancel_order", self._buyer_id, order_id=order["id"]) is not None:
            self._ledger.cancelled.add(order["id"])

    async def _refund(self, order: Document) -> None:
        refund_id, amount = f"ref_{new_id()}", order["refund_due"]
        self._ledger.refunds[refund_id] = (order["id"], amount)
        await self._ask(
            "record_refund",
            self._sale.agent_id,
            order_id=order["id"],
            refund_id=refund_id,
            amount=amount,
        )

    async def _ask(self, kind: str, user_id: str, **fields: Any) -> Document | None:
        """Return the result of a command; None where it was refused."""
        outcome = await self._delivery.decide(command(kind, user_id, fields))
        if outcome["status"] == "succeeded":
            return dict(outcome["result"])
        code = outcome["refusal"]["code"]
        if code not in EXPECTED_REFUSALS.get(kind, ()):
            self._ledger.strange.append(f"M0: {kind} {fields} was refused {code}")
        return None


class Shoppers:
    """Starts all shoppers at once; `close` lets them finish their purchases."""

    def __init__(
        self,
        sale: Sale,
        gateway_urls: Sequence[str],
        token_issuer: TokenIssuer,
        queue_client: QueueClient,
        database: Database,
        rate_limiter: RateLimiter,
        rng: random.Random,
    ) -> None:
        self.ledger = Ledger()
        self._open = True
        self._http = httpx.AsyncClient(timeout=REQUEST_SECONDS, trust_env=False)
        by_queue = ByQueue(queue_client, database)
        own = random.Random(rng.random())
        over_http = OverHttp(token_issuer.token, gateway_urls, self._http, own)
        deliveries = [by_queue] * AT_THE_QUEUE + [over_http] * AT_GATEWAYS
        self._shopping = [
            asyncio.create_task(
                Shopper(id, sale, delivery, self.ledger, random.Random(rng.random())).shop(
                    lambda: self._open, rate_limiter
                )
            )
            for id, delivery in zip(sale.buyer_ids, deliveries, strict=True)
        ]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        for task in self._shopping:
            task.cancel()
        await asyncio.gather(*self._shopping, return_exceptions=True)
        await self._http.aclose()

    async def close(self) -> None:
        """Let every shopper finish; raises the error that ended one early."""
        self._open = False
        await asyncio.gather(*self._shopping)
