"""Rotating the signing secret logs no user out: three steps, one gateway after the other."""

from collections.abc import AsyncIterator

import httpx
import jwt
import pytest

from tests.deployment import JWT_SECRET, Deployment, Process
from tests.system.clients import PASSWORD, Site, fresh_email, refused

NEW_SECRET = "the secret that signs from now on, of more than 32 bytes"


@pytest.fixture
async def gateways(system: Deployment) -> AsyncIterator[dict[str, Process]]:
    """One gateway for each step: before, accepting the new secret, and signing with it."""
    async with Deployment(system.database_url, system.broker_url) as deployment:
        for settings in (
            {"HOLDFAST_JWT_ACCEPTED_SECRETS": NEW_SECRET},
            {"HOLDFAST_JWT_SECRET": NEW_SECRET, "HOLDFAST_JWT_ACCEPTED_SECRETS": JWT_SECRET},
            {"HOLDFAST_JWT_SECRET": NEW_SECRET},
        ):
            await deployment.add("gateway", deployment.gateways, **settings).start()
        names = ("prepared", "signing", "without the old one")
        yield {"before": system.gateways[0], **dict(zip(names, deployment.gateways, strict=True))}


async def test_each_gateway_accepts_the_keys_of_its_settings(
    site: Site, http: httpx.AsyncClient, gateways: dict[str, Process]
) -> None:
    email = fresh_email()
    assert (await site.register(email)).status_code == 201
    form = {"username": email, "password": PASSWORD}
    tokens = {
        where: (await http.post(f"{gateways[where].url}/v1/tokens", data=form)).json()[
            "access_token"
        ]
        for where in ("before", "signing")
    }
    kids = {where: jwt.get_unverified_header(token)["kid"] for where, token in tokens.items()}
    assert kids["before"] != kids["signing"]
    accepted = {}
    for issued, token in tokens.items():
        for where, gateway in gateways.items():
            headers = {"Authorization": f"Bearer {token}"}
            answer = await http.get(f"{gateway.url}/v1/me", headers=headers)
            accepted[issued, where] = answer.status_code == 200
            if answer.status_code != 200:
                refused(answer, 401, "unauthenticated")
    assert accepted == {
        ("before", "before"): True,
        ("before", "prepared"): True,
        ("before", "signing"): True,
        ("before", "without the old one"): False,
        ("signing", "before"): False,
        ("signing", "prepared"): True,
        ("signing", "signing"): True,
        ("signing", "without the old one"): True,
    }
