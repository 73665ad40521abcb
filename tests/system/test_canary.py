"""Secrets do not leak: canary values are sent in and searched for everywhere (I12)."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import asyncpg
import httpx
import pytest

from dev.servers.private_postgres import PrivatePostgres
from dev.services import private_postgres, services
from shared.ids import new_id
from tests.conftest import migrate
from tests.deployment import Deployment
from tests.system.amqp import DEAD, QUEUE, Queue, command
from tests.system.clients import Person, Site

PASSWORD = "canary-password-1f9c"
WRONG_PASSWORD = "canary-wrong-password-7d21"
EMAIL = "canary-email-{}@example.org"
EMAIL_MARK = "canary-email-"
EVERY_COLUMN = """
    SELECT table_schema, table_name FROM information_schema.tables
    WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'
"""


@dataclass
class Scene:
    """The system that got the canaries, and everything that was collected from it."""

    deployment: Deployment
    postgres: PrivatePostgres
    tokens: list[str] = field(default_factory=list)
    answers: list[httpx.Response] = field(default_factory=list)
    queued: list[bytes] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    rows: dict[str, list[str]] = field(default_factory=dict)
    metrics: str = ""

    @property
    def logs(self) -> dict[str, str]:
        processes = self.deployment.gateways + self.deployment.workers
        logs = {process.log.name: process.log.read_text() for process in processes}
        return logs | {"postgres": self.postgres.log.read_text()}

    @property
    def secrets(self) -> list[str]:
        """Passwords, tokens, and the claims of tokens, which are telling by themselves."""
        return [PASSWORD, WRONG_PASSWORD, *(t.split(".")[1] for t in self.tokens)]


@pytest.fixture(scope="module")
async def scene(http: httpx.AsyncClient) -> AsyncIterator[Scene]:
    with services("tests") as own, private_postgres() as postgres:
        migrate(postgres.url)
        async with Deployment(postgres.url, own.broker_url) as deployment:
            for module, group in (
                ("worker", deployment.workers),
                ("gateway", deployment.gateways),
            ):
                process = deployment.add(module, group, MODULE_AT_DEBUG_LEVEL=module)
                process.module = "tests.system.at_debug_level"
                await process.start()
            scene = Scene(deployment, postgres)
            async with Queue(own.broker_url) as queue:
                await let_in(scene, Site(deployment, http), queue)
                await pick_up(scene, http, queue)
            yield scene


async def let_in(scene: Scene, site: Site, queue: Queue) -> None:
    """Use secrets in every way that users do, correctly and incorrectly."""
    email = EMAIL.format("a")
    registered = await site.register(email, PASSWORD)
    assert registered.status_code == 201
    token = (await site.log_in(email, PASSWORD)).json()["access_token"]
    scene.tokens.append(token)
    user_id = registered.json()["result"]["user"]["id"]
    person = Person(site.http, scene.deployment, user_id, email, token)
    ticket_type_id = await person.sale()
    assert (await person.reserve(ticket_type_id)).status_code == 200
    scene.answers += [
        await site.register(email, PASSWORD),  # email_taken
        await site.register(EMAIL.format("a b"), PASSWORD),
        await site.register(EMAIL.format("b"), PASSWORD * 20),
        await site.log_in(email, WRONG_PASSWORD),
        await site.log_in(EMAIL.format("nobody"), PASSWORD),
        await site.log_in(email + "\x00", PASSWORD),
        await person.ask("POST", "/reservations", json={"x": EMAIL.format("c")}),
        await person.ask("POST", "/events", content=f'{{"{PASSWORD}'.encode()),
        await person.get(f"/events?cursor={token}&limit={PASSWORD}"),
        await person.get(f"/commands/{token}"),
        await person.get(f"/{PASSWORD}/{EMAIL.format('d')}"),
        await person.get("/me", headers={"Authorization": f"Bearer {token}x"}),
        await person.get("/me", headers={"Authorization": f"Basic {PASSWORD}"}),
        await person.reserve(ticket_type_id, key=token),
        await person.reserve(new_id()),
    ]
    await let_the_database_fail(scene, site)
    await let_a_registration_fail(scene, site, queue)
    await let_into_the_queue(scene, site, queue)


async def let_the_database_fail(scene: Scene, site: Site) -> None:
    """A statement that fails is logged with its traceback, but not with its values."""
    connection = await asyncpg.connect(scene.deployment.database_url)
    try:
        await connection.execute("ALTER VIEW read_model.credentials RENAME TO hidden")
        failed = await site.log_in(EMAIL.format("e"), PASSWORD)
        assert failed.status_code == 500
        scene.answers.append(failed)
    finally:
        await connection.execute("ALTER VIEW read_model.hidden RENAME TO credentials")
        await connection.close()


async def let_a_registration_fail(scene: Scene, site: Site, queue: Queue) -> None:
    """A command that the database refuses, with an error that would quote the whole row."""
    connection = await asyncpg.connect(scene.deployment.database_url)
    try:
        await connection.execute(
            "ALTER TABLE booking.users ADD CONSTRAINT none_of_these"
            f" CHECK (email NOT LIKE '{EMAIL_MARK}poison%') NOT VALID"
        )
        failed = await site.register(EMAIL.format("poison"), PASSWORD)
        assert failed.status_code == 422, failed.text
        scene.answers.append(failed)
    finally:
        await connection.execute("ALTER TABLE booking.users DROP CONSTRAINT none_of_these")
        await connection.close()
    dead = await queue.channel.get_queue(DEAD, ensure=False)
    letter = await dead.get(no_ack=True)
    assert json.loads(letter.body)[0]["command_id"] == failed.json()["command_id"]
    scene.queued.append(letter.body)
    scene.dead.append(str(letter.headers))


async def let_into_the_queue(scene: Scene, site: Site, queue: Queue) -> None:
    """Read commands before a worker takes them, and publish an unreadable one."""
    commands = await queue.channel.get_queue(QUEUE, ensure=False)
    (worker,) = scene.deployment.workers
    await worker.kill()
    headers = {"Authorization": f"Bearer {scene.tokens[0]}", "Prefer": "respond-async"}
    await site.register(EMAIL.format("f"), PASSWORD, Prefer="respond-async")
    await site.http.delete(f"{site.urls[0]}/v1/cart", headers=headers)
    while (message := await commands.get(no_ack=True, fail=False)) is not None:
        scene.queued.append(message.body)
    await worker.start()
    unreadable = command("register_user", new_id(), email=EMAIL.format("g h"), password=PASSWORD)
    correlation_id = new_id()
    await queue.ask(json.dumps([unreadable]).encode(), correlation_id)
    letter = await queue.take_dead_letter(correlation_id)
    scene.dead.append(str(letter.headers))


async def pick_up(scene: Scene, http: httpx.AsyncClient, queue: Queue) -> None:
    """Collect all logs, answers, metrics, messages and rows."""
    for process in scene.deployment.gateways + scene.deployment.workers:
        scene.metrics += (await http.get(f"{process.url}/metrics")).text
    connection = await asyncpg.connect(scene.deployment.database_url)
    try:
        for schema, table in await connection.fetch(EVERY_COLUMN):
            rows = await connection.fetch(f'SELECT t::text FROM "{schema}"."{table}" AS t')
            scene.rows[f"{schema}.{table}"] = [row[0] for row in rows]
    finally:
        await connection.close()


async def test_the_canaries_reached_the_system(scene: Scene) -> None:
    """Otherwise it would prove nothing that they are found nowhere."""
    assert all(answer.status_code >= 400 for answer in scene.answers)
    assert any(EMAIL_MARK in row for row in scene.rows["booking.users"])
    assert "DEBUG" in scene.logs["gateway-1.log"]
    assert "DEBUG" in scene.logs["worker-1.log"]
    assert "Traceback" in scene.logs["gateway-1.log"]  # of the statement that failed
    assert "none_of_these" in scene.logs["postgres"]  # the constraint
    assert scene.dead


async def test_no_log_contains_a_canary(scene: Scene) -> None:
    for name, text in scene.logs.items():
        for secret in (*scene.secrets, EMAIL_MARK):
            lines = [line for line in text.splitlines() if secret in line]
            assert lines == [], name


async def test_no_problem_document_contains_a_canary(scene: Scene) -> None:
    for answer in scene.answers:
        for secret in (*scene.secrets, EMAIL_MARK):
            assert secret not in answer.text
            assert secret not in str(answer.headers)


async def test_no_metric_contains_a_canary(scene: Scene) -> None:
    for secret in (*scene.secrets, EMAIL_MARK):
        assert secret not in scene.metrics


async def test_no_command_contains_a_password_and_only_registrations_contain_an_address(
    scene: Scene,
) -> None:
    commands = [each for body in scene.queued for each in json.loads(body)]
    assert {each["kind"] for each in commands} == {"register_user", "release_cart"}
    for each in commands:
        text = json.dumps(each)
        assert not any(secret in text for secret in scene.secrets)
        assert (EMAIL_MARK in text) == (each["kind"] == "register_user")


async def test_the_headers_of_a_dead_letter_quote_no_input(scene: Scene) -> None:
    for error in scene.dead:
        assert not any(secret in error for secret in (*scene.secrets, EMAIL_MARK))


async def test_no_table_contains_a_password_or_a_token(scene: Scene) -> None:
    for table, rows in scene.rows.items():
        for row in rows:
            assert not any(secret in row for secret in scene.secrets), table


async def test_an_address_is_stored_only_with_its_user_and_registration(scene: Scene) -> None:
    for table, rows in scene.rows.items():
        for row in rows:
            if EMAIL_MARK in row:
                assert table == "booking.users" or "register_user" in row, table
