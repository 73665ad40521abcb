"""Reads the heads of requests more strictly than uvicorn: no longer than we bear, with one Host,
and without what they would upgrade to."""

from typing import Literal

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from gateway.http.problems import ProblemError
from gateway.server.one_write import OneWriteProtocol

MAX_HEAD_BYTES = 64 * 1024
"""Of a head that comes in pieces; one that comes at once is no longer than a read of the socket."""


class HeadsProtocol(OneWriteProtocol):
    """uvicorn's protocol, with a look at each head."""

    _head_bytes = 0
    """Of a head that has begun and is not complete."""
    _would_upgrade = False

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        while data:
            data = self._parse(data)

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise ValueError("nobody is connected to anybody else")
            self._would_upgrade = True
            return
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts != 1 and (hosts or self.parser.get_http_version() == "1.1"):
            raise ValueError("one Host is needed")  # RFC 9112, section 3.2
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self._would_upgrade:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse("malformed_request")

    def _parse(self, data: bytes) -> bytes:
        """Return what is left to be parsed."""
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as stopped:
            # The parser holds what follows for another protocol's, a body too. Nobody has to obey
            # an Upgrade (RFC 9110, section 7.8): we read the head again as if it had none.
            head = self._head_without_upgrade()
            self._would_upgrade = False
            self.parser = HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            return head + data[stopped.args[0] :]
        except HttpParserError:
            self._refuse("malformed_request")
            return b""
        self._head_bytes = self._head_bytes + len(data) if self._is_in_a_head() else 0
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse("head_too_large")
        return b""

    def _is_in_a_head(self) -> bool:
        return self.scope is not None and (self.cycle is None or self.cycle.scope is not self.scope)

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            kept = value
            if name == b"connection":
                tokens = [token.strip() for token in value.split(b",")]
                kept = b", ".join(token for token in tokens if token.lower() != b"upgrade")
            if kept and name != b"upgrade":
                lines.append(b"%b: %b" % (name, kept))
        return b"\r\n".join((*lines, b"", b""))

    def _refuse(self, code: Literal["malformed_request", "head_too_large"]) -> None:
        """Answer with a problem, and close: nobody knows where the next request would begin."""
        response = ProblemError(code).response()
        headers = [*self.server_state.default_headers, *response.raw_headers]
        reason = "Bad Request" if response.status_code == 400 else "Request Header Fields Too Large"
        head = [
            b"HTTP/1.1 %d %b\r\n" % (response.status_code, reason.encode()),
            *(b"%b: %b\r\n" % header for header in headers),
            b"connection: close\r\n\r\n",
        ]
        self.write_at_once(b"".join(head) + bytes(response.body))
        self.transport.close()
