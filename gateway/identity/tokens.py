"""Signs and verifies bearer tokens (RFC 6750, RFC 7519)."""

import hmac
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import jwt
from pydantic import TypeAdapter, ValidationError

from gateway.http.problems import ProblemError
from shared.ids import Id
from shared.outcomes import User

ALGORITHM = "HS256"
ISSUER = AUDIENCE = "holdfast"
LIFETIME_SECONDS = 3_600
LEEWAY_SECONDS = 10
"""How far the clocks of two gateways may differ; applies to `iat`, `nbf` and `exp`."""
MAX_AUTHORIZATION_CHARACTERS = 1_024
"""Three times the length of a token of ours; the cache keeps headers as they arrive."""
MAX_KNOWN_TOKENS = 50_000
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="holdfast"'}
"""For a request without a token: it names no error (RFC 6750, section 3.1)."""

_HEADER = {"alg": ALGORITHM, "typ": "JWT"}
_REQUIRED = ["exp", "iat", "sub", "iss", "aud"]
_UUID: TypeAdapter[str] = TypeAdapter(Id)


class _Known:
    """A token that was verified."""

    __slots__ = ("expires_at", "user_exists", "user_id")

    def __init__(self, user_id: str, expires_at: int) -> None:
        self.user_id = user_id
        self.expires_at = expires_at
        self.user_exists = False
        """Whether the user has been found. Users are never deleted, so it stays true."""


class Tokens:
    """Signs tokens, and verifies each one once: a cache keeps its user until it expires."""

    def __init__(
        self,
        secret: str,
        find_user: Callable[[str], Awaitable[User | None]],
        accepted_secrets: Sequence[str] = (),
    ) -> None:
        self._secret = secret
        self._key_id = key_id(secret)
        self._secrets = {key_id(each): each for each in (secret, *accepted_secrets)}
        self._secrets_by_own_header = {
            _encoded_header(name): each for name, each in self._secrets.items()
        }
        """The encoded headers of the tokens that gateways issue: they need not be parsed to find
        the secret."""
        self._find_user = find_user
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def user_of(self, authorization: str | None) -> str:
        """Return the ID of the user whose token an Authorization header carries, and who exists.

        Raises `unauthenticated`, or `database_unavailable`.
        """
        known = self._known_token(authorization)
        if not known.user_exists:
            if await self._find_user(known.user_id) is None:
                raise ProblemError("unauthenticated")
            known.user_exists = True
        return known.user_id

    def sender_of(self, authorization: str | None) -> str:
        """Return the ID of the user whose token an Authorization header carries.

        Whether the user exists is left to the worker, which decides it under a lock for every
        command. Raises `unauthenticated`.
        """
        return self._known_token(authorization).user_id

    def _known_token(self, authorization: str | None) -> _Known:
        if authorization is None:
            raise ProblemError("unauthenticated", headers=CHALLENGE)
        known = self._known.get(authorization)
        if known is None:
            known = self._verify(authorization)
        if known.expires_at + LEEWAY_SECONDS <= time.time():
            raise ProblemError("unauthenticated")
        return known

    def issue(self, user_id: str) -> str:
        """Return a token that is valid for `LIFETIME_SECONDS`."""
        now = int(time.time())
        claims = {
            "sub": user_id,
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
            "iss": ISSUER,
            "aud": AUDIENCE,
        }
        return jwt.encode(claims, self._secret, ALGORITHM, {"kid": self._key_id})

    def _verify(self, authorization: str) -> _Known:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise ProblemError("unauthenticated", headers=CHALLENGE)
        if len(authorization) > MAX_AUTHORIZATION_CHARACTERS:
            raise ProblemError("unauthenticated")
        claims = self._claims(token.strip())
        known = self._known[authorization] = _Known(claims["sub"], claims["exp"])
        if len(self._known) > MAX_KNOWN_TOKENS:
            self._known.popitem(last=False)
        return known

    def _claims(self, token: str) -> dict[str, Any]:
        """Return the claims of a token that a gateway signed and that is valid now."""
        try:
            secret = self._secrets_by_own_header.get(token.partition(".")[0])
            if secret is None:
                secret = self._secret_for(jwt.get_unverified_header(token))
            claims: dict[str, Any] = jwt.decode(
                token,
                secret,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                leeway=LEEWAY_SECONDS,
                options={"require": _REQUIRED, "strict_aud": True},
            )
            claims["sub"] = _UUID.validate_python(claims["sub"])
        # PyJWT passes on the errors of its JSON parser for large numbers and deep nesting.
        except (jwt.PyJWTError, ValidationError, ValueError, OverflowError, RecursionError):
            raise ProblemError("unauthenticated") from None
        issued_at, expires_at = claims["iat"], claims["exp"]
        if type(issued_at) is not int or type(expires_at) is not int:
            raise ProblemError("unauthenticated")
        if expires_at - issued_at > LIFETIME_SECONDS:
            raise ProblemError("unauthenticated")
        return claims

    def _secret_for(self, header: dict[str, Any]) -> str:
        """Return the secret that `kid` names among the configured ones.

        A header with any other member (jku, x5u, jwk, crit) is refused: a token must not choose
        its key. A token without `kid`, from before keys had names, uses the signing secret.
        """
        named = header.pop("kid", self._key_id)
        secret = self._secrets.get(named) if isinstance(named, str) else None
        if secret is None or header != _HEADER:
            raise ProblemError("unauthenticated")
        return secret


def _encoded_header(named: str) -> str:
    """Return the first part of each token that `issue` signs with the secret of this name."""
    return jwt.encode({}, "x" * 32, ALGORITHM, {"kid": named}).partition(".")[0]


def key_id(secret: str) -> str:
    """Return the `kid` of a secret: a digest, equal at every gateway."""
    return hmac.digest(secret.encode(), b"holdfast token key", "sha256")[:8].hex()
