"""Bearer tokens: those that a gateway signed are accepted until they expire, and no other."""

import base64
import json
import time

import jwt
import pytest

from gateway.http.problems import ProblemError
from gateway.identity.tokens import LEEWAY_SECONDS, LIFETIME_SECONDS, Tokens, key_id
from shared.ids import new_id
from shared.outcomes import User

OLD_SECRET = "what signed before the rotation, of more than 32 bytes"
NEXT_SECRET = "what will sign after the next one, of more than 32 bytes"
SECRET = "a secret of the tests, of more than 64 bytes, as HS512 asks for it too"
PUBLIC_KEY = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
"""
"""A verifier that took it for an HMAC secret would accept a token that any client can sign."""
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
    """The users of the read model; counts the look-ups."""

    def __init__(self) -> None:
        self.look_ups = 0

    async def find(self, user_id: str) -> User | None:
        self.look_ups += 1
        return User(USER, "ada@example.com") if user_id == USER else None


@pytest.fixture
def users() -> Users:
    return Users()


@pytest.fixture
def tokens(users: Users) -> Tokens:
    return Tokens(SECRET, users.find, [OLD_SECRET, NEXT_SECRET])


def signed(headers: dict | None = None, key: str = SECRET, algorithm="HS256", **claims) -> str:
    merged = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not ...}
    return jwt.encode(merged, key, algorithm, headers)


def part(document: object) -> str:
    text = document if isinstance(document, str) else json.dumps(document)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def signed_by_hand(header: dict[str, object], key: str = SECRET, **claims: object) -> str:
    """Sign what PyJWT refuses to sign."""
    head = {"alg": "HS256", "typ": "JWT"} | header
    signing_input = f"{part(head)}.{part({**CLAIMS, **claims})}"
    signature = jwt.get_algorithm_by_name("HS256").sign(signing_input.encode(), key.encode())
    return f"{signing_input}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def unsigned(header: object) -> str:
    return f"{part(header)}.{part(CLAIMS)}."


async def test_a_token_is_accepted_and_verified_once(tokens: Tokens, users: Users):
    token = tokens.issue(USER)
    assert [await tokens.user_of(f"Bearer {token}") for _ in range(3)] == [USER] * 3
    assert await tokens.user_of(f"bearer {token}") == USER
    assert users.look_ups == 2


async def test_a_token_names_its_secret_and_does_not_contain_it(tokens: Tokens):
    header = jwt.get_unverified_header(tokens.issue(USER))
    assert header == {"alg": "HS256", "typ": "JWT", "kid": key_id(SECRET)}
    assert key_id(SECRET) != key_id(OLD_SECRET)


@pytest.mark.parametrize("secret", [OLD_SECRET, NEXT_SECRET])
async def test_tokens_of_accepted_secrets_pass_and_none_are_issued(tokens, secret: str):
    signed_elsewhere = Tokens(secret, Users().find).issue(USER)
    assert await tokens.user_of(f"Bearer {signed_elsewhere}") == USER
    with pytest.raises(ProblemError, match="unauthenticated"):
        await Tokens(secret, Users().find).user_of(f"Bearer {tokens.issue(USER)}")


async def test_a_token_without_kid_is_checked_with_the_signing_secret(tokens: Tokens):
    assert await tokens.user_of(f"Bearer {signed()}") == USER
    with pytest.raises(ProblemError, match="unauthenticated"):
        await tokens.user_of(f"Bearer {signed(key=OLD_SECRET)}")


async def test_a_token_refused_by_its_header_causes_no_look_up(tokens: Tokens, users: Users):
    for header in ({"kid": "x"}, {"jku": "http://127.0.0.1:1/keys"}, {"crit": ["exp"]}):
        with pytest.raises(ProblemError):
            await tokens.user_of(f"Bearer {signed(header)}")
    assert users.look_ups == 0


async def test_a_cached_token_expires(tokens: Tokens, monkeypatch: pytest.MonkeyPatch):
    token = tokens.issue(USER)
    await tokens.user_of(f"Bearer {token}")
    monkeypatch.setattr("gateway.identity.tokens.time.time", lambda: NOW + 2 * LIFETIME_SECONDS)
    with pytest.raises(ProblemError, match="unauthenticated"):
        await tokens.user_of(f"Bearer {token}")


def about_now(iat: int = 0, exp: int = 300, **nbf: int) -> str:
    """Return a token whose claims lie so many seconds from now."""
    now = int(time.time())
    return signed(
        iat=now + iat, exp=now + exp, **{name: now + value for name, value in nbf.items()}
    )


@pytest.mark.parametrize(
    "seconds",
    [{"iat": 1}, {"iat": LEEWAY_SECONDS - 2}, {"nbf": 1}, {"iat": -300, "exp": -1}],
    ids=str,
)
async def test_clocks_may_differ_by_some_seconds(tokens: Tokens, seconds: dict[str, int]):
    assert await tokens.user_of(f"Bearer {about_now(**seconds)}") == USER


@pytest.mark.parametrize("beyond", [LEEWAY_SECONDS + 5])
async def test_clocks_may_not_differ_by_more(tokens: Tokens, beyond: int):
    for seconds in ({"iat": beyond}, {"nbf": beyond}, {"iat": -300, "exp": -beyond}):
        with pytest.raises(ProblemError, match="unauthenticated"):
            await tokens.user_of(f"Bearer {about_now(**seconds)}")


async def test_a_cached_token_has_the_same_leeway(tokens: Tokens, monkeypatch: pytest.MonkeyPatch):
    token = signed(exp=NOW + LIFETIME_SECONDS)
    await tokens.user_of(f"Bearer {token}")
    for seconds, valid in ((LEEWAY_SECONDS - 1, True), (LEEWAY_SECONDS, False)):
        now = NOW + LIFETIME_SECONDS + seconds
        monkeypatch.setattr("gateway.identity.tokens.time.time", lambda now=now: now)
        if valid:
            assert await tokens.user_of(f"Bearer {token}") == USER
        else:
            with pytest.raises(ProblemError, match="unauthenticated"):
                await tokens.user_of(f"Bearer {token}")


async def test_cached_tokens_have_a_bound(tokens, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.identity.tokens.MAX_KNOWN_TOKENS", 3)
    for second in range(10):
        await tokens.user_of(f"Bearer {signed(exp=NOW + 1_000 + second)}")
    assert len(tokens._known) == 3


REFUSED = {
    "no JWT": "x",
    "empty": "",
    "three empty parts": "..",
    "unsigned": unsigned({"alg": "none", "typ": "JWT"}),
    "unsigned, spelt otherwise": unsigned({"alg": "nOnE", "typ": "JWT"}),
    "wrongly signed": signed(key="another secret, also of more than 32 bytes"),
    "signed with a public key": signed_by_hand({}, key=PUBLIC_KEY),
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
    "expired": signed(iat=NOW - 100, exp=NOW - LEEWAY_SECONDS - 1),
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
    "kid of a secret that we do not have": signed(
        {"kid": key_id("another secret, also of more than 32 bytes")},
        key="another secret, also of more than 32 bytes",
    ),
    "kid of another of our secrets": signed({"kid": key_id(OLD_SECRET)}),
    "kid of ours, and jku": signed({"kid": key_id(SECRET), "jku": "http://127.0.0.1:1/keys"}),
    "kid of ours, and crit": signed({"kid": key_id(SECRET), "crit": ["kid"]}),
    "kid null": signed_by_hand({"kid": None}),
    "kid a list": signed_by_hand({"kid": [key_id(SECRET)]}),
    "kid an object": signed_by_hand({"kid": {key_id(SECRET): 1}}),
    "kid true": signed_by_hand({"kid": True}),
    "kid empty": signed({"kid": ""}),
    "x5c": signed({"x5c": ["AAAA"]}),
    "jku": signed({"jku": "http://127.0.0.1:1/keys"}),
    "x5u": signed({"x5u": "http://127.0.0.1:1/keys"}),
    "jwk": signed({"jwk": {"kty": "oct", "k": "AAAA"}}),
    "crit": signed({"crit": ["exp"]}),
    "another typ": signed({"typ": "at+jwt"}),
    "no typ": signed({"typ": None}),
    "kid a number": signed_by_hand({"kid": 1}),
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
    assert await tokens.user_of(f"Bearer {signed_by_hand({})}") == USER
    with pytest.raises(ProblemError, match="unauthenticated"):
        await tokens.user_of(f"Bearer {signed_by_hand({}, sub=42)}")


@pytest.mark.parametrize("authorization", [None, "", "Basic YTpi", "Token x"])
async def test_without_a_token_only_the_challenge_is_said(tokens, authorization: str | None):
    with pytest.raises(ProblemError) as refused:
        await tokens.user_of(authorization)
    assert refused.value.response().headers["WWW-Authenticate"] == 'Bearer realm="holdfast"'


async def test_the_sender_of_a_command_is_not_looked_up(tokens: Tokens, users: Users):
    stranger = new_id()
    assert tokens.sender_of(f"Bearer {signed(sub=stranger)}") == stranger
    assert users.look_ups == 0


async def test_a_token_that_sent_a_command_reads_only_if_its_user_exists(tokens, users: Users):
    gone, present = signed(sub=new_id()), signed()
    tokens.sender_of(f"Bearer {gone}")
    tokens.sender_of(f"Bearer {present}")
    assert [await tokens.user_of(f"Bearer {present}") for _ in range(2)] == [USER, USER]
    assert users.look_ups == 1
    for _ in range(2):
        with pytest.raises(ProblemError, match="unauthenticated"):
            await tokens.user_of(f"Bearer {gone}")


SENDER_REFUSED = {name: token for name, token in REFUSED.items() if name != "user gone"}


@pytest.mark.parametrize("token", SENDER_REFUSED.values(), ids=SENDER_REFUSED.keys())
async def test_a_sender_is_refused_for_the_same_tokens(tokens: Tokens, token: str):
    with pytest.raises(ProblemError, match="unauthenticated"):
        tokens.sender_of(f"Bearer {token}")


async def test_the_header_of_an_own_token_is_not_parsed_to_find_its_secret(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
):
    def parsed(token: str) -> None:
        pytest.fail(f"parsed: {token}")

    monkeypatch.setattr(jwt, "get_unverified_header", parsed)
    for secret in (SECRET, OLD_SECRET, NEXT_SECRET):
        token = Tokens(secret, Users().find).issue(USER)
        assert tokens.sender_of(f"Bearer {token}") == USER
        head, payload, signature = token.split(".")
        for forged in (
            f"{head}.{payload}.{signature[::-1]}",
            f"{head}.{part({**CLAIMS, 'sub': new_id()})}.{signature}",
            f"{head}.{payload}.",
            f"{head}.{payload}",
            head,
            signed({"kid": key_id(secret)}, key="another secret, also of more than 32 bytes"),
        ):
            with pytest.raises(ProblemError, match="unauthenticated"):
                tokens.sender_of(f"Bearer {forged}")
