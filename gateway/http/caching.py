"""Cache-Control of public pages, and conditional requests (RFC 9110, 13.1.2; RFC 5861)."""

import re
from hashlib import blake2b

from fastapi import Request
from starlette.responses import Response

from gateway.http.json_response import JsonResponse

PUBLIC = "public, max-age=1, stale-while-revalidate=5"
"""For pages that are equal for all clients. Durations in seconds."""
TAG_BYTES = 16
_OPAQUE_TAG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')


class PublicPage(JsonResponse):
    """A JSON document that is equal for all clients, with a strong `ETag` of its bytes."""

    def __init__(self, document: bytes) -> None:
        self.etag = f'"{blake2b(document, digest_size=TAG_BYTES).hexdigest()}"'
        headers = {"ETag": self.etag}
        super().__init__(document, headers=headers, cache_control=PUBLIC)
        self.not_modified = Response(status_code=304, headers={**headers, "Cache-Control": PUBLIC})


def unless_client_has_it(request: Request, page: Response) -> Response:
    """Return the page, or 304 if the request's `If-None-Match` names it."""
    if isinstance(page, PublicPage):
        for name, value in request.scope["headers"]:
            if name == b"if-none-match" and _names(value.decode("latin-1"), page.etag):
                return page.not_modified
    return page


def _names(if_none_match: str, etag: str) -> bool:
    """Compare weakly, as the standard requires: `W/` before a tag does not count."""
    return if_none_match.strip() == "*" or etag in _OPAQUE_TAG.findall(if_none_match)
