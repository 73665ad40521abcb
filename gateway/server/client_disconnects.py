"""Tells a request that waits when its client has left: nobody wants the answer any more."""

from collections.abc import Callable, MutableMapping
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway.server.heads import HeadsProtocol

ON_DISCONNECT = "holdfast.on_departure"
"""Where a request puts what is to be called, in its ASGI scope. To await `http.disconnect`, as
ASGI has it, takes a task a request; this takes nothing until somebody leaves."""

Scope = MutableMapping[str, Any]


def _nobody() -> None:
    """Is called where a client has left before anybody wanted to know, and remains to tell."""


def on_disconnect(scope: Scope, call: Callable[[], None]) -> None:
    """Let `call` be called when the client closes its connection; at once where it has."""
    if scope.get(ON_DISCONNECT) is _nobody:
        call()
    else:
        scope[ON_DISCONNECT] = call


class DisconnectProtocol(HeadsProtocol):
    """uvicorn's protocol, which looks into the scope when the connection is lost."""

    served: RequestResponseCycle | None = None
    """The request that is answered now, or was last; `cycle` is the newest that was read."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self.served = cycle
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        served = self.served
        if served is None or served.response_complete:
            return
        # uvicorn tells the newest only.
        served.disconnected = True
        served.message_event.set()
        scope = cast("Scope", served.scope)
        tell = scope.get(ON_DISCONNECT, _nobody)
        scope[ON_DISCONNECT] = _nobody
        tell()
