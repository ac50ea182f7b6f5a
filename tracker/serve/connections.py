"""Connections of uvicorn, of which those that ask nothing never keep others out."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from tracker.serve.guard import Receive, RefusedError, Scope, Send, refuse

MOST_CONNECTIONS = 64
# From the beginning of a connection, or of a request after another, until its headers must be there.
_PATIENCE_S = 10.0


class Connection(H11Protocol):
    """Ends where no request comes in time, or earlier where others need its place; beyond the limit 503 is answered."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room for a newcomer."""
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > MOST_CONNECTIONS:
            others = (other for other in self.connections if isinstance(other, Connection) and other is not self)
            idle = [(other._late.when(), id(other), other) for other in others if other._late]
            if idle:
                min(idle)[2].drop()
            else:
                self.app: Any = _refuse

    def data_received(self, data: bytes) -> None:
        """Take what is sent; a part of a request's headers is no request."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._wait()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def drop(self) -> None:
        """Hang up."""
        self._stop_waiting()
        self.transport.abort()

    def _wait(self) -> None:
        self._late = self._late or self.loop.call_later(_PATIENCE_S, self.drop)

    def _stop_waiting(self) -> None:
        if self._late:
            self._late.cancel()
            self._late = None


async def _refuse(_scope: Scope, _receive: Receive, send: Send) -> None:
    await refuse(RefusedError(503, "as many are connected as may be; try again in a few seconds"), send)
