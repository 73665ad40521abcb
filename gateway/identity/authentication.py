"""Identifies the user of a request by its bearer token.

There is one Authorization header at most: `RequestHeadMiddleware` refuses a repeated one.
"""

from fastapi import Request
from fastapi.security import OAuth2PasswordBearer
from starlette.types import Scope

from gateway.http.problems import ProblemError
from gateway.identity.client_address import client_address
from gateway.services import services_of

LOGIN_URL = "/v1/tokens"
PASSWORD_FLOW = OAuth2PasswordBearer(
    LOGIN_URL,
    auto_error=False,
    description="Register with `POST /v1/users`, then authorize with your e-mail and password.",
)
"""Describes to OpenAPI how a client gets a token."""


async def current_user(request: Request) -> str:
    """Return the ID of the user whose token the request bears, after checking that the user exists.

    Raises `unauthenticated` or `database_unavailable`.
    """
    return await services_of(request).tokens.user_of(request.headers.get("authorization"))


def command_sender(request: Request) -> str:
    """Return the user ID in the token of a command; the worker checks that the user exists.

    Raises `unauthenticated`.
    """
    return services_of(request).tokens.sender_of(request.headers.get("authorization"))


def client_of(scope: Scope) -> str:
    """Return what identifies the client: the user whose token it bears, else its address.

    Many users may share an address (NAT), so the address counts only for requests without a valid
    token.
    """
    request = Request(scope)
    try:
        return command_sender(request)
    except ProblemError:
        return client_address(request, services_of(request).settings.trusted_proxy_hops)
