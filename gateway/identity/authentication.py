"""Who asks: the user whose bearer token a request carries."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer

from gateway.services import services_of

LOGIN_URL = "/v1/tokens"
PASSWORD_FLOW = OAuth2PasswordBearer(
    LOGIN_URL,
    auto_error=False,
    description="Register with `POST /v1/users`, then authorize with your e-mail and password.",
)
ShowsAuthorize = Annotated[str | None, Depends(PASSWORD_FLOW)]
"""Declares to OpenAPI that a token is needed; what it gives is not used."""


async def current_user(request: Request, _: ShowsAuthorize = None) -> str:
    """Return the ID of the user whose token the request bears. Raises `unauthenticated`."""
    return await services_of(request).tokens.user_of(request.headers.get("authorization"))


CurrentUser = Annotated[str, Depends(current_user)]
