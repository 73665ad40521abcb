"""Tells a request that waits when its client has left: nobody wants the answer any more."""

from collections.abc import Callable, MutableMapping
from typing import Any

from gateway.connections.one_write import OneWriteProtocol

ON_DEPARTURE = "holdfast.on_departure"
"""Where a request puts what is to be called, in its ASGI scope. To await `http.disconnect`, as
ASGI has it, takes a task a request; this takes nothing until somebody leaves."""

Scope = MutableMapping[str, Any]


def on_departure(scope: Scope, call: Callable[[], None]) -> None:
    """Let `call` be called when the client closes its connection."""
    scope[ON_DEPARTURE] = call


class DepartureProtocol(OneWriteProtocol):
    """uvicorn's protocol, which looks into the scope when the connection is lost."""

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        scope: Scope = {} if self.cycle is None else dict(self.cycle.scope)
        if ON_DEPARTURE in scope:
            scope[ON_DEPARTURE]()
