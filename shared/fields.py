"""The types of a command's fields that are text: times, names, e-mail addresses, password hashes.

Each says in words what it refuses, for the message reaches the client.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import idna
from pydantic import (
    AfterValidator,
    AwareDatetime,
    GetCoreSchemaHandler,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError, core_schema


class TextPattern:
    """Text that a regular expression describes; any other value is refused with `message`."""

    def __init__(
        self,
        pattern: str,
        message: str,
        *,
        min_length: int = 0,
        max_length: int | None = None,
        to_lower: bool = False,
    ) -> None:
        self._text = core_schema.str_schema(
            pattern=pattern, min_length=min_length, max_length=max_length, to_lower=to_lower
        )
        self._message = message

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.custom_error_schema(
            self._text, custom_error_type="text_pattern", custom_error_message=self._message
        )


# --- times ------------------------------------------------------------------------------------

# pydantic reads more than RFC 3339: numbers, also in quotes, and dates without a time.
_DATE_AND_MINUTE = "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:"
_FRACTION_AND_OFFSET = r"(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
_RFC3339_ERROR = "must be a time of RFC 3339 that exists, such as 2026-12-01T19:00:00Z"


class _Rfc3339:
    """Checks the text before pydantic reads it; only a leap second takes a call into Python."""

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        time = handler(source)
        usual = core_schema.str_schema(
            pattern=f"{_DATE_AND_MINUTE}[0-5][0-9]{_FRACTION_AND_OFFSET}"
        )
        leap = core_schema.str_schema(pattern=f"{_DATE_AND_MINUTE}60{_FRACTION_AND_OFFSET}")
        text = core_schema.custom_error_schema(
            core_schema.union_schema(
                [
                    core_schema.chain_schema([usual, time]),
                    core_schema.chain_schema(
                        [leap, core_schema.no_info_plain_validator_function(_after_leap_second)]
                    ),
                ],
                mode="left_to_right",
            ),
            custom_error_type="rfc3339",
            custom_error_message=_RFC3339_ERROR,
        )
        value = core_schema.chain_schema([core_schema.is_instance_schema(datetime), time])
        return core_schema.json_or_python_schema(text, core_schema.union_schema([value, text]))


def _after_leap_second(text: str) -> datetime:
    """Return the second after a leap second, which `datetime` cannot hold.

    RFC 3339, section 5.7: a leap second is 23:59:60 in UTC. Raises `ValueError` for any other.
    """
    try:
        before = datetime.fromisoformat(text.upper().replace(":60", ":59", 1)).astimezone(UTC)
        if (before.hour, before.minute, before.second) == (23, 59, 59):
            return before + timedelta(seconds=1)
    except OverflowError:
        pass
    raise ValueError


def _in_utc(at: datetime) -> datetime:
    try:
        in_utc = at.astimezone(UTC)
    except OverflowError:
        # An offset can lead out of the years 1 to 9999.
        raise PydanticCustomError("calendar", "lies outside of the calendar") from None
    if in_utc in _INFINITIES:
        raise PydanticCustomError("calendar", "lies at the end of the calendar")
    return in_utc


_INFINITIES = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
"""asyncpg writes these as -infinity and infinity, and reads them as times without an offset."""

Instant = Annotated[
    AwareDatetime,
    _Rfc3339(),
    AfterValidator(_in_utc),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""RFC 3339 text (section 5.6) with any offset on the wire, UTC from then on.

A leap second is read as the second after it.
"""

# --- names ------------------------------------------------------------------------------------

MAX_NAME_CHARACTERS = 200
# Control characters and line separators: a name is one line to every reader, and Postgres stores
# no NUL. Explicit directions: they would turn around the text that a page shows after the name.
_NOT_IN_A_NAME = r"\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069"
_NAME = rf"^[^{_NOT_IN_A_NAME}]*[^\s{_NOT_IN_A_NAME}][^{_NOT_IN_A_NAME}]*$"

Name = Annotated[
    str,
    TextPattern(
        _NAME,
        f"must be one line of 1 to {MAX_NAME_CHARACTERS} characters, not all of them spaces,"
        " without control characters and explicit text directions",
        min_length=1,
        max_length=MAX_NAME_CHARACTERS,
    ),
    WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": MAX_NAME_CHARACTERS, "pattern": _NAME}
    ),
]
"""One line of text for people."""

# --- e-mail addresses -------------------------------------------------------------------------

