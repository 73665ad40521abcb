"""Creates the fixtures of a round: an organizer, ticket types, and buyers with their tokens."""

import asyncio
import json
import random
import time
from dataclasses import dataclass

import httpx
import jwt

from reliability.chaos.checks.record import SUCCEEDED, Document
from reliability.chaos.clients.queue_client import QueueClient
from reliability.chaos.clients.workload import Workload, event, registrations, ticket_types

PASSWORD = "correct horse battery staple"  # noqa: S105 (of a system that lives for minutes)
DECIDED_SECONDS = 15.0
MAX_ATTEMPTS = 20
RETRY_SECONDS = 0.5
MAX_COMMANDS_A_MESSAGE = 100
TOKEN_SECONDS = 3_500


class TokenIssuer:
    """Issues tokens as the gateway does, without the cost of checking passwords."""

    def __init__(self, secret: str, token: str) -> None:
        """`token`: one that the gateway issued; its header and claims are copied."""
        self._secret = secret
        self._header = jwt.get_unverified_header(token)
        self._claims = jwt.decode(token, options={"verify_signature": False})

    @classmethod
    async def from_log_in(cls, secret: str, url: str, http: httpx.AsyncClient) -> "TokenIssuer":
        """Register a user and log in once, to learn the header and the claims of a token."""
        email = f"organizer-{time.time_ns()}@example.org"
        body = {"email": email, "password": PASSWORD}
        registered = await http.post(f"{url}/v1/users", json=body, headers={"Prefer": "wait=10"})
        assert registered.status_code == 201, registered.text
        form = {"username": email, "password": PASSWORD}
        logged_in = await http.post(f"{url}/v1/tokens", data=form)
        assert logged_in.status_code == 200, logged_in.text
        return cls(secret, logged_in.json()["access_token"])

    def token(self, user_id: str) -> str:
        now = int(time.time())
        claims = self._claims | {"sub": user_id, "iat": now, "exp": now + TOKEN_SECONDS}
        return jwt.encode(claims, self._secret, "HS256", headers=self._header)


@dataclass(frozen=True, slots=True)
class Fixtures:
    workload: Workload
    user_ids: list[str]
    command_ids: set[str]
    """Of the commands that it took."""


async def open_workload(queue_client: QueueClient, rng: random.Random, users: int) -> Fixtures:
    """Create the fixtures through the queue, before the first fault."""
    registered = registrations(rng, users + 1)
    for start in range(0, len(registered), MAX_COMMANDS_A_MESSAGE):
        await decide(queue_client, registered[start : start + MAX_COMMANDS_A_MESSAGE])
    organizer_id, *user_ids = [each["user_id"] for each in registered]
    concert = event(organizer_id)
    await decide(queue_client, [concert])
    types = ticket_types(organizer_id, concert["command_id"])
    await decide(queue_client, types)
    command_ids = {each["command_id"] for each in (*registered, concert, *types)}
    return Fixtures(Workload(tuple(each["command_id"] for each in types)), user_ids, command_ids)


async def decide(queue_client: QueueClient, commands: list[Document]) -> None:
    """Have commands decided that cannot be refused."""
    body = json.dumps(commands).encode()
    replies: asyncio.Queue[list[str]] = asyncio.Queue()
    for _ in range(MAX_ATTEMPTS):
        if await queue_client.publish(body, replies.put_nowait):
            break
        await asyncio.sleep(RETRY_SECONDS)
    async with asyncio.timeout(DECIDED_SECONDS):
        documents = await replies.get()
    assert all(SUCCEEDED in document for document in documents), documents
