"""What stands before the application: whom it answers, how much it receives, and headers on every answer."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from tracker.job.web import SECURITY_HEADERS, Address
from tracker.serve.limits import Limits

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

# Of a form, beside the file in it.
_FORM_BYTES = 16_384
# Who sends less in the long run, but for the first seconds, keeps a place from others; the second rate holds while some
# are refused for want of one, and for so long after.
_LEAST_BYTES_PER_S, _LEAST_WHEN_FULL, _GRACE_S, _FULL_S = 10_000, 100_000, 5.0, 10.0
# What a refused sender may still send, and for how long, to be sure to get the answer.
_DRAINED_BYTES, _DRAINED_S = 256_000_000, 10.0


class RefusedError(Exception):
    """A request that is not answered as it wishes: the status of HTTP, and why, in a line for people."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Guard:
    """An ASGI application before another one."""

    def __init__(self, application: Application, limits: Limits, address: Address) -> None:
        self._application = application
        self._limits = limits
        self._address = address
        self._full_until_s = -math.inf

    @property
    def least_bytes_per_s(self) -> int:
        """How fast files must come."""
        is_full = asyncio.get_running_loop().time() < self._full_until_s
        return _LEAST_WHEN_FULL if is_full else _LEAST_BYTES_PER_S

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        body = _Body(receive, self._limits, self)
        has_begun = False

        async def send_on(message: MutableMapping[str, Any]) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                if message["status"] == 503:
                    self._full_until_s = asyncio.get_running_loop().time() + _FULL_S
                if not has_begun and message["status"] >= 400:
                    await body.drain()
                has_begun = True
                message = {**message, "headers": _with_security(message.get("headers", ()))}
            await send(message)

        if scope["method"] == "HEAD":  # of all that may be got; uvicorn sends no body
            scope = {**scope, "method": "GET"}
        try:
            self._check(scope)
            await self._application(scope, body.receive, send_on)
        except RefusedError as refused:
            if not has_begun:
                await refuse(refused, send_on)
        except asyncio.CancelledError:  # the server ends, and has waited long enough
            if not has_begun:
                await refuse(RefusedError(503, "the server ends; try again when it is back"), send)

    def _check(self, scope: Scope) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if self._address.refuses(host):
            raise RefusedError(421, _by_name(self._address))
        if scope["method"] != "GET" and _is_foreign(host, headers.get("sec-fetch-site"), headers.get("origin")):
            raise RefusedError(403, "pages of other sites may not send anything here; open the page of this server")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or int(length) > self._limits.upload_bytes + _FORM_BYTES:
            raise too_large(self._limits)


def _by_name(address: Address) -> str:
    names = "to the address and the name of this machine" if address.is_open else "to localhost and 127.0.0.1"
    return f"this server answers {names} alone; open it by these, or start it with --allow-host NAME"


def _is_foreign(host: str, site: str | None, origin: str | None) -> bool:
    """Whether a page of another site asks; a proxy may have changed the host, which browsers that tell the site see."""
    if site is not None:
        return site not in ("same-origin", "none")
    return origin is not None and urlsplit(origin).netloc.lower() != host.lower()


def too_large(limits: Limits) -> RefusedError:
    """What is said of a file beyond the limit."""
    return RefusedError(413, f"the file is larger than {limits.upload_mb:g} MB; make it smaller, or cut it")


async def refuse(refused: RefusedError, send: Send) -> None:
    """Answer with a reason as JSON."""
    content = json.dumps({"error": refused.reason}, ensure_ascii=False).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    if refused.status == 503:
        headers.append((b"retry-after", b"5"))
    await send({"type": "http.response.start", "status": refused.status, "headers": _with_security(headers)})
    await send({"type": "http.response.body", "body": content})


class _Body:
    """What a request sends, counted and timed."""

    def __init__(self, receive: Receive, limits: Limits, guard: Guard) -> None:
        self._receive = receive
        self._limits = limits
        self._guard = guard
        self._num_bytes = 0
        self._is_over = False
        self._begin_s = asyncio.get_running_loop().time()

    async def receive(self) -> MutableMapping[str, Any]:
        """The next message; RefusedError where the body is too large or too slow."""
        if self._is_over:
            return await self._receive()  # the client goes
        slow_s, most_s = _GRACE_S + self._num_bytes / self._guard.least_bytes_per_s, self._limits.upload_s
        try:
            async with asyncio.timeout_at(self._begin_s + min(slow_s, most_s)):
                message = await self._take()
        except TimeoutError as error:
            how = f"did not come within {most_s:g} s" if most_s <= slow_s else "comes too slowly"
            raise RefusedError(408, f"the file {how}; try again, with a smaller one or nearer by") from error
        if self._num_bytes > self._limits.upload_bytes + _FORM_BYTES:
            raise too_large(self._limits)
        return message

    async def drain(self) -> None:
        """Receive the rest, up to a point: who still sends would take a hang-up for a broken line."""
        try:
            async with asyncio.timeout(_DRAINED_S):
                while not self._is_over and self._num_bytes < _DRAINED_BYTES:
                    await self._take()
        except TimeoutError:
            pass

    async def _take(self) -> MutableMapping[str, Any]:
        message = await self._receive()
        self._num_bytes += len(message.get("body", b""))
        self._is_over = message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message


def _with_security(headers: Any) -> list[tuple[bytes, bytes]]:
    own = {name for name, _ in headers}
    added = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
    return [*headers, *(pair for pair in added if pair[0] not in own)]
