"""A file from an address that may be slow, break off, be busy or lie: gone on with where it broke off, or refused.

`urllib` does it: nothing need be installed, and it keeps to the proxies that the environment or the system names.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPMessage, InvalidURL
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from tqdm import tqdm

from tracker import __version__
from tracker.errors import ModelError, OutputError
from tracker.outputs import explained

# More than any network of the catalogue has: an address that sends without end fills no disk.
MOST_BYTES = 4 << 30
# How often in a row nothing may come before it is given up.
_TRIES = 4
_LONGEST_WAIT_S = 60.0
_TIMEOUT_S = 30.0
_CHUNK = 1 << 16
# Too slow, too many requests, faults of the server: what may be over when it is tried again.
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_OTHERWISE = "name another source with --mirror"
_REASONS = {
    401: f"it wants a password; {_OTHERWISE}",
    403: f"it is refused; {_OTHERWISE}",
    404: f"it is not there and may have moved; {_OTHERWISE}",
    407: "the proxy wants a password; set https_proxy=http://NAME:PASSWORD@HOST:PORT",
    410: f"it is gone; {_OTHERWISE}",
}


class _Passing(Exception):  # noqa: N818 - no error yet
    """What may be over when it is tried again, after so many seconds if the server told them."""

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


def download(address: str, target: Path, label: str, wait: Callable[[float], None] = time.sleep) -> str:
    """Fetch an address into a file, behind a progress bar; the sha256 that the server stated, "" for none.

    What the file has of it already is kept if the server vouches that it is of the same content: a note beside it says
    which that was, also when all has come, until `discard`. What may pass (no answer, a break, 429, 5xx) is tried again
    after `wait` seconds, as long as more comes. Raises ModelError, and OutputError for a file that cannot be written.
    """
    attempt, idle = _Attempt(address, target, label), 0
    while True:
        before = _size(target)
        try:
            attempt.run()
        except _Passing as fault:
            idle = 1 if _size(target) > before else idle + 1
            if idle == _TRIES:
                kept = ", what came is kept" if part_of(target) else ""
                raise ModelError(f"{address}: {fault}, {_TRIES} times; try again later{kept}") from fault
            seconds = min(2.0 ** (idle - 1) if fault.wait_s is None else fault.wait_s, _LONGEST_WAIT_S)
            print(f"{label}: {fault}; again in {seconds:.0f} s", file=sys.stderr)
            wait(seconds)
        else:
            return attempt.redirects.sha256


def part_of(target: Path) -> str | None:
    """The address of which a file is a part that can be gone on with, None for none."""
    return _read_note(target).get("address") if _size(target) else None


def discard(target: Path) -> None:
    """Remove a part, and the note beside it."""
    for path in (target, _note_path(target)):
        path.unlink(missing_ok=True)


class _Redirects(HTTPRedirectHandler):
    """Follows where an address leads, but to nothing less safe; sha256: what was said of the file on the way."""

    sha256 = ""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: HTTPMessage, newurl: str) -> Any:
        """The request to the next address."""
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise URLError(f"it leads to {newurl}, which is less safe; {_OTHERWISE}")
        # The hub of Hugging Face states the sha256 of large files so.
        stated = headers.get("X-Linked-ETag", "").strip('"')
        self.sha256 = stated if re.fullmatch(r"[0-9a-f]{64}", stated) else self.sha256
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@dataclass(frozen=True)
class _Attempt:
    address: str
    target: Path
    label: str
    redirects: _Redirects = field(default_factory=_Redirects)

    def run(self) -> None:
        """Fetch what is missing; _Passing where the end is not reached, ModelError where that is hopeless."""
        try:
            with build_opener(self.redirects).open(self._request(), timeout=_TIMEOUT_S) as answer:
                self._receive(answer)
        except HTTPError as error:
            with error:
                self._judge(error)
        except URLError as error:
            raise self._unreached(error.reason) from error
        except InvalidURL as error:
            raise self._refusal(f"that is no address ({error}); {_OTHERWISE}") from error
        except OutputError:
            raise
        except (OSError, HTTPException) as error:
            raise _broken(error) from error

    def _request(self) -> Request:
        headers = {"User-Agent": f"pose-tracker/{__version__}", "Accept-Encoding": "identity"}
        if part_of(self.target) == self.address:
            validator = _read_note(self.target)["validator"]
            headers |= {"Range": f"bytes={_size(self.target)}-", "If-Range": validator}
        return Request(self.address, headers=headers)

    def _receive(self, answer: Any) -> None:
        if answer.status != 206:
            self._begin(answer.headers)
        total = self._total(answer)
        self._copy(answer, total)
        if total is not None and _size(self.target) < total:
            raise _Passing(f"the connection broke off after {_size(self.target)} of {total} bytes")

    def _total(self, answer: Any) -> int | None:
        """How long the whole is, None where that is not said."""
        if answer.status != 206:
            return _whole(answer.headers.get("Content-Length"))
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
        if not found or int(found[1]) != _size(self.target):
            discard(self.target)
            raise _Passing("another part came than was asked for")
        return int(found[2])

    def _begin(self, headers: HTTPMessage) -> None:
        """Start anew, with a note if the server has a word for this very content."""
        discard(self.target)
        tag = headers.get("ETag", "")
        validator = tag if tag.startswith('"') else headers.get("Last-Modified")
        if validator:
            with explained(self.target):
                _note_path(self.target).write_text(json.dumps({"address": self.address, "validator": validator}))

    def _copy(self, answer: Any, total: int | None) -> None:
        size, most = _size(self.target), MOST_BYTES if total is None else total
        bar = tqdm(total=total, initial=size, unit="B", unit_scale=True, desc=self.label, disable=None, leave=False)
        with bar, explained(self.target), self.target.open("ab") as file:
            while size <= most <= MOST_BYTES and (chunk := _read(answer)):
                size += file.write(chunk)
                bar.update(len(chunk))
        if size > most or most > MOST_BYTES:
            discard(self.target)
            raise self._refusal(f"more comes than {min(most, MOST_BYTES)} bytes; {_OTHERWISE}")

    def _judge(self, error: HTTPError) -> None:
        """What an answer other than the file means; nothing if all of it is there already."""
        code, size = error.code, _size(self.target)
        if code == 416:  # nothing to come after what is there
            if size and error.headers.get("Content-Range") == f"bytes */{size}":
                return
            discard(self.target)
            raise _Passing("the file is another one now") from error
        if code < 400:
            raise self._refusal(f"it leads in a circle, or nowhere; {_OTHERWISE}") from error
        answer = f"it answers {code} ({error.reason})"
        if code in _PASSING:
            raise _Passing(answer, _whole(error.headers.get("Retry-After"))) from error
        raise self._refusal(f"{answer}: {_REASONS.get(code, _OTHERWISE)}") from error

    def _unreached(self, reason: Any) -> Exception:
        if isinstance(reason, ssl.SSLCertVerificationError):
            remedy = "name your proxy's certificates in SSL_CERT_FILE, or on macOS run `Install Certificates.command`"
            return self._refusal(f"its certificate is not trusted ({reason.verify_message}); {remedy}")
        if isinstance(reason, socket.gaierror):
            return self._refusal("its host is not known here; go online, name a proxy in https_proxy, or use --mirror")
        if "407" in str(reason):
            return self._refusal(_REASONS[407])
        if isinstance(reason, OSError):
            return _Passing(f"it cannot be reached ({reason.strerror or reason})")
        return self._refusal(str(reason))

    def _refusal(self, why: str) -> ModelError:
        return ModelError(f"{self.address}: {why}")


def _read(answer: Any) -> bytes:
    """What has come, b"" at the end; a fault of the network is none of the file's."""
    try:
        return bytes(answer.read1(_CHUNK))
    except (OSError, HTTPException) as error:
        raise _broken(error) from error


def _broken(error: Exception) -> _Passing:
    if isinstance(error, TimeoutError):
        return _Passing(f"nothing came for {_TIMEOUT_S:.0f} s")
    return _Passing(f"the connection broke off ({error or type(error).__name__})")


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _note_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.note")


def _read_note(target: Path) -> Mapping[str, str]:
    try:
        note = json.loads(_note_path(target).read_text(encoding="utf-8"))
        return {key: str(note[key]) for key in ("address", "validator")}
    except (OSError, ValueError, LookupError, TypeError):
        return {}
