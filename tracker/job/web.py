"""What every page of ours needs: where it listens, who may ask for it, and headers that keep it to itself."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from tracker.errors import OutputError

LOOPBACK = "127.0.0.1"
_KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}

# Nothing from elsewhere is loaded, no page frames these, and nothing is told to other sites.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Address:
    """Where a server listens.

    >>> Address.parse("8000"), Address.parse("[::1]:80").url
    (Address(host='127.0.0.1', port=8000), 'http://[::1]:80/')
    """

    host: str = LOOPBACK
    port: int = 8000
    names: frozenset[str] = field(default=frozenset(), repr=False)
    """Further names, in lower case, that lead here, such as of a proxy."""

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address in a text `[HOST:]PORT`; ValueError for what is none."""
        found = re.fullmatch(r"(?:(\[[0-9a-fA-F:.]+\]|[^:\[\]/\s]+):)?(\d{1,5})", text, re.ASCII)
        if not found or int(found[2]) > 65535:
            raise ValueError(f"{text!r} must be a port such as 8000, or a host and a port such as 0.0.0.0:8000")
        return cls((found[1] or LOOPBACK).strip("[]"), int(found[2]))

    @property
    def url(self) -> str:
        """As a browser is told."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/"

    def bind(self) -> socket.socket:
        """A socket that listens there; OutputError where that cannot be."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            return socket.create_server((self.host, self.port), family=family, backlog=64)
        except OSError as error:
            reason = (error.strerror or str(error)).partition(" (while")[0]
            raise OutputError(f"cannot listen on port {self.port} of {self.host} ({reason}); name another") from error

    @property
    def is_open(self) -> bool:
        """Whether other machines reach it."""
        return not _is_loopback(self.host)

    def refuses(self, host: str) -> bool:
        """Whether a request's header Host is none that may lead here.

        A page elsewhere whose name is made to lead to this machine still sends its own name.

        >>> [Address("0.0.0.0").refuses(host) for host in ("10.0.0.7:8000", "localhost", "evil.example")]
        [False, False, True]
        """
        name = re.sub(r":\d+$", "", host).strip("[]").lower()
        if _is_loopback(name) or name in self.names:
            return False
        here = socket.gethostname().lower()
        return not (self.is_open and (_is_address(name) or name in {self.host.lower(), here, f"{here}.local"}))


def _is_address(host: str) -> bool:
    try:
        return bool(ip_address(host))
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)


def read_page(folder: Path) -> dict[str, tuple[str, bytes]]:
    """The files of a page by their names, each with its media type."""
    kinds = ((path, _KINDS.get(path.suffix)) for path in folder.iterdir())
    return {path.name: (f"{kind}; charset=utf-8", path.read_bytes()) for path, kind in kinds if kind}
