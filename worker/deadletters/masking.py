"""Hides what a dead letter should not show to a bystander: e-mail addresses and password hashes."""

import re
from typing import Any, get_args

from shared.commands import Command, Line

MASK = "***"
SECRET_FIELDS = {"email", "password_hash"}
SHOWN_FIELDS = {field for kind in get_args(Command) for field in kind.model_fields}.union(
    Line.model_fields
) - SECRET_FIELDS

_SECRET = re.compile(r"[^\s\"'<>@]+@[^\s\"'<>@]+|\$argon2\S*")


def masked(value: Any) -> Any:
    """Return JSON content with only that in it which a command's harmless fields may say.

    What cannot be read as a command may say anything anywhere: a text in a field that no command
    has is hidden as a whole.
    """
    if isinstance(value, dict):
        return {mask_text(name): _masked_field(name, content) for name, content in value.items()}
    if isinstance(value, list):
        return [masked(content) for content in value]
    return mask_text(value) if isinstance(value, str) else value


def mask_text(text: str) -> str:
    """Return a text without e-mail addresses and password hashes."""
    return _SECRET.sub(MASK, text)


def _masked_field(name: str, content: Any) -> Any:
    if name in SHOWN_FIELDS or isinstance(content, dict):
        return masked(content)
    if isinstance(content, list):
        return [_masked_field(name, one) for one in content]
    return MASK if isinstance(content, str) else content
