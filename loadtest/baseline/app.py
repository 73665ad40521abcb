"""The HTTP side: a valid token reserves in one transaction and gets the result at once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.ext.asyncio import AsyncEngine

from loadtest.baseline.storage import SoldOutError, UnknownTicketTypeError, reserve
from shared.bodies import ReservationBody

BEARER = HTTPBearer()
AUDIENCE = "holdfast"


def create_app(engine: AsyncEngine, jwt_secret: str) -> FastAPI:
    """Create the app; it connects at the first request."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)

    async def current_user(
        bearer: Annotated[HTTPAuthorizationCredentials, Depends(BEARER)],
    ) -> str:
        try:
            claims = jwt.decode(
                bearer.credentials, jwt_secret, algorithms=["HS256"], audience=AUDIENCE
            )
        except jwt.PyJWTError:
            raise HTTPException(401) from None
        return str(claims["sub"])

    @app.post("/v1/reservations")
    async def reserve_tickets(
        body: ReservationBody,
        user_id: Annotated[str, Depends(current_user)],
        idempotency_key: Annotated[str, Header()],
    ) -> dict[str, object]:
        wanted = {line.ticket_type_id: line.quantity for line in body.items}
        try:
            hold_ids = await reserve(engine, user_id, wanted)
        except SoldOutError as error:
            refusal = {"code": "insufficient_availability", "command_id": idempotency_key}
            raise HTTPException(409, refusal) from error
        except UnknownTicketTypeError as error:
            refusal = {"code": "ticket_type_not_found", "command_id": idempotency_key}
            raise HTTPException(404, refusal) from error
        # The key is only given back: this design applies a retry a second time.
        return {"command_id": idempotency_key, "status": "succeeded", "holds": hold_ids}

    @app.get("/health/ready")
    async def ready() -> dict[str, str]:
        return {"status": "ok"}

    return app
