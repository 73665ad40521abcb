"""Reads the Prefer header (RFC 7240): whether and how long the client awaits the outcome."""

import re
from dataclasses import dataclass
from functools import lru_cache

MAX_WAIT_SECONDS = 30
MAX_HEADER_CHARACTERS = 1_000
"""A longer header counts as malformed, so that parsing and caching stay cheap."""

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_WORD = rf"(?:{_NAME}|{_QUOTED})"
_VALUE = rf"(?:[ \t]*=[ \t]*({_WORD})?)?"
_PREFERENCE = re.compile(rf"[ \t]*({_NAME}){_VALUE}[ \t]*(?:;.*)?", re.DOTALL)
_ELEMENT = re.compile(rf"(?:{_QUOTED}|[^,])+")


@dataclass(frozen=True, slots=True)
class Preferences:
    """The preferences of a client; `wait_seconds` is None without `wait`."""

    wait_seconds: int | None = None
    respond_async: bool = False

    def wait_or(self, default_seconds: int) -> int:
        """Return how long to await the outcome: the preferred time, else `default_seconds`."""
        if self.wait_seconds is not None:
            return self.wait_seconds
        return 0 if self.respond_async else default_seconds

    def applied(self, *, answered_async: bool) -> str | None:
        """Return the value of Preference-Applied; None if no preference was applied."""
        applied = []
        if self.respond_async and answered_async:
            applied.append("respond-async")
        if self.wait_seconds is not None:
            applied.append(f"wait={self.wait_seconds}")
        return ", ".join(applied) or None


NO_PREFERENCES = Preferences()


def read_preferences(headers: list[str]) -> Preferences:
    """Read all Prefer headers of a request as one list; a malformed preference counts as absent."""
    header = ", ".join(headers)
    return _read(header) if 0 < len(header) <= MAX_HEADER_CHARACTERS else NO_PREFERENCES


@lru_cache(maxsize=256)
def _read(header: str) -> Preferences:
    preferences: dict[str, str] = {}
    for element in _ELEMENT.findall(header):
        if match := _PREFERENCE.fullmatch(element):
            # Of a repeated preference the first counts (RFC 7240, section 2).
            preferences.setdefault(match[1].lower(), (match[2] or "").strip('"'))
    return Preferences(
        wait_seconds=_seconds(preferences.get("wait", "")),
        respond_async=preferences.get("respond-async") == "",
    )


def _seconds(text: str) -> int | None:
    return min(int(text), MAX_WAIT_SECONDS) if text.isascii() and text.isdigit() else None
