"""Bearer tokens: ours are accepted until they expire, and nothing else is."""

import base64
import json
import time

import jwt
import pytest

from gateway.problems import ProblemError
from gateway.tokens import LIFETIME_SECONDS, Tokens
from shared.ids import new_id
from shared.outcomes import User

SECRET = "a secret of the tests, of more than 64 bytes, as HS512 asks for it too"
USER = new_id()
NOW = int(time.time())
CLAIMS = {
    "sub": USER,
    "iat": NOW,
    "exp": NOW + LIFETIME_SECONDS,
    "iss": "holdfast",
    "aud": "holdfast",
}


class Users:
    """The read model's users, who counts the questions."""

    def __init__(self) -> None:
        self.questions = 0

    async def find(self, user_id: str) -> User | None:
        self.questions += 1
        return User(USER, "ada@example.com") if user_id == USER else None


@pytest.fixture
def users() -> Users:
    return Users()


@pytest.fixture
def tokens(users: Users) -> Tokens:
    return Tokens(SECRET, users.find)


def signed(headers: dict | None = None, key: str = SECRET, algorithm="HS256", **claims) -> str:
    merged = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not ...}
    return jwt.encode(merged, key, algorithm, headers)


def part(document: object) -> str:
    text = document if isinstance(document, str) else json.dumps(document)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def unsigned(header: object) -> str:
    return f"{part(header)}.{part(CLAIMS)}."


async def test_our_own_is_accepted_and_verified_once(tokens: Tokens, users: Users):
    token = tokens.issue(USER)
    assert [await tokens.user_of(f"Bearer {token}") for _ in range(3)] == [USER] * 3
    assert await tokens.user_of(f"bearer {token}") == USER
    assert users.questions == 2


async def test_it_expires_also_when_it_is_known(tokens: Tokens, monkeypatch: pytest.MonkeyPatch):
    token = tokens.issue(USER)
    await tokens.user_of(f"Bearer {token}")
    monkeypatch.setattr("gateway.tokens.time.time", lambda: NOW + 2 * LIFETIME_SECONDS)
    with pytest.raises(ProblemError, match="unauthenticated"):
        await tokens.user_of(f"Bearer {token}")


async def test_those_that_are_known_have_a_bound(tokens, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.tokens.MAX_KNOWN_TOKENS", 3)
    for second in range(10):
        await tokens.user_of(f"Bearer {signed(exp=NOW + 100 + second)}")
    assert len(tokens._known) == 3


REFUSED = {
    "no JWT": "x",
    "empty": "",
    "three empty parts": "..",
    "unsigned": unsigned({"alg": "none", "typ": "JWT"}),
    "unsigned, spelt otherwise": unsigned({"alg": "nOnE", "typ": "JWT"}),
    "wrongly signed": signed(key="another secret, also of more than 32 bytes"),
    "signed with another algorithm": signed(algorithm="HS512"),
    "signature cut off": signed().rpartition(".")[0] + ".",
    "claims exchanged": ".".join(
        [(parts := signed().split("."))[0], part({**CLAIMS, "sub": new_id()}), parts[2]]
    ),
    "no exp": signed(exp=...),
    "no iat": signed(iat=...),
    "no sub": signed(sub=...),
    "no iss": signed(iss=...),
    "no aud": signed(aud=...),
    "expired": signed(iat=NOW - 100, exp=NOW - 1),
    "exp years ahead": signed(exp=NOW + 10 * 365 * 86_400),
    "exp a second past the lifetime": signed(exp=NOW + LIFETIME_SECONDS + 1),
    "exp infinite": signed(exp=float("inf")),
    "exp not a number": signed(exp=float("nan")),
    "exp as text": signed(exp=str(NOW + 100)),
    "exp true": signed(exp=True),
    "iat as text": signed(iat=str(NOW)),
    "iat a fraction": signed(iat=NOW + 0.5 - 1),
    "iat ahead": signed(iat=NOW + 1_000, exp=NOW + 1_100),
    "nbf ahead": signed(nbf=NOW + 1_000),
    "another issuer": signed(iss="somebody"),
    "another audience": signed(aud="somebody"),
    "several audiences": signed(aud=["holdfast", "somebody"]),
    "sub empty": signed(sub=""),
    "sub no UUID": signed(sub="ada"),
    "sub an e-mail": signed(sub="ada@example.com"),
    "sub SQL": signed(sub="' OR 1=1 --"),
    "user gone": signed(sub=new_id()),
    "kid": signed({"kid": "../../dev/null"}),
    "jku": signed({"jku": "http://127.0.0.1:1/keys"}),
    "x5u": signed({"x5u": "http://127.0.0.1:1/keys"}),
    "jwk": signed({"jwk": {"kty": "oct", "k": "AAAA"}}),
    "crit": signed({"crit": ["exp"]}),
    "another typ": signed({"typ": "at+jwt"}),
    "no typ": signed({"typ": None}),
    "kid a number": f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': 1})}.{part(CLAIMS)}.AAAA",
    "header deeply nested": f"{part('[' * 5_000)}.{part(CLAIMS)}.AAAA",
    "64 KB": signed(padding="x" * 65_536),
    "a surrogate": "\ud800",
    "not ASCII": "é.é.é",
}


@pytest.mark.parametrize("token", REFUSED.values(), ids=REFUSED.keys())
async def test_refused(tokens: Tokens, token: str):
    with pytest.raises(ProblemError) as refused:
        await tokens.user_of(f"Bearer {token}")
    response = refused.value.response()
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


async def test_a_subject_that_is_a_number_is_refused(tokens: Tokens):
    claims = part({**CLAIMS, "sub": 42})
    signing_input = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{claims}"
    signature = jwt.get_algorithm_by_name("HS256").sign(signing_input.encode(), SECRET.encode())
    encoded = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
    with pytest.raises(ProblemError, match="unauthenticated"):
        await tokens.user_of(f"Bearer {signing_input}.{encoded}")


@pytest.mark.parametrize("authorization", [None, "", "Basic YTpi", "Token x"])
async def test_without_a_token_only_the_challenge_is_said(tokens, authorization: str | None):
    with pytest.raises(ProblemError) as refused:
        await tokens.user_of(authorization)
    assert refused.value.response().headers["WWW-Authenticate"] == "Bearer"
