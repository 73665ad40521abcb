"""Bearer tokens (RFC 6750, RFC 7519): signs them, and tells whose they are."""

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
MAX_AUTHORIZATION_CHARACTERS = 1_024
"""Three times what a token of ours takes: headers are kept as they came."""
MAX_KNOWN_TOKENS = 50_000
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="holdfast"'}
"""Where there is no token, nothing is wrong with it (RFC 6750, section 3)."""

_HEADER = {"alg": ALGORITHM, "typ": "JWT"}
_REQUIRED = ["exp", "iat", "sub", "iss", "aud"]
_UUID: TypeAdapter[str] = TypeAdapter(Id)


class Tokens:
    """Signs tokens, and verifies each one once: what was found is kept until it expires."""

    def __init__(
        self,
        secret: str,
        find_user: Callable[[str], Awaitable[User | None]],
        accepted_secrets: Sequence[str] = (),
    ) -> None:
        self._secret = secret
        self._key_id = key_id(secret)
        self._secrets = {key_id(each): each for each in (secret, *accepted_secrets)}
        self._find_user = find_user
        self._known: OrderedDict[str, tuple[str, int]] = OrderedDict()

    async def user_of(self, authorization: str | None) -> str:
        """Return the ID of the user whom an Authorization header names.

        Raises `unauthenticated`, or `database_unavailable`.
        """
        if authorization is None:
            raise ProblemError("unauthenticated", headers=CHALLENGE)
        known = self._known.get(authorization)
        if known is None:
            known = await self._verify(authorization)
        user_id, expires_at = known
        if expires_at <= time.time():
            raise ProblemError("unauthenticated")
        return user_id

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

    async def _verify(self, authorization: str) -> tuple[str, int]:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise ProblemError("unauthenticated", headers=CHALLENGE)
        if len(authorization) > MAX_AUTHORIZATION_CHARACTERS:
            raise ProblemError("unauthenticated")
        claims = self._claims(token.strip())
        if await self._find_user(claims["sub"]) is None:
            raise ProblemError("unauthenticated")
        known = self._known[authorization] = (claims["sub"], claims["exp"])
        if len(self._known) > MAX_KNOWN_TOKENS:
            self._known.popitem(last=False)
        return known

    def _claims(self, token: str) -> dict[str, Any]:
        """Return the claims of a token that is signed by us, in force, and as we make them."""
        try:
            secret = self._secret_for(jwt.get_unverified_header(token))
            claims: dict[str, Any] = jwt.decode(
                token,
                secret,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                options={"require": _REQUIRED, "strict_aud": True},
            )
            claims["sub"] = _UUID.validate_python(claims["sub"])
        # Beside its own errors, PyJWT lets through what numbers and nesting do to a JSON parser.
        except (jwt.PyJWTError, ValidationError, ValueError, OverflowError, RecursionError):
            raise ProblemError("unauthenticated") from None
        issued_at, expires_at = claims["iat"], claims["exp"]
        if type(issued_at) is not int or type(expires_at) is not int:
            raise ProblemError("unauthenticated")
        if expires_at - issued_at > LIFETIME_SECONDS:
            raise ProblemError("unauthenticated")
        return claims

    def _secret_for(self, header: dict[str, Any]) -> str:
        """Return the secret that a token of ours with this header was signed with.

        A token picks among the secrets that we hold, and is otherwise not asked: nothing is
        fetched or read by what it says (jku, x5u, jwk, crit). One that names no key, from
        before keys had names, can only be of the secret that signs.
        """
        named = header.pop("kid", self._key_id)
        secret = self._secrets.get(named) if isinstance(named, str) else None
        if secret is None or header != _HEADER:
            raise ProblemError("unauthenticated")
        return secret


def key_id(secret: str) -> str:
    """Return the name of a secret: the same at every gateway, and no way back to the secret."""
    return hmac.digest(secret.encode(), b"holdfast token key", "sha256")[:8].hex()