MAX_EMAIL_CHARACTERS = 254
"""The longest path of SMTP (RFC 5321, section 4.5.3.1.3), without its angle brackets."""
# The two sides of a valid e-mail address in the HTML standard (WHATWG, input type=email).
_LOCAL_PART = re.compile(r"[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+")
_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


def normal_email(text: str) -> str:
    """Return an e-mail address with its domain in ASCII, as DNS has it; the rest is kept.

    An international domain is mapped by UTS 46 and encoded by IDNA 2008 (RFC 5891), so that both
    its spellings are one address. The part before the @ is ASCII: RFC 6531 leaves it to the
    receiver which other spellings are the same mailbox. Raises `PydanticCustomError`.
    """
    local_part, at, domain = text.rpartition("@")
    if not at or "@" in local_part:
        raise _no_email("must be an e-mail address: a name, one @, and a domain")
    if not local_part.isascii():
        raise _no_email("must have only ASCII characters before the @")
    if not _LOCAL_PART.fullmatch(local_part):
        raise _no_email("must have a name before the @, without spaces and quotes")
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True, std3_rules=True).decode()
        except UnicodeError:  # idna's errors are some
            domain = ""
    if not _DOMAIN.fullmatch(domain):
        raise _no_email("must have the name of a domain after the @")
    if len(local_part) + 1 + len(domain) > MAX_EMAIL_CHARACTERS:
        raise _no_email(f"must have at most {MAX_EMAIL_CHARACTERS} characters")
    return f"{local_part}@{domain}"


def _no_email(message: str) -> PydanticCustomError:
    return PydanticCustomError("email", message)


Email = Annotated[
    str,
    StringConstraints(max_length=MAX_EMAIL_CHARACTERS),
    AfterValidator(normal_email),
    WithJsonSchema({"type": "string", "format": "idn-email", "maxLength": MAX_EMAIL_CHARACTERS}),
]
"""An e-mail address in the form of `normal_email`. Addresses that differ only in case are equal."""

# --- password hashes --------------------------------------------------------------------------

MAX_HASH_MEMORY_KIB = 65_536
"""What RFC 9106 asks for where memory is scarce; its first choice, 2 GiB, would end a gateway."""
MAX_HASH_ITERATIONS = 5
MAX_HASH_LANES = 4
MIN_SALT_BYTES = MIN_HASH_BYTES = 8
MAX_SALT_BYTES = MAX_HASH_BYTES = 64

_NUMBER = "([1-9][0-9]{0,9})"
_BASE64 = "([A-Za-z0-9+/]+)"
_ARGON2ID = rf"\$argon2id\$v=19\$m={_NUMBER},t={_NUMBER},p={_NUMBER}\${_BASE64}\${_BASE64}"
_PASSWORD_HASH = re.compile(_ARGON2ID)


def is_affordable_hash(text: str) -> bool:
    """Tell whether `text` is an argon2id hash (RFC 9106) that a gateway can afford to check."""
    found = _PASSWORD_HASH.fullmatch(text)
    if found is None:
        return False
    memory_kib, iterations, lanes = (int(number) for number in found.groups()[:3])
    salt_bytes, hash_bytes = (len(part) * 6 // 8 for part in found.groups()[3:])
    return (
        8 * lanes <= memory_kib <= MAX_HASH_MEMORY_KIB
        and iterations <= MAX_HASH_ITERATIONS
        and lanes <= MAX_HASH_LANES
        and MIN_SALT_BYTES <= salt_bytes <= MAX_SALT_BYTES
        and MIN_HASH_BYTES <= hash_bytes <= MAX_HASH_BYTES
    )


def _affordable(text: str) -> str:
    if not is_affordable_hash(text):
        raise PydanticCustomError(
            "password_hash",
            f"must be an argon2id hash of version 19 of at most {MAX_HASH_MEMORY_KIB} KiB,"
            f" {MAX_HASH_ITERATIONS} iterations and {MAX_HASH_LANES} lanes, with a salt and a hash"
            f" of {MIN_HASH_BYTES} to {MAX_HASH_BYTES} bytes",
        )
    return text


PasswordHash = Annotated[
    str,
    StringConstraints(max_length=256),
    AfterValidator(_affordable),
    WithJsonSchema({"type": "string", "maxLength": 256, "pattern": f"^{_ARGON2ID}$"}),
]
"""An argon2id hash in the form of the reference implementation ("$argon2id$v=19$m=…")."""
