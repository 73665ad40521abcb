"""The routes of accounts: registration, log-in, and the user of a token."""

from typing import Annotated, Any, Literal
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from gateway.http.envelope import new_user_envelope
from gateway.http.json_response import JsonResponse
from gateway.http.openapi import (
    Succeeded,
    command_responses,
    describe_request,
    problem_responses,
)
from gateway.http.problems import BODY_PROBLEMS, USER_PROBLEMS, ProblemError, invalid_request
from gateway.http.request_body import read_body, read_json
from gateway.http.submit_command import submit
from gateway.identity.authentication import current_user
from gateway.identity.client_address import client_address
from gateway.identity.passwords import opaque_string
from gateway.identity.tokens import CHALLENGE, LIFETIME_SECONDS
from gateway.services import Services, services_of
from shared.bodies import Body
from shared.commands import RegisterUser
from shared.fields import MAX_EMAIL_CHARACTERS, Email, normal_email
from shared.outcomes import User, UserResult

FORM = "application/x-www-form-urlencoded"

router = APIRouter(prefix="/v1", tags=["accounts"])
_USER = TypeAdapter(User)

MIN_PASSWORD_CHARACTERS = 12
MAX_PASSWORD_CHARACTERS = 128
MAX_TYPED_CHARACTERS = 512
"""At log-in: a keyboard may send a character as a letter with up to three combining marks."""


def _new_password(text: str) -> str:
    """Return the normal form of a password, whose characters count. Raises for a bad one."""
    try:
        password = opaque_string(text)
    except ValueError as error:
        raise PydanticCustomError("password", str(error)) from None
    if not MIN_PASSWORD_CHARACTERS <= len(password) <= MAX_PASSWORD_CHARACTERS:
        raise PydanticCustomError(
            "password",
            f"must have {MIN_PASSWORD_CHARACTERS} to {MAX_PASSWORD_CHARACTERS} characters",
        )
    return password


NewPassword = Annotated[
    str,
    AfterValidator(_new_password),
    WithJsonSchema(
        {
            "type": "string",
            "format": "password",
            "minLength": MIN_PASSWORD_CHARACTERS,
            "maxLength": MAX_PASSWORD_CHARACTERS,
        }
    ),
]


class Registration(Body):
    email: Annotated[Email, Field(examples=["ada@example.com"])]
    password: Annotated[NewPassword, Field(examples=["correct horse battery"])]


class Login(BaseModel):
    """The form of OAuth2's password flow (RFC 6749, section 4.3.2)."""

    model_config = ConfigDict(frozen=True)

    grant_type: Literal["password"] = "password"
    username: Annotated[
        str,
        Field(
            max_length=MAX_EMAIL_CHARACTERS,
            description="The e-mail address.",
            examples=["ada@example.com"],
        ),
    ]
    # Text that cannot be a password is a wrong password. The bound limits the cost of hashing.
    password: Annotated[
        str,
        Field(
            max_length=MAX_TYPED_CHARACTERS,
            json_schema_extra={"format": "password"},
            examples=["correct horse battery"],
        ),
    ]


class Token(BaseModel):
    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - no password
    expires_in: Annotated[int, Field(description="Seconds.")] = LIFETIME_SECONDS


LOGIN_FORM: dict[str, Any] = {
    "requestBody": {"required": True, "content": {FORM: {"schema": Login.model_json_schema()}}}
}


@router.post(
    "/users",
    status_code=201,
    summary="Register",
    response_model=Succeeded[UserResult],
    responses=command_responses(
        201, "email_taken", "too_many_attempts", "overloaded", *BODY_PROBLEMS
    ),
    openapi_extra=describe_request(authentication="none", command=True, body=Registration),
)
async def register_user(request: Request) -> Response:
    """Register with an e-mail address and a password of 12 to 128 characters."""
    services = services_of(request)
    envelope = new_user_envelope(request)
    body = await read_json(request, Registration)
    password_hash = await services.passwords.hash(body.password, envelope["command_id"])
    command = RegisterUser(**envelope, email=body.email, password_hash=password_hash)
    if "idempotency-key" not in request.headers:  # a key that the gateway generated is new
        return await submit(request, command, location="/v1/me")
    # A repetition reveals whether its password is that of the first, as a log-in does. And its
    # key is the user's ID, which is public for organizers.
    address = client_address(request, services.settings.trusted_proxy_hops)
    async with services.login_throttle.attempt(command.email.lower(), address):
        return await submit(request, command, location="/v1/me")


@router.post(
    "/tokens",
    summary="Log in",
    response_model=Token,
    openapi_extra=LOGIN_FORM,
    responses=problem_responses(
        "invalid_credentials",
        "too_many_attempts",
        "invalid_request",
        *BODY_PROBLEMS,
        "overloaded",
        "database_unavailable",
        "internal",
    ),
)
async def create_token(request: Request) -> Response:
    """Get a bearer token for an e-mail address and a password.

    After five wrong passwords within a minute from one address, further log-ins from there are
    refused; after thirty within ten minutes for one account, further log-ins to it from addresses
    where it has not logged in lately.
    """
    login = _read_login(await read_body(request, FORM))
    services = services_of(request)
    email = _normal_email(login.username)
    account = (email or login.username).lower()
    address = client_address(request, services.settings.trusted_proxy_hops)
    async with services.login_throttle.attempt(account, address):
        user_id = await _user_with_password(services, email, login.password)
    services.login_throttle.remember_device(account, address)
    token = Token(access_token=services.tokens.issue(user_id))
    return JsonResponse(token.model_dump_json().encode())


@router.get(
    "/me",
    summary="Read your account",
    response_model=User,
    responses=problem_responses(*USER_PROBLEMS, "overloaded", "internal"),
    openapi_extra=describe_request(),
)
async def read_me(request: Request) -> Response:
    """The user whose token this is."""
    user = await services_of(request).queries.user(await current_user(request))
    if user is None:
        raise ProblemError("unauthenticated")
    return JsonResponse(_USER.dump_json(user))


def _normal_email(text: str) -> str | None:
    """Return the address as it would be registered, or None if it cannot be."""
    try:
        return normal_email(text)
    except ValueError:
        return None


async def _user_with_password(services: Services, email: str | None, password: str) -> str:
    """Return the ID of the user. Raises `invalid_credentials`, in the same time without a user."""
    credentials = await services.queries.credentials(email) if email else None
    password_hash = credentials.password_hash if credentials else None
    if not await services.passwords.matches(password, password_hash) or credentials is None:
        raise ProblemError("invalid_credentials", headers=CHALLENGE)
    return credentials.user_id


def _read_login(body: bytes) -> Login:
    try:
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise invalid_request([{"loc": ["body"], "msg": "must be a form"}]) from None
    if repeated := [name for name, values in fields.items() if len(values) > 1]:
        raise invalid_request([{"loc": ["body"], "msg": "repeated field"} for _ in repeated])
    try:
        return Login.model_validate({name: values[0] for name, values in fields.items()})
    except ValidationError as error:
        raise invalid_request(error.errors(), where="body") from None
