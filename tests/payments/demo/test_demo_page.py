"""The demo's page: what it shows, and what each of its buttons records."""

import asyncio
import re
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from payments.demo.adapter import HEADERS, MAX_LATE_PAYMENTS
from tests.payments.conftest import Running
from tests.payments.gateway import ORDER_ID, ScriptedGateway, order_document, payment

PAGE = f"/payments/demo/{ORDER_ID}"
SESSION = re.compile(r'name="session" value="([0-9a-f-]{36})"')


async def press(
    demo: Running, action: str, session: str | None = None, *, follow: bool = True
) -> httpx.Response:
    """Open the page and press a button of it."""
    found = SESSION.search((await demo.get(PAGE)).text)
    assert found is not None
    form = {"action": action, "session": session or found[1]}
    return await demo.post(PAGE, data=form, follow_redirects=follow)


class Tags(HTMLParser):
    """The elements of a page, and the URLs that it names."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs


async def test_the_page_shows_the_order_and_says_that_no_money_moves(with_demo: Running) -> None:
    page = await with_demo.get(PAGE)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    for shown in ("no money moves", ORDER_ID, "EUR 50.00", "2 x Standing", "waiting for payment"):
        assert shown in page.text


async def test_the_page_runs_no_script_and_loads_nothing_but_its_own_style(
    with_demo: Running,
) -> None:
    page = await with_demo.get(PAGE)
    tags = Tags(page.text)
    assert "script" not in tags.names
    assert not any(name.startswith("on") or name == "style" for name, _ in tags.attributes)
    loaded = [value for name, value in tags.attributes if name in ("href", "src")]
    assert loaded == ["/payments/demo/style.css", f"http://127.0.0.1:8000/?order={ORDER_ID}"]
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"
    style = await with_demo.get("/payments/demo/style.css")
    assert style.headers["content-type"].startswith("text/css")


async def test_the_page_can_be_read_without_seeing_it(with_demo: Running) -> None:
    page = (await with_demo.get(f"{PAGE}?told=paid")).text
    tags = Tags(page)
    assert ("lang", "en") in tags.attributes
    assert ("role", "status") in tags.attributes
    assert tags.names.count("h1") == tags.names.count("main") == tags.names.count("title") == 1


async def test_names_are_shown_and_never_run(with_demo: Running, gateway: ScriptedGateway) -> None:
    order = order_document()
    order["items"][0]["name"] = "<script>alert(1)</script>"
    gateway.orders[ORDER_ID] = order
    page = (await with_demo.get(PAGE)).text
    assert "&lt;script&gt;" in page
    assert "script" not in Tags(page).names


async def test_paying_records_one_payment_of_what_is_due(
    with_demo: Running, gateway: ScriptedGateway
) -> None:
    gateway.orders[ORDER_ID] = order_document(payments=[payment(2000)])
    answer = await press(with_demo, "pay")
    assert "The payment is recorded." in answer.text
    (body,) = gateway.bodies
    assert (body["amount"], body["currency"]) == (3000, "EUR")
    assert body["payment_id"].startswith("demo-")


async def test_a_button_that_is_pressed_twice_pays_once(
    with_demo: Running, gateway: ScriptedGateway
) -> None:
    session = "b6b8ab5a-1111-4a4a-8b8b-1234567890ab"
    for _ in range(2):
        await press(with_demo, "pay", session)
    assert [body["payment_id"] for body in gateway.bodies] == [f"demo-{session}-1"] * 2


async def test_paying_twice_records_two_payments(
    with_demo: Running, gateway: ScriptedGateway
) -> None:
    await press(with_demo, "pay_twice")
    assert [body["amount"] for body in gateway.bodies] == [5000, 5000]
    assert len({body["payment_id"] for body in gateway.bodies}) == 2


async def test_failing_records_nothing(with_demo: Running, gateway: ScriptedGateway) -> None:
    answer = await press(with_demo, "fail")
    assert "The payment failed." in answer.text
    assert gateway.recorded == []


async def test_paying_late_waits_until_the_order_is_no_longer_pending(
    with_demo: Running, gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payments.demo.adapter.LOOK_EVERY_SECONDS", 0.01)
    gateway.orders[ORDER_ID] = order_document(pay_by="2026-01-01T00:00:00Z")
    await press(with_demo, "pay_late")
    await asyncio.sleep(0.1)
    assert gateway.recorded == []

    gateway.answers += [(202, {"status": "pending"})]
    gateway.orders[ORDER_ID] = order_document(status="expired")
    async with asyncio.timeout(10):
        while len(gateway.recorded) < 2:
            await asyncio.sleep(0.01)
    assert gateway.bodies[0] == gateway.bodies[1]


async def test_late_payments_have_a_bound(
    with_demo: Running, gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payments.demo.adapter.MAX_LATE_PAYMENTS", 1)
    assert MAX_LATE_PAYMENTS == 100
    await press(with_demo, "pay_late")
    assert "Too many late payments" in (await press(with_demo, "pay_late")).text


async def test_what_is_due_back_is_refunded_at_a_click(
    with_demo: Running, gateway: ScriptedGateway
) -> None:
    assert "Refund" not in (await with_demo.get(PAGE)).text
    gateway.orders[ORDER_ID] = order_document(status="paid", refund_due=5000)
    assert "Refund EUR 50.00" in (await with_demo.get(PAGE)).text

    await press(with_demo, "refund")

    (body,) = gateway.bodies
    assert body["amount"] == 5000
    assert "refund_id" in body


async def test_a_payment_that_is_refused_for_good_is_not_called_recorded(
    with_demo: Running, gateway: ScriptedGateway
) -> None:
    gateway.answers.append((409, {"code": "order_full"}))
    assert "The engine refused it" in (await press(with_demo, "pay")).text


@pytest.mark.parametrize("action", ["pay", "refund"])
async def test_where_nothing_is_due_nothing_is_recorded(
    with_demo: Running, gateway: ScriptedGateway, action: str
) -> None:
    gateway.orders[ORDER_ID] = order_document(status="paid", total=0)
    assert "Nothing is due." in (await press(with_demo, action)).text
    assert gateway.recorded == []


async def test_a_payment_that_is_not_decided_is_tried_again_under_its_name(
    with_demo: Running, gateway: ScriptedGateway
) -> None:
    session = "b6b8ab5a-1111-4a4a-8b8b-1234567890ab"
    gateway.answers.append((202, {"status": "pending"}))
    answer = await press(with_demo, "pay", session)
    assert answer.status_code == 503
    assert f'value="{session}"' in answer.text
    assert "Try again" in answer.text


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"action": "pay", "session": "1"},
        {"session": "b6b8ab5a-1111-4a4a-8b8b-1234567890ab"},
        {"action": "steal", "session": "b6b8ab5a-1111-4a4a-8b8b-1234567890ab"},
        {f"field_{number}": "x" for number in range(20)},
    ],
)
async def test_a_form_that_is_not_of_the_page_records_nothing(
    with_demo: Running, gateway: ScriptedGateway, form: dict[str, Any]
) -> None:
    assert (await with_demo.post(PAGE, data=form)).status_code == 422
    assert gateway.recorded == []


async def test_an_order_of_another_payment_agent_has_no_page(
    with_demo: Running, gateway: ScriptedGateway
) -> None:
    gateway.orders.clear()
    page = await with_demo.get(PAGE)
    assert page.status_code == 404
    assert "There is no such order to pay here." in page.text
    assert {name: page.headers[name] for name in HEADERS} == HEADERS
    assert (await with_demo.get("/payments/demo/1")).status_code == 404
